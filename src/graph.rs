//! The one source of order: which service needs which, and when.

use crate::id::ServiceName;
use crate::manifest::model::{Condition, Manifest};

/// The dependency graph of a manifest; free of cycles by construction.
pub struct Graph {}

/// One edge: `dependent` needs `dependency`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// Who needs.
    pub dependent: ServiceName,
    /// Who is needed.
    pub dependency: ServiceName,
    /// What must be true of it.
    pub condition: Condition,
}

/// A path of edges that ends where it began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle {
    /// The edges, each beginning where the one before it ended.
    pub edges: Vec<Edge>,
}

impl Graph {
    /// Builds the graph from the resolved manifest.
    ///
    /// # Errors
    /// A shortest cycle, when there is one.
    pub fn new(_manifest: &Manifest) -> Result<Self, Cycle> {
        todo!()
    }
}
