//! What a self-test came to.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::layers::Layers;

/// The whole.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Of this structure.
    pub version: u32,
    /// Whether nothing escaped, every trick that this host allows was played, and `down` told the
    /// truth.
    pub contained: bool,
    /// Which layers of containment hold here.
    pub layers: Layers,
    /// Trick by trick.
    pub tricks: Vec<TrickReport>,
    /// The normal stop.
    pub normal: Stop,
    /// The stop after the supervisor was killed.
    pub after_kill: Stop,
    /// How long it took, in seconds.
    #[serde(serialize_with = "seconds")]
    pub seconds: Duration,
}

/// One trick.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrickReport {
    /// Its name.
    pub name: String,
    /// What it does.
    pub does: String,
    /// What became of it at a normal stop.
    pub normal: Outcome,
    /// What became of it when the supervisor had been killed.
    pub after_kill: Outcome,
}

/// What became of a trick.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It was played, and nothing is left of it.
    Contained {
        /// What there is to say about it all the same.
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// Something of it is left.
    Survived {
        /// What.
        left: Vec<Left>,
    },
    /// This host does not allow it.
    Skipped {
        /// Why not.
        why: String,
    },
    /// It should have been played, and was not.
    Unplayed {
        /// Why not.
        why: String,
    },
}

impl Outcome {
    /// Whether it speaks against this host.
    pub fn is_bad(&self) -> bool {
        match self {
            Self::Contained { .. } | Self::Skipped { .. } => false,
            Self::Survived { .. } | Self::Unplayed { .. } => true,
        }
    }
}

/// Something that is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// Its pid, when it is a process.
    pub pid: Option<i32>,
    /// Its command line, or what it is.
    pub what: String,
}

/// One of the two stops.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stop {
    /// What `down` exited with; `None`: it was ended by a signal.
    pub down_exit: Option<i32>,
    /// What `down` had to say, when it did not exit with 0.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub down_said: String,
    /// How long `down` took, in seconds.
    #[serde(serialize_with = "seconds")]
    pub down_seconds: Duration,
    /// What is left and is no trick's.
    pub left: Vec<Left>,
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    // Milliseconds are as much as anybody wants to know.
    serializer.serialize_f64((time.as_secs_f64() * 1000.0).round() / 1000.0)
}
