//! Ending all that belongs to a run, with proof.
//!
//! A look at `/proc` and a signal are two steps, and between them a process may fork, change its
//! session and exit. One that does so every few milliseconds (a *hopper*) outlives any number of
//! looks followed by kills. So a sweep first makes the set hold still:
//!
//! 1. **Freeze.** Every member gets SIGSTOP, which nobody can catch, until two looks in a row find
//!    no trace of a member that is not frozen: one that is seen, and gone before it is held, is a
//!    trace too. Where there is any, the marked are frozen on sight, within microseconds of being
//!    made ([`walk`](super::walk)), since that is what a hopper loses against; and so is whatever
//!    comes to a subreaper whose orphans belong to the set.
//! 2. **Kill.** Every member gets SIGKILL, which ends the frozen too.
//! 3. **Prove.** Wait for their ends, look again, kill what is new, until two looks in a row find
//!    nobody. Who is still there when the time is over, or may not be signalled, is a survivor, and
//!    is told with its reason.
//!
//! A sweep is bounded whatever happens. A process that was frozen and could not be killed after all
//! is thawed, also when the sweep breaks off ([`Frozen`]). Should the sweeper itself be killed, the
//! next supervisor continues what stands still ([`thaw`]).
//!
//! Each signal goes through a handle that was opened before the identity of the process was
//! checked. What is not ours by the proofs of [`census`](super::census) is never touched.
//!
//! A frozen process is not always still: tmux continues the process of a pane as soon as it sees it
//! stopped. Such a one is killed as it is; what it starts meanwhile is found in step 3.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

use super::census::{Member, Owner, Roots, Why, look};
use super::crash;
use super::descriptors::{is_out_of_descriptors, limit};
use super::identity::{Delivery, Identity, PidFd, Stat, wait_all};
use super::mark::read_mark;
use super::process::is_answered_for;
use super::walk::{is_listing_children, visit_all, visit_children};

/// A process that could not be ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survivor {
    /// Its process id.
    pub pid: i32,
    /// Its command line, or its name in brackets.
    pub command: String,
    /// The user that it runs as.
    pub user: String,
    /// Why it is still there.
    pub reason: String,
    /// Whether the kernel took a KILL for it.
    pub is_killed: bool,
    /// Why it is ours.
    pub why: Why,
}

/// How long a sweep may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Until all that was found by then is killed, frozen or not.
    pub freeze: Duration,
    /// From the first KILL until what is left counts as a survivor.
    pub kill: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            freeze: Duration::from_secs(2),
            kill: Duration::from_secs(5),
        }
    }
}

/// What a sweep came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Who was there and is not any more.
    pub ended: Vec<Member>,
    /// Who is still there.
    pub survivors: Vec<Survivor>,
}

/// A member and a handle on it.
#[derive(Debug)]
pub struct Present {
    /// Who, and why it belongs.
    pub member: Member,
    /// Opened before the identity was checked; it becomes readable when the process is over.
    pub handle: PidFd,
}

/// The members that are there now.
///
/// When there are more than we have descriptors for, only some are returned: whoever waits for them
/// looks again anyway.
///
/// # Errors
/// When `/proc` cannot be read, when no handle can be opened at all, or when members are seen but
/// none stays long enough to be held. So an empty list means that nobody was there.
pub fn present(roots: &Roots) -> io::Result<Vec<Present>> {
    for _ in 0..ATTEMPTS_TO_HOLD {
        let mut found = Vec::new();
        let mut has_lost = false;
        let most = most_held();
        for member in look(roots)?.members(roots) {
            if found.len() >= most {
                break;
            }
            match PidFd::open_verified(&member.identity) {
                Ok(Some(handle)) => found.push(Present { member, handle }),
                Ok(None) => has_lost = true,
                Err(error) if is_out_of_descriptors(&error) && !found.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        // One that is gone may have left a child that was not there yet when we looked.
        if !has_lost || !found.is_empty() {
            return Ok(found);
        }
    }
    Err(io::Error::other(
        "processes come and go too fast to be held",
    ))
}

/// The members that are there now, as people are told of them. They are not touched.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn who_is_there(roots: &Roots) -> io::Result<Vec<Survivor>> {
    let members = look(roots)?.members(roots).into_iter();
    Ok(members
        .map(|member| Survivor {
            pid: member.identity.pid,
            command: command_of(member.identity.pid),
            user: user_of(member.identity.pid),
            reason: "it has not ended".into(),
            is_killed: false,
            why: member.why,
        })
        .collect())
}

/// How often members may be seen, and be gone before they are held.
const ATTEMPTS_TO_HOLD: u32 = 20;

/// How many members one look holds at most: others need descriptors too.
fn most_held() -> usize {
    let limit = usize::try_from(limit().unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    (limit / 16).max(4)
}

/// Continues every member that is stopped: a sweeper that was killed between freezing and killing
/// leaves such. Returns how many there were.
///
/// # Errors
/// When `/proc` cannot be read, or no handle can be opened.
pub fn thaw(roots: &Roots) -> io::Result<usize> {
    let mut count = 0;
    for one in present(roots)? {
        let stat = Stat::read(one.member.identity.pid)?;
        if stat.is_some_and(|stat| stat.is_stopped())
            && matches!(one.handle.send(libc::SIGCONT), Ok(Delivery::Delivered))
        {
            count += 1;
        }
    }
    Ok(count)
}

/// Ends every member and proves it. Blocking; bounded by `limits`.
///
/// # Errors
/// When `/proc` cannot be read, or no handle can be opened at all. What was frozen is thawed then.
pub fn sweep(roots: &Roots, limits: &Limits) -> io::Result<Outcome> {
    let roots = &Roots {
        // Whoever sweeps does not sweep itself.
        spared: [&roots.spared[..], &[std::process::id().cast_signed()]].concat(),
        ..roots.clone()
    };
    let mut frozen = Frozen::default();
    let is_quiet = frozen.freeze_all(roots, Instant::now() + limits.freeze)?;
    if is_quiet && frozen.held.is_empty() {
        return Ok(Outcome::default());
    }
    frozen.kill_all(roots, Instant::now() + limits.kill)
}

/// The set as far as it has been found, by pid. Whoever of it is frozen and not killed is thawed
/// when this is dropped.
#[derive(Debug, Default)]
struct Frozen {
    held: BTreeMap<i32, Held>,
    /// Who was held and is over.
    ended: Vec<Member>,
}

#[derive(Debug)]
struct Held {
    present: Present,
    state: HeldState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeldState {
    /// It got SIGSTOP.
    Frozen,
    /// It got SIGKILL.
    Killed,
    /// It may not be signalled by us.
    Untouchable,
}

impl Held {
    fn is_over(&self) -> bool {
        // When poll(2) fails, nothing is known; then it is not taken to be gone.
        self.present.handle.is_over().unwrap_or(false)
    }
}

/// How often in a row nobody new must be found.
const QUIET_LOOKS: u32 = 2;
/// How long the kernel gets to carry out a SIGSTOP, and how often it is looked at meanwhile.
const STILL_LIMIT: Duration = Duration::from_millis(20);
const STILL_PAUSE: Duration = Duration::from_micros(500);
/// How long the killed are waited for until it is looked again whether there are others.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

impl Frozen {
    /// Freezes the set until it holds still, or the deadline; says whether it does.
    fn freeze_all(&mut self, roots: &Roots, deadline: Instant) -> io::Result<bool> {
        let mut quiet = 0;
        while quiet < QUIET_LOOKS && Instant::now() < deadline {
            if self.look(roots)? {
                self.await_stillness();
                quiet = 0;
            } else {
                quiet += 1;
            }
        }
        Ok(quiet >= QUIET_LOOKS)
    }

    /// Freezes all that is found and not held yet. Returns whether there was a trace of any such:
    /// one that is gone already may have left a child.
    fn look(&mut self, roots: &Roots) -> io::Result<bool> {
        let has_trace = self.freeze_members(roots)?;
        if has_trace {
            // Somebody is there. Should it be one that does not wait to be looked at, it is met here.
            self.freeze_marked(roots)?;
            self.freeze_orphans(roots)?;
        }
        Ok(has_trace)
    }

    /// Freezes each process that carries the mark the moment that it is seen.
    fn freeze_marked(&mut self, roots: &Roots) -> io::Result<()> {
        let Some(owner) = roots.owner.filter(|owner| is_mark_proof(owner, roots)) else {
            return Ok(());
        };
        visit_all(|pid| {
            if is_marked(pid, &owner)
                && !roots.is_spared(pid)
                && !self.is_held(pid)
                && let Some(present) = open_marked(pid, owner)?
            {
                self.freeze(present);
            }
            Ok(())
        })
    }

    /// Freezes each child that came to a subreaper the moment that it is seen.
    fn freeze_orphans(&mut self, roots: &Roots) -> io::Result<()> {
        // Where the kernel does not list children, the full look has to do.
        if !is_listing_children() {
            return Ok(());
        }
        for subreaper in &roots.orphans_of {
            visit_children(*subreaper, |pid| {
                if !roots.is_spared(pid)
                    && !self.is_held(pid)
                    && let Some(present) = open_orphan(pid, *subreaper)?
                {
                    self.freeze(present);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Looks at everything that matters and freezes each member that is not held yet; says whether
    /// there was any.
    fn freeze_members(&mut self, roots: &Roots) -> io::Result<bool> {
        let mut has_trace = false;
        for member in look(roots)?.members(roots) {
            if !self.is_held(member.identity.pid) {
                has_trace = true;
                if let Some(present) = self.open(member)? {
                    self.freeze(present);
                }
            }
        }
        Ok(has_trace)
    }

    /// Whether this pid is that of a process which is held, and not over: then it is nobody else's.
    fn is_held(&self, pid: i32) -> bool {
        self.held.get(&pid).is_some_and(|held| !held.is_over())
    }

    /// A handle on a member; `None` when it is gone.
    fn open(&self, member: Member) -> io::Result<Option<Present>> {
        // Those that are held are killed, and let go of, before the rest is looked for again.
        if self.held.len() >= most_held() {
            return Ok(None);
        }
        match PidFd::open_verified(&member.identity) {
            Ok(handle) => Ok(handle.map(|handle| Present { member, handle })),
            Err(error) if is_out_of_descriptors(&error) && !self.held.is_empty() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends SIGSTOP to a process and holds it.
    fn freeze(&mut self, present: Present) {
        crash::point("sweep: before STOP");
        let state = match present.handle.send(libc::SIGSTOP) {
            Ok(Delivery::Delivered) => HeldState::Frozen,
            Ok(Delivery::Gone) => return,
            Err(_) => HeldState::Untouchable,
        };
        let pid = present.member.identity.pid;
        if let Some(earlier) = self.held.insert(pid, Held { present, state }) {
            self.ended.push(earlier.present.member);
        }
    }

    /// SIGSTOP takes effect when its target next leaves the kernel. Waits for that, within reason.
    fn await_stillness(&self) {
        let deadline = Instant::now() + STILL_LIMIT;
        let is_still = |(pid, held): (&i32, &Held)| {
            held.state != HeldState::Frozen
                || match Stat::read(*pid) {
                    Ok(Some(stat)) => stat.is_stopped() || stat.is_over(),
                    Ok(None) | Err(_) => true,
                }
        };
        while !self.held.iter().all(is_still) && Instant::now() < deadline {
            std::thread::sleep(STILL_PAUSE);
        }
    }

    /// Kills the set, and whatever else is found of it, until nobody is there, or the deadline.
    fn kill_all(mut self, roots: &Roots, deadline: Instant) -> io::Result<Outcome> {
        let mut quiet = 0;
        while quiet < QUIET_LOOKS && Instant::now() < deadline {
            self.kill_held((Instant::now() + BETWEEN_LOOKS).min(deadline));
            quiet = if self.look(roots)? || self.is_awaiting_ends() {
                0
            } else {
                quiet + 1
            };
        }
        // Whoever the last look found gets its chance to die before it is called a survivor.
        self.kill_held(Instant::now() + BETWEEN_LOOKS);
        Ok(Outcome {
            survivors: self.held.values().map(describe).collect(),
            ended: std::mem::take(&mut self.ended),
        })
    }

    /// Kills all that are held, waits for their ends until the deadline, and lets go of those that
    /// are over.
    fn kill_held(&mut self, deadline: Instant) {
        for held in self.held.values_mut() {
            if held.state == HeldState::Killed {
                continue;
            }
            crash::point("sweep: before KILL");
            held.state = if held.present.handle.send(libc::SIGKILL).is_ok() {
                crash::point("sweep: after KILL");
                HeldState::Killed
            } else {
                held.thaw();
                HeldState::Untouchable
            };
        }
        let killed = self
            .held
            .values()
            .filter(|held| held.state == HeldState::Killed);
        let killed: Vec<&PidFd> = killed.map(|held| &held.present.handle).collect();
        // An error of poll(2) only costs us the waiting; who is over is asked below.
        let _ = wait_all(&killed, deadline);
        let over = self.held.extract_if(.., |_, held| held.is_over());
        self.ended.extend(over.map(|(_, held)| held.present.member));
    }

    /// Whether somebody was killed and is not over.
    fn is_awaiting_ends(&self) -> bool {
        self.held
            .values()
            .any(|held| held.state == HeldState::Killed)
    }
}

impl Held {
    /// Continues it, if we have stopped it. Should it not be allowed, it was not us who could stop
    /// it either.
    fn thaw(&self) {
        if self.state == HeldState::Frozen {
            let _ = self.present.handle.send(libc::SIGCONT);
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.held.values().for_each(Held::thaw);
    }
}

fn is_marked(pid: i32, owner: &Owner) -> bool {
    matches!(read_mark(pid), Ok(Some(mark)) if owner.owns(&mark))
}

/// Whether the mark alone proves that a process belongs to the set. Where a shared tmux server
/// carries it, that takes a look at everything.
fn is_mark_proof(owner: &Owner, roots: &Roots) -> bool {
    let mut shared = roots.shared_servers.iter();
    !shared.any(|server| is_marked(*server, owner))
}

/// A handle on a process whose mark was read while the handle was open; `None` when it is over, the
/// number has changed hands, or it cannot be held now.
fn open_marked(pid: i32, owner: Owner) -> io::Result<Option<Present>> {
    open_that(pid, Why::Marked(owner), || is_marked(pid, &owner))
}

/// The same for a child of a subreaper that nobody answers for.
fn open_orphan(pid: i32, subreaper: i32) -> io::Result<Option<Present>> {
    open_that(pid, Why::Orphan(subreaper), || {
        let stat = Stat::read(pid).ok().flatten();
        stat.is_some_and(|stat| stat.ppid == subreaper) && !is_answered_for(pid)
    })
}

/// A handle on a process that proves to be a member while the handle is open.
fn open_that(pid: i32, why: Why, is_member: impl FnOnce() -> bool) -> io::Result<Option<Present>> {
    let handle = match PidFd::open(pid) {
        Ok(Some(handle)) => handle,
        Ok(None) => return Ok(None),
        // What is held has to be let go of first; the full look comes to the rest.
        Err(error) if is_out_of_descriptors(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(identity) = Identity::of(pid)? else {
        return Ok(None);
    };
    // As long as the process is not over, its number is its own, so all that was read by number in
    // between is about it.
    if !is_member() || handle.is_over()? {
        return Ok(None);
    }
    let member = Member { identity, why };
    Ok(Some(Present { member, handle }))
}

/// What people are told of one that is left.
fn describe(held: &Held) -> Survivor {
    let member = &held.present.member;
    let pid = member.identity.pid;
    let user = user_of(pid);
    let state = Stat::read(pid).ok().flatten().map(|stat| stat.state);
    let reason = match (held.state, state) {
        (HeldState::Untouchable, _) => {
            format!("it runs as {user}, and we may not signal it")
        }
        (_, Some(b'D')) => {
            "it is held up in the kernel (state D) and ends when the kernel lets go of it"
                .to_owned()
        }
        _ => "KILL was sent, but it has not ended yet".to_owned(),
    };
    Survivor {
        pid,
        command: command_of(pid),
        user,
        reason,
        is_killed: held.state == HeldState::Killed,
        why: member.why,
    }
}

/// The longest command line that is told.
const LONGEST_COMMAND: usize = 200;

/// The command line of a process for people, or its name in brackets. It proves nothing: a process
/// can call itself what it likes.
pub fn command_of(pid: i32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = String::from_utf8_lossy(&line);
    let words: Vec<&str> = words.split('\0').filter(|word| !word.is_empty()).collect();
    let text = if words.is_empty() {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        format!("[{}]", name.trim_end())
    } else {
        words.join(" ")
    };
    let shown = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    shown.take(LONGEST_COMMAND).collect()
}

/// The name of the user that a process runs as, or the number, or `?`.
pub(crate) fn user_of(pid: i32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let uid = status.lines().find_map(|line| {
        let real = line.strip_prefix("Uid:")?.split_ascii_whitespace().next()?;
        real.parse::<u32>().ok()
    });
    match uid {
        Some(uid) => name_of_user(uid),
        None => "?".to_owned(),
    }
}

/// The name of a user, or the number.
pub fn name_of_user(uid: u32) -> String {
    match nix::unistd::User::from_uid(uid.into()) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => format!("user {uid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state_of(pid: i32) -> u8 {
        Stat::read(pid).unwrap().unwrap().state
    }

    fn await_state(pid: i32, is_there: impl Fn(u8) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !is_there(state_of(pid)) {
            assert!(
                Instant::now() < deadline,
                "it stays in state {}",
                state_of(pid)
            );
            std::thread::sleep(STILL_PAUSE);
        }
    }

    /// Whatever keeps a sweep from its second half, nobody stays frozen.
    #[test]
    fn what_is_not_killed_is_thawed() {
        let mut sleep = std::process::Command::new("sleep");
        let mut child = sleep.arg("1000").spawn().unwrap();
        let pid = child.id().cast_signed();
        let identity = Identity::of(pid).unwrap().unwrap();
        let handle = PidFd::open_verified(&identity).unwrap().unwrap();
        let member = Member {
            identity,
            why: Why::Leader,
        };
        let mut frozen = Frozen::default();
        frozen.freeze(Present { member, handle });
        await_state(pid, |state| state == b'T');
        drop(frozen);
        await_state(pid, |state| state != b'T');
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn people_are_told_what_a_process_is() {
        let me = std::process::id().cast_signed();
        let name = std::env::args().next().unwrap();
        assert!(command_of(me).starts_with(&name));
        let uid = nix::unistd::getuid();
        let user = nix::unistd::User::from_uid(uid).unwrap();
        assert_eq!(Some(user_of(me)), user.map(|user| user.name));
        // A zombie has no command line any more.
        let mut child = std::process::Command::new("true").spawn().unwrap();
        await_state(child.id().cast_signed(), |state| state == b'Z');
        assert_eq!(command_of(child.id().cast_signed()), "[true]");
        child.wait().unwrap();
        assert_eq!(user_of(-1), "?");
    }
}
