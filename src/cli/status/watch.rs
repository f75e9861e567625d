//! `status --watch`: what changes, as it changes.
//!
//! On a terminal one screen that is drawn again; what it showed last stays when it ends. Elsewhere
//! one line for each change of a service, or with `--json` one status in a line for each.

use std::io::{self, Write};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::super::follow::interrupts;
use super::super::{Call, Failure};
use super::live::Live;
use super::{Arguments, complete, rendered, selected};
use crate::control::protocol::Status;
use crate::exit::ExitCode;
use crate::render::progress::Progress;
use crate::render::screen::Screenful;
use crate::render::visible::visible;
use crate::store::Project;

/// How often the times are drawn again.
const TICK: Duration = Duration::from_secs(1);
/// How many ticks lie between two looks at what services take.
const TICKS_BETWEEN_LOOKS: u32 = 2;

pub(super) async fn run(
    call: &Call,
    project: &Project,
    arguments: &Arguments,
) -> Result<ExitCode, Failure> {
    let mut interrupted = interrupts()?;
    // The terminal is given back, whoever ends this.
    let listen =
        |kind| signal(kind).map_err(|error| Failure::system("cannot listen to signals", &error));
    let mut terminated = listen(SignalKind::terminate())?;
    let mut hung_up = listen(SignalKind::hangup())?;
    // A name that nobody knows is an error before there is anything to watch.
    super::present(call, project, &arguments.selection).await?;
    tokio::select! {
        result = watch(call, project, arguments) => match result? {},
        _ = interrupted.recv() => Ok(ExitCode::Interrupted),
        _ = terminated.recv() => Ok(ExitCode::Terminated),
        _ = hung_up.recv() => Ok(ExitCode::Interrupted),
    }
}

async fn watch(
    call: &Call,
    project: &Project,
    arguments: &Arguments,
) -> Result<std::convert::Infallible, Failure> {
    let mut shown = Shown::new(call, arguments);
    loop {
        let Some(mut live) = Live::open(project).await? else {
            shown.show(project, None)?;
            tokio::time::sleep(TICK).await;
            continue;
        };
        let mut ticks = tokio::time::interval(TICK);
        let mut number = 0;
        loop {
            tokio::select! {
                status = live.next() => match status {
                    Some(status) => shown.show(project, Some(status.clone()))?,
                    None => break,
                },
                _ = ticks.tick(), if shown.is_drawn() => {
                    let status = match number % TICKS_BETWEEN_LOOKS {
                        0 => live.measure().await,
                        _ => live.status(),
                    };
                    number += 1;
                    if let Some(status) = status {
                        shown.show(project, Some(status.clone()))?;
                    }
                }
            }
        }
    }
}

/// Where it is shown.
struct Shown<'a> {
    call: &'a Call,
    arguments: &'a Arguments,
    /// A terminal's screen.
    screen: Option<Screenful<io::Stdout>>,
    /// Lines elsewhere.
    lines: Progress<io::Stdout>,
    was_running: Option<bool>,
    last: Option<Status>,
}

impl<'a> Shown<'a> {
    fn new(call: &'a Call, arguments: &'a Arguments) -> Self {
        Self {
            call,
            arguments,
            screen: (call.out.is_live && !arguments.json).then(|| Screenful::open(io::stdout())),
            lines: Progress::new(
                crate::render::Look {
                    is_live: false,
                    ..call.out
                },
                io::stdout(),
                [],
            ),
            was_running: None,
            last: None,
        }
    }

    fn is_drawn(&self) -> bool {
        self.screen.is_some()
    }

    fn show(&mut self, project: &Project, answered: Option<Status>) -> Result<(), Failure> {
        let is_running = answered.is_some();
        let whole = complete(self.call, project, answered)?;
        // What is not there yet, or no more, is shown once it is there.
        let status = match selected(whole.clone(), &self.arguments.selection) {
            Ok(status) => status,
            Err(_) => Status {
                services: indexmap::IndexMap::new(),
                ..whole
            },
        };
        let written = if self.arguments.json {
            self.line_of_json(status)
        } else if let Some(screen) = &mut self.screen {
            let look = self.call.out.resized(&io::stdout());
            let room = look.height.map_or(24, usize::from).saturating_sub(1);
            screen.draw(&rendered(self.call, &status, look, Some(room)))
        } else {
            self.changes(&status, is_running)
        };
        written.map_err(|error| Failure::output(&error))
    }

    fn line_of_json(&mut self, status: Status) -> io::Result<()> {
        if self.last.as_ref() == Some(&status) {
            return Ok(());
        }
        let text = serde_json::to_string(&status).map_err(io::Error::other)?;
        self.last = Some(status);
        writeln!(io::stdout(), "{text}")
    }

    fn changes(&mut self, status: &Status, is_running: bool) -> io::Result<()> {
        if self.was_running.replace(is_running) != Some(is_running) {
            let headline = crate::render::status::headline(status, &self.call.out);
            let headline = visible(&headline, self.call.out.has_colour);
            io::stdout().write_all(headline.as_bytes())?;
        }
        let is_first = self.last.is_none();
        for (name, service) in &status.services {
            // How long the first one took, nobody has seen.
            let is_resting = !is_first && service.settled;
            self.lines.update(name, service, is_resting);
        }
        self.last = Some(status.clone());
        io::stdout().flush()
    }
}
