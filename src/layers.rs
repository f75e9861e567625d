//! The layers of containment: what each does, and whether it holds on this host.
//!
//! None of them is needed for services to run. Each that is missing leaves the others more to do,
//! and what that costs is said ([`Layer::without`]). [`sys::layers`](crate::sys::layers) finds out,
//! `docs/containment.md` explains.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One layer of containment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// A number in `RLIMIT_LOCKS` that every process of a run carries from birth.
    Mark,
    /// The supervisor becomes the parent of what its descendants orphan.
    Subreaper,
    /// Signals go through handles that stay on one process, whoever gets its number.
    Pidfd,
    /// The kernel lists the children of each thread.
    Children,
    /// The kernel tells how a process ended that is not our child.
    ExitStatus,
    /// A control group for each service.
    Cgroup,
}

impl Layer {
    /// Every layer, in the order in which people are told.
    pub const ALL: [Self; 6] = [
        Self::Mark,
        Self::Subreaper,
        Self::Pidfd,
        Self::Children,
        Self::ExitStatus,
        Self::Cgroup,
    ];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mark => "mark",
            Self::Subreaper => "subreaper",
            Self::Pidfd => "pidfd",
            Self::Children => "children",
            Self::ExitStatus => "exit status",
            Self::Cgroup => "cgroup",
        }
    }

    /// What it is good for.
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Mark => "names the run of every process, whatever it does to leave",
            Self::Subreaper => "what is orphaned comes to the supervisor and stays its descendant",
            Self::Pidfd => "a signal never hits a stranger who got the number",
            Self::Children => "finds unmarked descendants without reading all of /proc",
            Self::ExitStatus => "tells how an adopted service ended",
            Self::Cgroup => "not used: all of this works as an ordinary user, in any container",
        }
    }

    /// What is lost where it does not hold.
    pub fn without(self) -> &'static str {
        match self {
            Self::Mark => {
                "a process that left its group, its session and all its living relatives is found \
                 only when the whole project goes down, and not any more once the supervisor was \
                 killed"
            }
            Self::Subreaper => "what is orphaned is found by its mark only",
            Self::Pidfd => "no signal can be sent safely, so none is sent",
            Self::Children => "each look at the processes takes longer",
            Self::ExitStatus => {
                "the exit status of a service that an earlier supervisor started is unknown"
            }
            Self::Cgroup => "nothing",
        }
    }
}

/// Whether a layer does its work here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Holding {
    /// It was tried, and it works.
    Held,
    /// It does not, for this reason.
    Missing {
        /// Why, in words for people.
        why: String,
    },
    /// Nothing here makes use of it.
    Unused,
}

impl Holding {
    /// Whether it was tried and works.
    pub fn is_held(&self) -> bool {
        *self == Self::Held
    }

    /// Missing, for this reason.
    pub fn missing(why: impl Into<String>) -> Self {
        Self::Missing { why: why.into() }
    }
}

impl<E: std::fmt::Display> From<Result<(), E>> for Holding {
    fn from(tried: Result<(), E>) -> Self {
        match tried {
            Ok(()) => Self::Held,
            Err(why) => Self::missing(why.to_string()),
        }
    }
}

/// Which layers hold on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Layers {
    /// See [`Layer::Mark`].
    pub mark: Holding,
    /// See [`Layer::Subreaper`].
    pub subreaper: Holding,
    /// See [`Layer::Pidfd`].
    pub pidfd: Holding,
    /// See [`Layer::Children`].
    pub children: Holding,
    /// See [`Layer::ExitStatus`].
    pub exit_status: Holding,
    /// See [`Layer::Cgroup`].
    pub cgroup: Holding,
}

impl Layers {
    /// How it stands with one of them.
    pub fn of(&self, layer: Layer) -> &Holding {
        match layer {
            Layer::Mark => &self.mark,
            Layer::Subreaper => &self.subreaper,
            Layer::Pidfd => &self.pidfd,
            Layer::Children => &self.children,
            Layer::ExitStatus => &self.exit_status,
            Layer::Cgroup => &self.cgroup,
        }
    }

    /// Those of [`Layers::missing`] without which something may escape.
    pub fn leaks(&self) -> impl Iterator<Item = (Layer, &str)> {
        self.missing().filter(|(layer, _)| match layer {
            Layer::Mark | Layer::Subreaper | Layer::Pidfd => true,
            Layer::Children | Layer::ExitStatus | Layer::Cgroup => false,
        })
    }

    /// Those that do not hold and are missed, with the reason.
    pub fn missing(&self) -> impl Iterator<Item = (Layer, &str)> {
        Layer::ALL
            .into_iter()
            .filter_map(|layer| match self.of(layer) {
                Holding::Missing { why } => Some((layer, why.as_str())),
                Holding::Held | Holding::Unused => None,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_with_its_reason() {
        let layers = Layers {
            mark: Holding::missing("a filter refuses"),
            subreaper: Ok::<(), String>(()).into(),
            pidfd: Holding::Held,
            children: Holding::Held,
            exit_status: Err("the kernel is older than 6.15").into(),
            cgroup: Holding::Unused,
        };
        let missing: Vec<_> = layers.missing().collect();
        assert_eq!(
            missing,
            [
                (Layer::Mark, "a filter refuses"),
                (Layer::ExitStatus, "the kernel is older than 6.15"),
            ]
        );
    }

    #[test]
    fn programs_read_what_was_written() {
        let layers = Layers {
            mark: Holding::missing("x"),
            subreaper: Holding::Held,
            pidfd: Holding::Held,
            children: Holding::Held,
            exit_status: Holding::Held,
            cgroup: Holding::Unused,
        };
        let json = serde_json::to_value(&layers).unwrap();
        assert_eq!(json["mark"]["state"], "missing");
        assert_eq!(json["mark"]["why"], "x");
        assert_eq!(json["cgroup"]["state"], "unused");
        assert_eq!(serde_json::from_value::<Layers>(json).unwrap(), layers);
    }
}
