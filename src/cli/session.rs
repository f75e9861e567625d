//! Talking to the supervisor: finding or starting it, giving it an order, and hearing what becomes
//! of it.

use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::Stream;

use super::{Call, Failure};
use crate::control::client::{self, Client, ClientError};
use crate::control::protocol::{
    LastWord, Notice, OrderReply, OrderRequest, Status, SupervisorStatus,
};
use crate::exit::ExitCode;
use crate::render::{failure, outcome};
use crate::store::Project;
use crate::supervisor::survey::is_anybody_marked;
use crate::sys::identity::{Identity, PidFd};
use crate::sys::over::until_over;

/// How long a supervisor that is leaving is waited for.
const LEAVING_TIMEOUT: Duration = Duration::from_secs(30);

/// What the supervisor tells.
pub(super) type Notices = Pin<Box<dyn Stream<Item = Result<Notice, ClientError>>>>;

/// How long a command may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit(Option<tokio::time::Instant>);

impl Limit {
    /// From now on. A time that no clock will ever show is no limit.
    pub(super) fn of(timeout: Option<Duration>) -> Self {
        Self(timeout.and_then(|timeout| tokio::time::Instant::now().checked_add(timeout)))
    }

    /// Returns when the time is up.
    pub(super) async fn over(self) {
        match self.0 {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
    }

    /// What `work` comes to; `None` when the time is up before.
    pub(super) async fn within<T>(self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.over() => None,
        }
    }
}

/// Says that `--timeout` passed before the supervisor answered.
pub(super) fn not_answered_in_time(call: &Call, project: &Project) -> ExitCode {
    let supervisor = project.living_supervisor();
    let help = supervisor.map(|one| client::how_to_wake(&one, one.is_stopped()));
    call.note(&outcome::not_answered(help.as_deref(), &call.err));
    ExitCode::TimedOut
}

/// What the supervisor that gave this answer said last, if it has left in order.
pub(super) fn last_word(project: &Project, reply: &OrderReply) -> Option<LastWord> {
    let word: LastWord = serde_json::from_str(&project.last_word()?).ok()?;
    word.is_of(reply.status.supervisor.as_ref()?)
        .then_some(word)
}

/// The supervisor, if one runs.
pub(super) async fn running(project: &Project) -> Result<Option<Client>, Failure> {
    Ok(client::connect(project).await?)
}

/// What is true now, as the supervisor says; `None` when none runs, or it leaves while it is asked.
pub(super) async fn present(project: &Project) -> Result<Option<Status>, Failure> {
    let Some(client) = running(project).await? else {
        return Ok(None);
    };
    match client.status().await {
        Ok(status) => Ok(Some(status)),
        Err(error) if error.is_leaving() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The supervisor; one is started when none runs.
pub(super) async fn running_or_started(call: &Call, project: &Project) -> Result<Client, Failure> {
    let note = |text: &str| call.note(&format!("{text}\n"));
    Ok(client::connect_or_start(project, note).await?)
}

/// Whether there may be something to take down although no supervisor answers: one is just arriving
/// or was killed, as the lock file tells, or left something behind, as the ledger tells, or as marks
/// do where the state directory was lost.
pub(super) fn has_leftovers(project: &Project) -> Result<bool, Failure> {
    let ledger = project.read_ledger()?;
    let ledger = match crate::sys::identity::boot_id() {
        Ok(boot) => ledger.in_boot(&boot),
        // Then it is for the supervisor to find out.
        Err(_) => ledger,
    };
    let is_left = !ledger.open.is_empty() || ledger.tmux_server.is_some();
    if is_left || project.lock_holder().is_some() {
        return Ok(true);
    }
    is_anybody_marked(project)
        .map_err(|error| Failure::system("cannot look at the processes", &error))
}

/// Gives an order and returns what it came to, with the notices that tell of it. A supervisor that
/// leaves at this very moment is waited for, and the next one is asked.
pub(super) async fn order(
    call: &Call,
    project: &Project,
    request: &OrderRequest,
) -> Result<(OrderReply, Notices), Failure> {
    let begun = Instant::now();
    loop {
        let client = running_or_started(call, project).await?;
        match ordered(&client, request).await {
            Err(error) if error.is_leaving() && begun.elapsed() < LEAVING_TIMEOUT => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            result => return Ok(result?),
        }
    }
}

/// How many crashes of supervisors an order is repeated after.
const MOST_CRASHES: u32 = 3;

/// How long a guardian that lives on may leave it open whether it brings a supervisor back.
const BACK_OR_GONE_WITHIN: Duration = Duration::from_secs(2);

/// Whether the supervisor that gave this answer went away by a crash and its guardian brings another
/// one, so that an order which says what is wanted can be given again: then people are told so. The
/// guardian of one that left in order ends with it.
pub(super) async fn goes_on(
    call: &Call,
    project: &Project,
    reply: &OrderReply,
    crashes: u32,
) -> bool {
    let supervisor = reply.status.supervisor.as_ref();
    let guardian = supervisor.and_then(|supervisor| supervisor.guardian_pid);
    let Some(guardian) = guardian.and_then(|pid| Identity::of(pid).ok().flatten()) else {
        return false;
    };
    let begun = Instant::now();
    while crashes < MOST_CRASHES && guardian.is_alive() && begun.elapsed() < BACK_OR_GONE_WITHIN {
        // The lock names it from the moment that another supervisor has taken it, and until one lets
        // go of it in order.
        if project.living_guardian().is_some() {
            call.note("the supervisor crashed; its guardian starts it again, and this goes on\n");
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    false
}

/// The process of the supervisor that answered, and that of its guardian.
pub(super) fn identities(status: &SupervisorStatus) -> Vec<Identity> {
    // Without them nobody can be waited for, and nobody is.
    std::iter::once(status.pid)
        .chain(status.guardian_pid)
        .filter_map(|pid| Identity::of(pid).ok().flatten())
        .collect()
}

/// Waits until the processes of a supervisor that has said its last word are over, so that "nothing
/// is left" is true of them too.
pub(super) async fn wait_for_end(supervisor: &[Identity]) {
    for process in supervisor {
        if let Ok(Some(handle)) = PidFd::open_verified(process) {
            let _ = tokio::time::timeout(LEAVING_TIMEOUT, until_over(handle)).await;
        }
    }
}

async fn ordered(
    client: &Client,
    request: &OrderRequest,
) -> Result<(OrderReply, Notices), ClientError> {
    // Opened before the order is given, so that nothing of what becomes of it is missed.
    let notices = client.notices().await?;
    let reply = client.order(request).await?;
    Ok((reply, Box::pin(notices)))
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let help = error.help();
        let exit = match &error {
            ClientError::Refused(refusal) => ExitCode::from_number(refusal.exit),
            _ => ExitCode::Failed,
        };
        Self::new(error.code(), exit, failure::chain(&error)).maybe_help(help)
    }
}
