//! From YAML text to the resolved form.
//!
//! ```text
//! text ─ yaml ─▶ nodes with spans ─ deserialize ─▶ raw ─ resolve, check ─▶ model
//! ```
//!
//! Each arrow reports all it finds and goes on with what is left, so that every mistake of a
//! manifest comes out in one go. Only [`load`](mod@load) touches the file system.

pub mod any_of;
mod check;
mod deserialize;
pub mod diagnostic;
mod dotenv;
pub mod environment;
mod excerpt;
mod expand;
mod field;
pub mod load;
pub mod model;
mod path;
mod raw;
pub mod reference;
mod scalars;
pub mod schema;
pub(crate) mod script;
mod similar;
pub mod source;
mod syntax;
pub mod unexpanded;
pub mod written;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::id::ProjectName;
use diagnostic::{Diagnostic, Report};
use model::Manifest;
use source::Sources;

pub use load::{FindError, find, former_project_name, is_gone, is_same_file, load, project_name};
pub use scalars::parse_duration;
pub use schema::schema;
pub use yaml::{PrintError, print as to_yaml};

/// What a manifest is resolved against: the circumstances of the command that gives the order.
pub struct Context<'a> {
    /// The environment of the ordering command.
    pub environment: BTreeMap<String, String>,
    /// Whether the ordering command runs as root: what others may write is then refused.
    pub is_root: bool,
    /// The name of the project of a manifest that does not give it, where it is not to be made from
    /// its directory.
    pub unwritten_project: Option<ProjectName>,
    /// Where a project of this name keeps its things.
    pub directories: &'a dyn Fn(&ProjectName) -> Directories,
    /// The instances of templates that there are, and those that are asked for.
    pub instances: &'a [model::Instance],
    /// The user of a name or number, where this host knows one.
    pub find_user: &'a dyn Fn(&str) -> Option<User>,
    /// Whether a program can be found: its name or path, the value of PATH, and the directory that
    /// relative paths start from.
    pub finds_program: &'a dyn Fn(&str, Option<&str>, &Path) -> bool,
}

/// A user of this host, as far as a manifest needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The login name.
    pub name: String,
    /// The home directory.
    pub home: String,
    /// The login shell.
    pub shell: String,
    /// Whether it is the user who gives the order.
    pub is_self: bool,
    /// Whether something can be started as this user here.
    pub may_be_become: bool,
}

/// Where a project keeps its things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directories {
    /// What outlives a reboot: `${baudbot.state_dir}`.
    pub state: PathBuf,
    /// What does not: `${baudbot.runtime_dir}`.
    pub runtime: PathBuf,
}

/// What came of loading a manifest.
#[derive(Debug)]
pub struct Loaded {
    /// The resolved form; there exactly when no diagnostic is an error.
    pub manifest: Option<Manifest>,
    /// All that is wrong, in the order of the files and of the places in them.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts that the diagnostics point into.
    pub sources: Sources,
    /// What it was made from.
    pub from: ReadFrom,
}

/// Where a manifest comes from: a change of any of these may change the manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadFrom {
    /// The manifest, what it includes, the env files that it names and the files that it asks for,
    /// those that are missing too.
    pub files: BTreeSet<PathBuf>,
    /// The directories in which `include` looks for files by a pattern.
    pub directories: BTreeSet<PathBuf>,
}

impl Loaded {
    /// What `validate --json` prints.
    pub fn to_json(&self) -> serde_json::Value {
        diagnostic::to_json(&self.diagnostics, &self.sources)
    }

    /// The diagnostics, ready to be drawn.
    pub fn reports(&self) -> impl Iterator<Item = Report> {
        self.diagnostics
            .iter()
            .map(|one| Report::new(one, &self.sources))
    }
}
