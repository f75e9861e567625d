//! `baudbot attach`.
//!
//! tmux completes the targets it is given (a name that does not exist reaches another session whose
//! name begins with it), so the sessions are listed, the name is compared here, and the id is used.

use std::io::{self, IsTerminal};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use clap::Args;

use super::{Call, Failure, project, session};
use crate::code;
use crate::control::protocol::ServiceStatus;
use crate::exit::ExitCode;
use crate::id::ServiceName;
use crate::manifest::model::{Manifest, TmuxServer};
use crate::store::Project;
use crate::sys::tmux::{Server, Target};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Which service; it must be of type tmux
    name: ServiceName,
}

pub(super) async fn run(call: &Call, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let name = &arguments.name;
    let project = project::locate(call)?;
    let manifest = project::manifest_if_any(call, project.name());
    let status = match session::running(&project).await? {
        Some(client) => client.status().await?.services.shift_remove(name),
        None => None,
    };
    let session = session_of(call, name, status.as_ref(), manifest.as_ref())?;
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        return Err(Failure::new(
            code!("cli::needs_terminal"),
            ExitCode::Failed,
            "attaching needs a terminal",
        )
        .help(format!(
            "see what `{name}` prints with `{}`",
            call.typed(&format!("logs {name}"))
        )));
    }
    let server = server(&project, manifest.as_ref());
    let sessions = server
        .sessions()
        .await
        .map_err(|error| Failure::of(code!("cli::cannot_execute"), &error))?;
    let Some(found) = sessions.into_iter().find(|one| one.name == session) else {
        return Err(not_running(call, name));
    };
    let mut command = Command::new(&server.executable);
    match &server.target {
        Target::Private { socket, .. } | Target::Socket(socket) => {
            command.arg("-S").arg(socket);
        }
        Target::Default => {}
    }
    // tmux refuses to attach from within tmux unless it does not know; nesting is what is asked for.
    let error = command
        .args(["attach-session", "-t", &found.id])
        .env_remove("TMUX")
        .exec();
    Err(Failure::new(
        code!("cli::cannot_execute"),
        ExitCode::Failed,
        format!("cannot execute tmux: {error}"),
    ))
}

/// The name of the service's session, if the service is one that can be attached to.
fn session_of(
    call: &Call,
    name: &ServiceName,
    status: Option<&ServiceStatus>,
    manifest: Option<&Manifest>,
) -> Result<String, Failure> {
    let declared = manifest.and_then(|manifest| manifest.services.get(name));
    let kind = match (status, declared) {
        (Some(status), _) => status.kind.as_str(),
        (None, Some(service)) => service.kind.word(),
        (None, None) => {
            return Err(Failure::new(
                code!("cli::unknown_name"),
                ExitCode::Usage,
                format!("no service is called `{name}`"),
            )
            .help(format!("see what there is with `{}`", call.typed("status"))));
        }
    };
    if kind != "tmux" {
        return Err(Failure::new(
            code!("cli::not_attachable"),
            ExitCode::Failed,
            format!("`{name}` is a {kind}, and only a tmux session can be attached to"),
        )
        .help(format!(
            "see what it prints with `{}`",
            call.typed(&format!("logs -f {name}"))
        )));
    }
    status
        .filter(|status| !status.state.is_down())
        .and_then(|status| status.session.clone())
        .ok_or_else(|| not_running(call, name))
}

fn not_running(call: &Call, name: &ServiceName) -> Failure {
    Failure::new(
        code!("cli::not_running"),
        ExitCode::NotRunning,
        format!("`{name}` is not running"),
    )
    .help(format!(
        "start it with `{}`",
        call.typed(&format!("start {name}"))
    ))
}

/// The server that holds the session. Without a manifest it is taken to be the project's own. To
/// whoever attaches that one is a server like any other: it is asked, never founded.
fn server(project: &Project, manifest: Option<&Manifest>) -> Server {
    let target = match manifest.map(|manifest| &manifest.tmux) {
        Some(TmuxServer::Default) => Target::Default,
        Some(TmuxServer::Socket(path)) => Target::Socket(path.clone()),
        Some(TmuxServer::Private) | None => Target::Socket(project.tmux_socket()),
    };
    Server {
        target,
        executable: PathBuf::from("tmux"),
        environment: project::environment(),
    }
}
