//! The tricks by which a process can try to outlive the service that it was started for.

mod daemons;
mod moments;
mod relatives;
mod stubborn;
mod worlds;

use super::part::{Part, Played};

/// What there must be to see for a trick to count as played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alive {
    /// At least so many processes, alive until they are ended.
    Members(usize),
    /// At least so many processes; they may be ended before anybody says so.
    Born(usize),
    /// A beating heart.
    Heart,
}

/// One trick.
#[derive(Debug)]
pub struct Trick {
    /// How it is called on the command line and in manifests.
    pub name: &'static str,
    /// What it does, in words for people.
    pub does: &'static str,
    /// What there is to see while it is played.
    pub alive: Alive,
    /// The tricks that must be ready before it can be played.
    pub needs: &'static [&'static str],
    play: fn(&Part) -> Played,
}

impl Trick {
    /// The trick of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|trick| trick.name == name)
    }

    pub(super) fn play(&self, part: &Part) -> Played {
        (self.play)(part)
    }
}

const fn trick(
    name: &'static str,
    does: &'static str,
    alive: Alive,
    play: fn(&Part) -> Played,
) -> Trick {
    Trick {
        name,
        does,
        alive,
        needs: &[],
        play,
    }
}

/// How many processes [`many`](moments::many) has, beside its leader.
pub const THOUSAND: usize = 1000;

/// Every trick.
pub static ALL: [Trick; 21] = [
    trick(
        "child",
        "a child in the group",
        Alive::Members(2),
        relatives::child,
    ),
    trick(
        "session",
        "a child in a session of its own",
        Alive::Members(2),
        relatives::session,
    ),
    trick(
        "sibling",
        "a child that is made the supervisor's own (CLONE_PARENT)",
        Alive::Members(2),
        relatives::sibling,
    ),
    trick(
        "groups",
        "a job-control shell with several groups",
        Alive::Members(7),
        relatives::groups,
    ),
    Trick {
        needs: &["child"],
        ..trick(
            "joiner",
            "a child that joins another service's group",
            Alive::Members(2),
            relatives::joiner,
        )
    },
    trick(
        "daemon",
        "a double-forked daemon that holds a port",
        Alive::Members(2),
        daemons::with_port,
    ),
    trick(
        "bare",
        "a double-forked daemon with an empty environment",
        Alive::Members(2),
        daemons::bare,
    ),
    trick(
        "closed",
        "a double-forked daemon with all descriptors closed",
        Alive::Members(2),
        daemons::closed,
    ),
    trick(
        "renamed",
        "a double-forked daemon that calls itself a kernel thread",
        Alive::Members(2),
        daemons::renamed,
    ),
    trick(
        "lowered",
        "a double-forked daemon that lowers its mark a little",
        Alive::Members(2),
        daemons::lowered,
    ),
    trick(
        "user",
        "a double-forked daemon that becomes another user",
        Alive::Members(2),
        daemons::other_user,
    ),
    trick(
        "deaf",
        "TERM, INT and HUP ignored by leader and child",
        Alive::Members(2),
        stubborn::deaf,
    ),
    trick(
        "stopped",
        "a stopped child in a session of its own",
        Alive::Members(2),
        stubborn::stopped,
    ),
    trick(
        "slow",
        "a slow leader with fast children",
        Alive::Members(4),
        stubborn::slow_leader,
    ),
    trick(
        "on-term",
        "a fork on TERM, again and again, each in a session of its own",
        Alive::Members(1),
        moments::fork_on_term,
    ),
    trick(
        "leaver",
        "a leader that leaves, and children that stay",
        Alive::Born(3),
        moments::leaver,
    ),
    trick(
        "hopper",
        "a hopper: forks every 20 ms, and only the child goes on, in a new session",
        Alive::Heart,
        moments::hopper,
    ),
    trick(
        "thousand",
        "a thousand members",
        Alive::Members(1 + THOUSAND),
        moments::many,
    ),
    trick(
        "tmux",
        "a tmux session on a socket of its own, with a process that ignores HUP",
        Alive::Members(3),
        worlds::tmux,
    ),
    trick(
        "namespaces",
        "a child in user and pid namespaces of its own",
        Alive::Members(3),
        worlds::namespaces,
    ),
    trick(
        "nested",
        "another project that it brings up, with a daemon in it",
        // Its supervisor is a fourth, where that is not killed.
        Alive::Members(3),
        worlds::nested,
    ),
];

/// What the processes of a trick do that are no trick by themselves: played by the same hidden
/// command.
pub(super) fn role(name: &str) -> Option<fn(&Part) -> Played> {
    Some(match name {
        "as-member" => relatives::member,
        "as-deaf-member" => stubborn::deaf_member,
        "as-daemon" => daemons::plain,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_what_is_needed_exists() {
        for (index, trick) in ALL.iter().enumerate() {
            assert!(!ALL[..index].iter().any(|other| other.name == trick.name));
            assert!(role(trick.name).is_none());
            for needed in trick.needs {
                assert!(Trick::named(needed).is_some_and(|needed| needed.needs.is_empty()));
            }
        }
    }
}
