//! Tricks with worlds of their own: a terminal multiplexer, namespaces, another project.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Output};

use nix::sys::signal::Signal;
use nix::unistd::setsid;

use super::super::part::{Part, Phase, Played, TRICK_COMMAND, Unplayed};
use crate::sys::escape;
use crate::sys::identity::{Identity, PidFd};

fn words_of_role(part: &Part, role: &str) -> io::Result<Vec<String>> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let executable = text(&std::env::current_exe()?);
    let dir = text(&part.dir);
    Ok(vec![
        executable,
        TRICK_COMMAND.into(),
        role.into(),
        dir,
        part.phase.word().into(),
    ])
}

/// What a command prints, when it ends well.
fn printed(command: &mut Command) -> io::Result<String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output()?;
    if status.success() {
        Ok(String::from_utf8_lossy(&stdout).trim().to_owned())
    } else {
        Err(io::Error::other(format!(
            "{:?} ended with {status}: {}{}",
            command.get_program(),
            String::from_utf8_lossy(&stderr),
            String::from_utf8_lossy(&stdout)
        )))
    }
}

pub(super) fn tmux(part: &Part) -> Played {
    let run = |arguments: &[&str]| {
        let mut command = Command::new("tmux");
        command.args(["-f", "/dev/null", "-S"]);
        command.arg(part.path("socket")).args(arguments);
        printed(&mut command)
    };
    let member = words_of_role(part, "as-deaf-member")?;
    let mut arguments = vec!["new-session", "-d"];
    arguments.extend(member.iter().map(String::as_str));
    match run(&arguments) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Unplayed::Skipped("there is no tmux here".into()));
        }
        other => other?,
    };
    let server = run(&["display-message", "-p", "#{pid}"])?;
    part.sign_for(server.parse().map_err(io::Error::other)?)?;
    part.sign_and_be_ready_with(3)?;
    part.rest()
}

pub(super) fn namespaces(part: &Part) -> Played {
    part.spawn(|| {
        if let Err(error) = escape::unshare_user_and_pids() {
            return part.note("skipped", &format!("no namespaces are given here: {error}"));
        }
        // The first process of the new namespace, and one more.
        part.spawn(|| {
            setsid()?;
            part.spawn(|| {
                setsid()?;
                part.sign()
            })?;
            part.sign()
        })?;
        Ok(())
    })?;
    part.sign()?;
    part.await_that(|| {
        let is_skipped = part.path("skipped").exists();
        Ok(is_skipped || super::super::part::members(&part.dir)?.len() >= 3)
    })?;
    part.ready()?;
    part.rest()
}

/// Brings up a project of its own in the background. Should the supervisor be killed, this one's is
/// too, and only the marks tell whose its daemon is.
pub(super) fn nested(part: &Part) -> Played {
    let executable = std::env::current_exe()?;
    let inner = part.path("inner");
    fs::create_dir_all(&inner)?;
    let manifest = serde_json::json!({
        "version": 1,
        "project": "inner",
        "services": {"daemon": {"command": words_of_role(part, "as-daemon")?}},
    });
    fs::write(inner.join("baudbot.yaml"), manifest.to_string())?;
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&executable);
        command.args(arguments).current_dir(&inner);
        command
            .env("XDG_STATE_HOME", inner.join("state"))
            .env("XDG_RUNTIME_DIR", inner.join("run"));
        printed(&mut command)
    };
    run(&["up"])?;
    part.await_members(2)?;
    let status: serde_json::Value =
        serde_json::from_str(&run(&["status", "--json"])?).map_err(io::Error::other)?;
    let supervisor = &status["supervisor"];
    let pid = |key: &str| i32::try_from(supervisor[key].as_i64()?).ok();
    let (guardian, supervisor) = (pid("guardian_pid"), pid("pid"));
    for pid in guardian.into_iter().chain(supervisor) {
        part.sign_for(pid)?;
    }
    if part.phase == Phase::Kill {
        // A guardian that stands still starts nobody.
        for (pid, signal) in [
            (guardian, Signal::SIGSTOP),
            (supervisor, Signal::SIGKILL),
            (guardian, Signal::SIGKILL),
        ] {
            pid.map_or(Ok(()), |pid| send(pid, signal))?;
        }
    }
    part.sign_and_be_ready_with(4)?;
    part.rest()
}

fn send(pid: i32, signal: Signal) -> io::Result<()> {
    if let Some(identity) = Identity::of(pid)?
        && let Some(handle) = PidFd::open_verified(&identity)?
    {
        handle.send(signal as i32)?;
    }
    Ok(())
}
