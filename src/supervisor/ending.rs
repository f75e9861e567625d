//! How a run ends: asked first, by force at last, and proven.
//!
//! What is waited for is not the leader but the *set*: all processes that belong to the run, as
//! [`sys::census`](crate::sys::census) finds them. First the leader's group gets the stop signal;
//! as soon as nobody of the group is left, the rest gets it too, so that a daemon that left the
//! group but knows how to end does so now and not when the grace is over. When the set is empty the
//! sessions go, then the run is gone. The machine keeps the time; on its word what is left is
//! frozen, killed and looked for again ([`sys::sweep`](crate::sys::sweep)).
//!
//! Nothing polls: each round looks once and then waits for the processes that it saw.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use nix::sys::signal::Signal;
use tokio_util::task::AbortOnDropHandle;

use super::Supervisor;
use super::hooks::AfterStop;
use super::input::{Input, Outbox};
use super::orphans::Orphans;
use super::output::Drainer;
use super::sessions::Sessions;
use super::starting::until_handle_over;
use crate::id::{RunId, ServiceName};
use crate::machine::{Effect, LeftBehind, LeftProcess, RunEvent, Survivor};
use crate::port::Port;
use crate::sys::census::{Member, Roots, Why};
use crate::sys::crash;
use crate::sys::descriptors::is_out_of_descriptors;
use crate::sys::guardian::ourselves;
use crate::sys::identity::Identity;
use crate::sys::sweep::{self, Limits, Present};

/// The signal that what no manifest gives one is asked with.
pub(super) const SIGTERM: i32 = Signal::SIGTERM as i32;

const SIGCONT: i32 = Signal::SIGCONT as i32;

/// The bounds of a sweep.
pub(super) const LIMITS: Limits = Limits {
    freeze: Duration::from_secs(2),
    kill: Duration::from_secs(5),
};

/// A stop that takes longer than this tells whom it waits for, and again as often where that has
/// changed.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// How long it is waited after a look that failed, for want of descriptors say.
const LOOKED_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// How long the other processes of a run whose leader has ended get to end by themselves.
const REST_ENDS_WITHIN: Duration = Duration::from_millis(100);

/// How many of the processes that a run left behind are named.
const MOST_NAMED: usize = 5;

/// How many looks in a row must find nobody before a set counts as empty: one look may miss a
/// process that forks and exits while it is being taken.
const QUIET_LOOKS: u32 = 2;

/// What is to be ended.
#[derive(Clone)]
pub(super) struct Ending {
    pub(super) roots: Roots,
    pub(super) sessions: Option<Arc<Sessions>>,
    known: Known,
    /// Where else its processes may be found: among those that came to the supervisor.
    pub(super) orphans: Option<Orphans>,
    /// Of which run it is told, and where, who is waited for.
    told: Option<(RunId, Outbox)>,
}

/// Who was seen to be a member since the stop began. Where nothing is marked, a child is one for as
/// long as its parent lives; and the stop signal ends parents.
#[derive(Debug, Clone, Default)]
pub(super) struct Known(Arc<Mutex<Vec<Member>>>);

impl Known {
    fn all(&self) -> Vec<Member> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Adds who was seen, and forgets who is dead.
    fn see(&self, present: &[Present]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = |member: &Member| (member.identity.pid, member.identity.start_time);
        let seen: BTreeSet<_> = present.iter().map(|one| key(&one.member)).collect();
        // Not all that live need be seen: handles may be short.
        known.retain(|member| !seen.contains(&key(member)) && member.identity.is_alive());
        known.extend(present.iter().map(|one| one.member.clone()));
    }
}

impl Supervisor {
    /// Asks the run to stop.
    pub(super) fn terminate(&mut self, id: RunId) {
        let ending = self.ending(id);
        let Some(run) = self.runs.get_mut(&id) else {
            return;
        };
        run.is_cancelled = true;
        self.end_probing(id);
        let Some(run) = self.runs.get(&id) else {
            return;
        };
        let signal = run.service.stop.signal.0;
        let has_ended = run.is_ending;
        if run.is_before_start {
            // When that has ended, the start is given up.
            self.set_ender(id, async move { ending.ask(signal).await });
            return;
        }
        if run.leader.is_none() && !run.is_past_gate {
            // Its session is being made; it is given up when it is there.
            return;
        }
        let timeout = run.service.stop.timeout;
        let (service, outbox) = (run.service.name.clone(), self.outbox.clone());
        let (command, after_stop) = (self.stop_command(id), self.after_stop(id));
        let ports = run.service.ports.clone();
        let drainer = self.drainer(&service);
        let end = async move {
            if has_ended {
                ending.tell_what_is_left(&service, id, &outbox).await;
            }
            if let Some(command) = command {
                let asked = async {
                    // A command that fails has not asked: the signal does so at once.
                    if command.run_and_tell(&service).await.is_ok() {
                        ending.until_empty().await;
                    }
                };
                // What does not end by itself gets the signal, and its grace.
                let _ = tokio::time::timeout(timeout, asked).await;
            }
            ending.ask(signal).await;
            ending
                .conclude(&ports, &service, id, drainer, after_stop, &outbox)
                .await;
        };
        self.set_ender(id, end);
    }

    /// Ends the run by force.
    pub(super) fn kill(&mut self, id: RunId) {
        let ending = self.ending(id);
        let Some(run) = self.runs.get_mut(&id) else {
            return;
        };
        run.is_cancelled = true;
        self.end_probing(id);
        let Some(run) = self.runs.get(&id) else {
            return;
        };
        if run.has_begun_after_stop.load(Ordering::Relaxed) {
            // Nothing is left of it but a command that has an end of its own.
            return;
        }
        if run.is_before_start {
            self.set_ender(id, async move { drop(ending.force().await) });
            return;
        }
        if run.leader.is_none() && !run.is_past_gate {
            return;
        }
        let (service, outbox) = (run.service.name.clone(), self.outbox.clone());
        let after_stop = self.after_stop(id);
        let ports = run.service.ports.clone();
        let drainer = self.drainer(&service);
        let end = async move {
            let survivors = ending.force().await;
            if !survivors.is_empty() {
                outbox.run(&service, id, RunEvent::Survived(survivors));
                ending.until_empty().await;
            }
            ending
                .conclude(&ports, &service, id, drainer, after_stop, &outbox)
                .await;
        };
        self.set_ender(id, end);
    }

    pub(super) fn ending(&self, id: RunId) -> Ending {
        let run = self.runs.get(&id);
        let sessions = run.and_then(|run| run.sessions.clone());
        Ending {
            known: run.map(|run| run.known.clone()).unwrap_or_default(),
            orphans: run.and_then(|run| self.orphans_of(&run.service.name)),
            told: Some((id, self.outbox.clone())),
            ..Ending::new(self.roots(id), sessions)
        }
    }

    /// The run ended by itself and left these processes behind: its log says so too.
    pub(super) fn take_left(
        &mut self,
        service: ServiceName,
        id: RunId,
        mut left: LeftBehind,
    ) -> Vec<Effect> {
        for one in &mut left.processes {
            let command = self.without_secrets(Some(id), std::mem::take(&mut one.command));
            one.command = shortened(&command);
        }
        if let Some(output) = self.outputs.get(&service) {
            output.say(&format!(
                "the run has ended, and {} that it left behind {} ended now: {}",
                if left.count == 1 {
                    "a process".to_owned()
                } else {
                    format!("{} processes", left.count)
                },
                if left.count == 1 { "is" } else { "are" },
                left.processes
                    .iter()
                    .map(|one| format!("{} ({})", one.pid, one.command))
                    .collect::<Vec<_>>()
                    .join(", "),
            ));
        }
        self.tell(service, id, RunEvent::Left(left))
    }

    pub(super) fn set_ender(&mut self, id: RunId, end: impl Future<Output = ()> + Send + 'static) {
        let end = AbortOnDropHandle::new(tokio::spawn(end));
        if let Some(run) = self.runs.get_mut(&id) {
            run.ender = Some(end);
        }
    }
}

impl Ending {
    /// Of what has no sessions.
    pub(super) fn of_processes(roots: Roots) -> Self {
        Self::new(roots, None)
    }

    pub(super) fn new(roots: Roots, sessions: Option<Arc<Sessions>>) -> Self {
        Self {
            roots,
            sessions,
            known: Known::default(),
            orphans: None,
            told: None,
        }
    }

    pub(super) fn with_orphans(self, orphans: Option<Orphans>) -> Self {
        Self { orphans, ..self }
    }

    /// The roots, with the panes and the orphans that there are now.
    pub(super) async fn roots_now(&self) -> Roots {
        let mut roots = self.roots.clone();
        roots.known = self.known.all();
        if let Some(orphans) = &self.orphans {
            add_leaders(&mut roots, orphans.claimed().await);
        }
        if let Some(sessions) = &self.sessions {
            match sessions.pane_processes().await {
                Ok(leaders) => add_leaders(&mut roots, leaders),
                // Without a server there are no panes; whoever was in one is known by its mark.
                Err(error) => eprintln!("cannot look at the panes: {error}"),
            }
            roots
                .shared_servers
                .extend(sessions.tmux.shared_server_pid().await);
        }
        roots
    }

    /// Who is there now. As long as that cannot be told, nobody is taken to be gone.
    async fn present(&self) -> Vec<Present> {
        loop {
            let roots = self.roots_now().await;
            match look(move || sweep::present(&roots)).await {
                Ok(present) => {
                    self.known.see(&present);
                    return present;
                }
                Err(error) => eprintln!("cannot look at the processes: {error}"),
            }
            tokio::time::sleep(LOOKED_AGAIN_AFTER).await;
        }
    }

    /// Sends the stop signal, to the group first and to the rest when the group is gone, and waits
    /// until nobody is left. It is for others to lose patience.
    pub(super) async fn ask(&self, signal: i32) {
        let mut asked: BTreeSet<(i32, u64)> = BTreeSet::new();
        let mut quiet = 0;
        while quiet < QUIET_LOOKS {
            let present = self.present().await;
            quiet = if present.is_empty() { quiet + 1 } else { 0 };
            let (group, rest): (Vec<Present>, Vec<Present>) = present
                .into_iter()
                .partition(|one| is_first_asked(&one.member.why));
            let now = if group.is_empty() { rest } else { group };
            for one in &now {
                let who = &one.member.identity;
                if asked.insert((who.pid, who.start_time)) {
                    ask_one(one, signal);
                }
            }
            self.until_over(now).await;
        }
    }

    /// Waits until all of these are over; tells who is not, once that takes a while.
    async fn until_over(&self, present: Vec<Present>) {
        let who: Vec<Identity> = present
            .iter()
            .map(|one| one.member.identity.clone())
            .collect();
        let handles = present.into_iter().map(|one| until_handle_over(one.handle));
        let mut over = std::pin::pin!(join_all(handles));
        while tokio::time::timeout(TOLD_EVERY, &mut over).await.is_err() {
            if let (Some((run, outbox)), Some(text)) = (&self.told, remaining(&who)) {
                outbox.put(Input::Remaining(*run, text));
            }
        }
    }

    /// Who is there now, for people.
    pub(super) async fn members(&self) -> Vec<String> {
        let present = self.present().await;
        let pids = present.iter().map(|one| one.member.identity.pid);
        pids.map(|pid| format!("{pid} ({})", sweep::command_of(pid)))
            .collect()
    }

    /// Tells what the leader, which ended by itself, has left behind.
    async fn tell_what_is_left(&self, service: &ServiceName, run: RunId, outbox: &Outbox) {
        if self.present().await.is_empty() {
            return;
        }
        // The rest of a pipeline ends by itself, and may have something to write until then.
        if tokio::time::timeout(REST_ENDS_WITHIN, self.until_empty())
            .await
            .is_ok()
        {
            return;
        }
        let present = self.present().await;
        let processes = present.iter().take(MOST_NAMED).map(|one| {
            let pid = one.member.identity.pid;
            LeftProcess {
                pid,
                command: sweep::command_of(pid),
            }
        });
        let left = LeftBehind {
            count: present.len(),
            processes: processes.collect(),
        };
        if left.count > 0 {
            outbox.put(Input::Left {
                service: service.clone(),
                run,
                left,
            });
        }
    }

    /// Waits until nobody is left.
    async fn until_empty(&self) {
        let mut quiet = 0;
        while quiet < QUIET_LOOKS {
            let present = self.present().await;
            quiet = if present.is_empty() { quiet + 1 } else { 0 };
            join_all(present.into_iter().map(|one| until_handle_over(one.handle))).await;
        }
    }

    /// Kills all; returns what did not die.
    pub(super) async fn force(&self) -> Vec<Survivor> {
        let roots = self.roots_now().await;
        force(roots).await
    }

    /// As [`Ending::force`], of what a hook left.
    pub(super) async fn force_and_tell(&self, service: &ServiceName) {
        for left in self.force().await {
            eprintln!(
                "process {} ({}) of a hook of `{service}` does not end: {}",
                left.pid, left.command, left.reason
            );
        }
    }

    /// Nobody is left: the sessions go, the ports must be free, and the run is gone.
    async fn conclude(
        &self,
        ports: &[Port],
        service: &ServiceName,
        run: RunId,
        drainer: Option<Drainer>,
        after_stop: Option<Arc<AfterStop>>,
        outbox: &Outbox,
    ) {
        if let Some(sessions) = &self.sessions {
            match sessions.end().await {
                Ok(left) if left.is_empty() => {}
                Ok(left) => eprintln!(
                    "tmux sessions of `{service}` do not end: {}",
                    left.join(", ")
                ),
                Err(error) => eprintln!("cannot end the tmux sessions of `{service}`: {error}"),
            }
        }
        if let Some(after_stop) = after_stop {
            after_stop.run(service).await;
            self.force_and_tell(service).await;
        }
        if let Some(drainer) = drainer {
            drainer.drain().await;
        }
        if !ports.is_empty() {
            let survivors = super::ports::still_held(ports, service).await;
            outbox.put(Input::PortsHeld {
                service: service.clone(),
                survivors,
            });
        }
        outbox.run(service, run, RunEvent::Gone);
    }
}

/// Whether this process gets the stop signal before those that left the group.
fn is_first_asked(why: &Why) -> bool {
    match why {
        Why::Leader | Why::Group(_) => true,
        Why::Marked(_) | Why::Session(_) | Why::Nested(_) | Why::Child(_) | Why::Orphan(_) => false,
    }
}

/// Who of these is still there.
fn remaining(who: &[Identity]) -> Option<Remaining> {
    let alive = who.iter().filter(|one| one.is_alive());
    let alive: Vec<i32> = alive.map(|one| one.pid).collect();
    let first = *alive.first()?;
    Some(Remaining {
        pid: first,
        command: sweep::command_of(first),
        more: alive.len() - 1,
    })
}

/// Who is still there of a run that is being stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remaining {
    /// One of them.
    pid: i32,
    /// Its command line.
    command: String,
    /// How many there are beside it.
    more: usize,
}

impl Remaining {
    /// For people: `4711 (node bridge.mjs) and 2 more`. `hide` takes the secrets out of the command
    /// line, before it is cut.
    pub(super) fn words(&self, hide: impl FnOnce(String) -> String) -> String {
        let command = shortened(&hide(self.command.clone()));
        match self.more {
            0 => format!("{} ({command})", self.pid),
            more => format!("{} ({command}) and {more} more", self.pid),
        }
    }
}

/// The longest command line that is shown of one that is waited for, in characters.
const LONGEST_SHOWN: usize = 60;

fn shortened(command: &str) -> String {
    let mut characters = command.chars();
    let start: String = characters.by_ref().take(LONGEST_SHOWN).collect();
    match characters.next() {
        Some(_) => format!("{start}…"),
        None => start,
    }
}

fn add_leaders(roots: &mut Roots, leaders: Vec<Identity>) {
    for leader in leaders {
        if !roots.leaders.contains(&leader) {
            roots.leaders.push(leader);
        }
    }
}

/// Sends the stop signal, and SIGCONT so that a stopped process can act on it.
fn ask_one(one: &Present, signal: i32) {
    crash::point("stop: before the signal");
    for signal in [signal, SIGCONT] {
        if let Err(error) = one.handle.send(signal) {
            eprintln!("cannot signal process {}: {error}", one.member.identity.pid);
        }
    }
    crash::point("stop: after the signal");
}

/// Looks at `/proc` without holding up the loop.
pub(super) async fn look<T: Send + 'static>(
    look: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(look)
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

/// Kills all that belongs to `roots`; returns what did not die.
pub(super) async fn force(roots: Roots) -> Vec<Survivor> {
    let mut tries = 0;
    loop {
        let roots = roots.clone();
        match look(move || sweep::sweep(&roots, &LIMITS)).await {
            Ok(outcome) => return outcome.survivors.into_iter().map(survivor).collect(),
            // Others end meanwhile, and give descriptors back.
            Err(error) if is_out_of_descriptors(&error) && tries < MOST_TRIES => tries += 1,
            Err(error) => {
                return vec![Survivor {
                    pid: 0,
                    command: "?".into(),
                    user: "?".into(),
                    reason: format!("the processes cannot be looked at: {error}"),
                    is_killed: false,
                }];
            }
        }
        tokio::time::sleep(TRIED_AGAIN_AFTER).await;
    }
}

/// How often a sweep without descriptors is tried again, and how long after.
const MOST_TRIES: u32 = 50;
const TRIED_AGAIN_AFTER: Duration = Duration::from_millis(200);

pub(super) fn survivor(found: sweep::Survivor) -> Survivor {
    Survivor {
        pid: found.pid,
        command: found.command,
        user: found.user,
        reason: found.reason,
        is_killed: found.is_killed,
    }
}

/// Ends sessions that belong to no live run: their processes get TERM and the usual grace.
///
/// # Errors
/// What is left, in words.
pub(super) async fn end_sessions(sessions: &Arc<Sessions>) -> Result<(), String> {
    if sessions
        .present()
        .await
        .map_err(|error| error.to_string())?
        .is_empty()
    {
        return Ok(());
    }
    let roots = Roots {
        spared: ourselves(),
        ..Roots::default()
    };
    let ending = Ending::new(roots, Some(Arc::clone(sessions)));
    ending.end(SIGTERM, USUAL_GRACE).await
}

/// The grace of what no manifest gives one.
pub(super) const USUAL_GRACE: Duration = Duration::from_secs(10);

impl Ending {
    /// Asks, loses patience after `grace`, forces, and ends the sessions.
    ///
    /// # Errors
    /// What is left, in words.
    pub(super) async fn end(&self, signal: i32, grace: Duration) -> Result<(), String> {
        if tokio::time::timeout(grace, self.ask(signal)).await.is_err() {
            let survivors = self.force().await;
            if let Some(first) = survivors.first() {
                return Err(format!(
                    "process {} ({}) does not end: {}",
                    first.pid, first.command, first.reason
                ));
            }
        }
        let Some(sessions) = &self.sessions else {
            return Ok(());
        };
        let left = sessions.end().await.map_err(|error| error.to_string())?;
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("sessions stay: {}", left.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_hidden_before_the_command_line_is_cut() {
        let secret = "0123456789";
        let who = Remaining {
            pid: 7,
            command: format!("{} {secret} more", "x".repeat(LONGEST_SHOWN - 5)),
            more: 2,
        };
        let words = who.words(|text| text.replace(secret, "***"));
        assert!(!words.contains("0123"), "{words}");
        assert!(
            words.starts_with("7 (xxx") && words.ends_with("…) and 2 more"),
            "{words}"
        );
    }
}
