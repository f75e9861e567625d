//! `baudbot attach`.
//!
//! tmux completes the targets it is given (a name that does not exist reaches another session whose
//! name begins with it), so the sessions are listed, the name is compared here, and the id is used.

use std::io::{self, IsTerminal};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use clap::Args;

use super::{Call, Failure, logs, project, session};
use crate::code;
use crate::control::protocol::ServiceStatus;
use crate::exit::ExitCode;
use crate::id::ServiceName;
use crate::manifest::model::{Manifest, TmuxServer};
use crate::render::failure;
use crate::store::Project;
use crate::sys::tmux::{Server, Target};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Which service
    name: ServiceName,
}

pub(super) async fn run(call: &Call, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let name = &arguments.name;
    let project = project::subject_to_change(call)?.project;
    let manifest = project::manifest_if_any(call, project.name());
    let status = match session::running(&project).await? {
        Some(client) => client.status().await?.services.shift_remove(name),
        None => None,
    };
    let Some(session) = session_of(call, name, status.as_ref(), manifest.as_ref())? else {
        return output_of(call, name);
    };
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        return Err(needs_terminal(call, name));
    }
    let server = server(&project, manifest.as_ref());
    let sessions = server
        .sessions()
        .await
        .map_err(|error| Failure::of(code!("cli::cannot_execute"), &error))?;
    let Some(found) = sessions.into_iter().find(|one| one.name == session) else {
        return Err(not_running(call, name));
    };
    let error = client(&server)
        .args(["attach-session", "-t", &found.id])
        .exec();
    Err(no_tmux(&error))
}

/// tmux as a client of this server. It refuses to attach from within tmux unless it does not know;
/// nesting is what is asked for.
pub(super) fn client(server: &Server) -> Command {
    let mut command = Command::new(&server.executable);
    match &server.target {
        Target::Private { socket, .. } | Target::Socket(socket) => {
            command.arg("-S").arg(socket);
        }
        Target::Default => {}
    }
    command.env_remove("TMUX");
    command
}

pub(super) fn no_tmux(error: &io::Error) -> Failure {
    Failure::new(
        code!("cli::cannot_execute"),
        ExitCode::Failed,
        format!("cannot execute tmux: {error}"),
    )
}

/// What a service without a session has to show: its output, as it comes.
fn output_of(call: &Call, name: &ServiceName) -> Result<ExitCode, Failure> {
    if !io::stdout().is_terminal() {
        return Err(needs_terminal(call, name));
    }
    call.note(&failure::note(
        &format!("`{name}` is no tmux session: this is what it prints, and Ctrl-C leaves it"),
        &call.err,
    ));
    logs::run(call, &logs::Arguments::following(name.clone()))
}

/// The name of the service's session; `None`: it is of another type, and has none.
fn session_of(
    call: &Call,
    name: &ServiceName,
    status: Option<&ServiceStatus>,
    manifest: Option<&Manifest>,
) -> Result<Option<String>, Failure> {
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
        return Ok(None);
    }
    status
        .filter(|status| !status.state.is_down())
        .and_then(|status| status.session.clone())
        .map(Some)
        .ok_or_else(|| not_running(call, name))
}

fn needs_terminal(call: &Call, name: &ServiceName) -> Failure {
    Failure::new(
        code!("cli::needs_terminal"),
        ExitCode::Failed,
        "attaching needs a terminal",
    )
    .help(format!(
        "see what `{name}` prints with `{}`",
        call.typed(&format!("logs -f {name}"))
    ))
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
pub(super) fn server(project: &Project, manifest: Option<&Manifest>) -> Server {
    let target = match manifest.map(|manifest| &manifest.tmux) {
        // Whoever attaches has a TMUX_TMPDIR of their own.
        Some(TmuxServer::Default | TmuxServer::DefaultIn(_)) => Target::Default,
        Some(TmuxServer::Socket(path)) => Target::Socket(path.clone()),
        Some(TmuxServer::Private) | None => Target::Socket(project.tmux_socket()),
    };
    Server {
        target,
        executable: PathBuf::from("tmux"),
        environment: project::environment(),
    }
}
