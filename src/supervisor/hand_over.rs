//! Making way for another supervisor, which takes over as after a death: an upgrade.
//!
//! Nothing is stopped and nothing is forgotten: the ledger tells how far each service has come at any
//! time, so that all there is to do is to leave. Where there is a guardian, it starts the next
//! supervisor from the program that was asked for; without one this process becomes a guardian, or in
//! the foreground simply that program, and stays the parent of its services.
//!
//! The program is asked first for its version, and for the control socket that it would open: one that
//! cannot be executed, or could not be asked for the next upgrade, changes nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::oneshot;

use super::input::Input;
use super::upkeep::Door;
use super::{LEAVING_TAKES_AT_MOST, Supervisor};
use crate::code;
use crate::control::protocol::{HandOverReply, Refusal, VERSION};
use crate::event::Did;
use crate::exit::ExitCode;
use crate::guardian::{HAND_OVER, take_its_place};
use crate::record::{Ledger, Line};
use crate::sys::guardian;
use crate::sys::helper::Helper;
use crate::sys::process;

/// How long a program may take to tell its version.
const TELLS_WITHIN: Duration = Duration::from_secs(10);

impl Supervisor {
    /// Asks a program whether it can be the next supervisor's, and if so, makes way for it.
    pub(super) fn ask_program(
        &self,
        program: PathBuf,
        answer: oneshot::Sender<Result<HandOverReply, Refusal>>,
    ) {
        let outbox = self.outbox.clone();
        tokio::spawn(async move {
            let told = tokio::time::timeout(TELLS_WITHIN, version_of(&program)).await;
            let told = told.unwrap_or_else(|_| Err("it does not answer".into()));
            let reply = told.map_err(|why| Refusal {
                code: code!("cli::unfit_program").to_string(),
                message: format!("{} cannot take over: {why}", program.display()),
                help: Some(
                    "nothing has changed; give it a program that `--version` can be asked of"
                        .into(),
                ),
                exit: ExitCode::Failed.number(),
            });
            let is_fit = reply.is_ok();
            let reply = reply.map(|program| HandOverReply {
                version: VERSION,
                program,
            });
            // Whoever asked may have gone; the wish stands.
            let _ = answer.send(reply);
            if is_fit {
                outbox.put(Input::HandOver(program));
            }
        });
    }

    /// Leaves everything as it is to the next supervisor. Returns the code to exit with.
    pub(super) async fn hand_over(mut self, program: &Path, door: Door) -> u8 {
        self.note_hand_over(program);
        let _ = door.leaving.send(true);
        let _ = tokio::time::timeout(LEAVING_TAKES_AT_MOST, door.server).await;
        if guardian::guardian_pid().is_some() {
            use std::os::unix::ffi::OsStrExt as _;
            let file = self.project.hand_over_file();
            if let Err(error) = std::fs::write(&file, program.as_os_str().as_bytes()) {
                // The guardian then takes what lies at its own path.
                eprintln!("cannot write {}: {error}", file.display());
            }
            return HAND_OVER;
        }
        self.restore_limit();
        let error = take_its_place(&self.project, program);
        eprintln!("cannot become {}: {error}", program.display());
        self.take_hand_over_back();
        // Somebody has to: whoever gives the next order starts one.
        HAND_OVER
    }

    /// Becomes the program, called as this process was. Returns only when that fails.
    pub(super) fn become_program(&mut self, program: &Path) {
        self.note_hand_over(program);
        self.restore_limit();
        let error = guardian::become_program(program, std::env::args_os().skip(1));
        eprintln!("cannot become {}: {error}", program.display());
        self.take_hand_over_back();
        if let Err(error) = process::raise_open_files_limit() {
            eprintln!("{error}");
        }
    }

    fn note_hand_over(&mut self, program: &Path) {
        self.note_supervision(Did::HandedOver, Some(format!("to {}", program.display())));
        if let Err(error) = self.write_ledger(Line::HandedOver) {
            // The next one takes this for a loss.
            eprintln!("{error}");
        }
    }

    /// Nobody took over: the next death is a loss.
    fn take_hand_over_back(&mut self) {
        let ledger = Ledger {
            is_handed_over: false,
            ..self.ledger.sum().clone()
        };
        match self.project.begin_ledger(ledger) {
            Ok(ledger) => self.ledger = ledger,
            Err(error) => eprintln!("{error}"),
        }
    }

    /// What comes in our place finds the limit of open files that we found.
    fn restore_limit(&self) {
        if let Some(limit) = self.open_files_limit {
            process::set_open_files_limit(limit);
        }
    }
}

/// What a program says of itself.
async fn version_of(program: &Path) -> Result<String, String> {
    if !program.is_absolute() {
        return Err("its path is not absolute".into());
    }
    let version = said_by(program, &["--version"]).await?;
    if !version.starts_with("baudbot ") {
        return Err(format!("asked for its version, it says {version:?}"));
    }
    let interface = said_by(program, &["schema", "control-api"]).await?;
    if !interface.contains("/v1/handover") {
        return Err(format!(
            "{version} cannot be asked to hand over in its turn"
        ));
    }
    Ok(version)
}

/// What a program writes to its standard output.
async fn said_by(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(arguments).kill_on_drop(true);
    command.stdin(std::process::Stdio::null());
    command.stdout(std::process::Stdio::piped());
    command.stderr(std::process::Stdio::piped());
    let helper = Helper::spawn(&mut command).map_err(|error| error.to_string())?;
    let output = helper.output().await.map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() {
        Ok(said)
    } else {
        let words = arguments.join(" ");
        Err(format!("`{words}` ended with {}", output.status))
    }
}
