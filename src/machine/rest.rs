//! What rests: services of which nothing more will become by itself.
//!
//! A command that waits for an order answers when everything that the order is about rests. So a
//! service does not rest while what it follows is on its way: that may come back with another run or
//! another value, and then replaces this run too. Otherwise the caller would see rest between the
//! news of the one and the news of the other.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::ServiceName;
use crate::machine::Project;
use crate::machine::service::{Node, Run, State};

impl Project {
    /// Whether nothing more will become of `node` by itself, as far as is known.
    pub(super) fn is_settled(&self, node: &Node) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            if !rests(node) {
                return false;
            }
            for name in followed(node).filter(|name| seen.insert(*name)) {
                open.extend(self.nodes.get(name));
            }
        }
        true
    }

    /// The services whose rest depends on that of `names`, directly or through others.
    pub(super) fn followers_of(&self, names: &BTreeSet<ServiceName>) -> BTreeSet<ServiceName> {
        let mut followers: BTreeMap<&ServiceName, Vec<&ServiceName>> = BTreeMap::new();
        for (name, node) in &self.nodes {
            for followed in followed(node) {
                followers.entry(followed).or_default().push(name);
            }
        }
        let mut found = BTreeSet::new();
        let mut open: Vec<&ServiceName> = names.iter().collect();
        while let Some(followed) = open.pop() {
            for name in followers.remove(followed).into_iter().flatten() {
                if found.insert(name.clone()) {
                    open.push(name);
                }
            }
        }
        found
    }

    /// The services that follow others.
    pub(super) fn all_followers(&self) -> impl Iterator<Item = ServiceName> {
        let nodes = self.nodes.iter();
        let nodes = nodes.filter(|(_, node)| followed(node).next().is_some());
        nodes.map(|(name, _)| name.clone())
    }
}

/// Whether nothing will become of `node` that lies in itself.
fn rests(node: &Node) -> bool {
    match &node.state {
        State::Down(_) => true,
        State::Ready { run, settles, .. } => {
            settles.is_none() && !node.is_going() && !is_being_examined(run)
        }
        State::Stopping { .. } => node.is_stuck(),
        State::Waiting
        | State::Spawning { .. }
        | State::Starting { .. }
        | State::Backoff { .. } => false,
    }
}

/// Whether it depends on an answer of the shell whether another run takes the place of this one.
fn is_being_examined(run: &Run) -> bool {
    let renewal = run.renewal.as_ref();
    renewal.is_some_and(|renewal| renewal.again.is_none())
}

/// What a run of `node` that is ready is replaced along with. Any other is not at rest anyway.
fn followed(node: &Node) -> impl Iterator<Item = &ServiceName> {
    let follows = node.is_declared && matches!(node.state, State::Ready { .. });
    let edges = node.declaration.depends_on.iter();
    let edges = edges.filter(|(_, edge)| edge.restart).map(|(name, _)| name);
    let references = node.declaration.references.iter();
    edges
        .chain(references.map(|one| &one.service))
        .filter(move |_| follows)
}
