//! What this host can do for a project, what would break, and how to mend it.
//!
//! [`gather`] looks; it changes nothing and needs no supervisor. What it found are [`Facts`], and
//! each check is a pure function of these ([`examine`]): a new one is a function in `checks` and a
//! line in its list.

mod checks;
mod facts;
pub mod gather;
mod manager;

use serde::Serialize;

pub use manager::{ManagerFact, UnitFact};

pub use facts::{
    Directory, DirectoryState, Facts, HeldPort, Leftover, ManifestFact, OwnedPort, TmuxFact,
    Trouble,
};

/// How a finding is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Nothing is wrong, but it is good to know.
    Note,
    /// Something does not work, or will not.
    Bad,
}

impl Verdict {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Note => "note",
            Self::Bad => "bad",
        }
    }
}

/// What one check came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The name of the check.
    pub check: &'static str,
    /// How it is to be taken.
    pub verdict: Verdict,
    /// What was found.
    pub finding: String,
    /// What to do about it, where there is something to do.
    pub fix: Option<String>,
}

impl Finding {
    fn good(check: &'static str, finding: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Good,
            finding: finding.into(),
            fix: None,
        }
    }

    fn note(check: &'static str, finding: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Note,
            finding: finding.into(),
            fix: Some(fix.into()),
        }
    }

    fn bad(check: &'static str, finding: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Bad,
            finding: finding.into(),
            fix: Some(fix.into()),
        }
    }
}

/// The result, as `doctor --json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The version of this shape: 1.
    pub version: u32,
    /// Whether no finding is bad.
    pub is_well: bool,
    /// All findings, in the order of the checks.
    pub findings: Vec<Finding>,
}

/// Runs every check.
pub fn examine(facts: &Facts) -> Report {
    let findings: Vec<Finding> = checks::ALL.iter().flat_map(|check| check(facts)).collect();
    Report {
        version: 1,
        is_well: findings.iter().all(|one| one.verdict != Verdict::Bad),
        findings,
    }
}
