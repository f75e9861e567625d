//! What a supervisor that starts in the background says to whoever started it: lines of JSON on
//! its standard output, until it is ready or has failed. After that it has no standard output.

use std::io::Write;

use serde::{Deserialize, Serialize};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Something that takes its time is being done.
    Note(String),
    /// It answers on the control socket from now on.
    Ready,
    /// Another supervisor holds the lock; this one leaves.
    Locked,
    /// It could not start.
    Failed {
        /// Why.
        message: String,
        /// What to do about it.
        help: Option<String>,
    },
}

impl Word {
    /// Says it. Whoever started us may be gone: that is no reason not to start.
    pub fn say(&self) {
        let text = serde_json::to_string(self).unwrap_or_default();
        let mut stdout = std::io::stdout();
        let _ = writeln!(stdout, "{text}");
        let _ = stdout.flush();
    }
}
