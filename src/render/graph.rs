//! The dependency graph as text, for Graphviz, for Mermaid and for programs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::status::state_style;
use super::{BAD, BUSY, FAINT, GOOD, Look, STRONG};
use crate::graph::Graph;
use crate::id::ServiceName;
use crate::machine::StateWord;
use crate::manifest::model::Manifest;

/// What the services are now; empty when nothing runs.
pub type States = BTreeMap<ServiceName, StateWord>;

/// The services in the order in which they start, each with what it is and what it needs.
pub fn text(manifest: &Manifest, graph: &Graph, states: &States, look: &Look) -> String {
    let is_now = |name: &ServiceName| {
        states.get(name).map_or_else(String::new, |state| {
            format!(": {}", look.paint(state_style(*state), state.word()))
        })
    };
    let mut text = String::new();
    for name in in_start_order(graph) {
        text += &look.paint(STRONG, name.as_str());
        let service = &manifest.services[&name];
        if service.kind.word() != "process" {
            text += &look.paint(FAINT, &format!(" ({})", service.kind.word()));
        }
        text += &is_now(&name);
        text.push('\n');
        for (dependency, edge) in &service.depends_on {
            let (condition, state) = (edge.condition.word(), is_now(dependency));
            text += &format!("  needs {dependency} ({condition}){state}\n");
        }
    }
    text
}

/// For `dot`: an arrow points from who needs to who is needed.
pub fn dot(manifest: &Manifest, graph: &Graph, states: &States) -> String {
    let mut text = format!("digraph \"{}\" {{\n  rankdir=LR;\n", manifest.project);
    for service in manifest.services.values() {
        let shape = match service.kind.word() {
            "task" => "note",
            "tmux" => "component",
            _ => "box",
        };
        let state = states.get(&service.name).map_or_else(String::new, |state| {
            format!(
                ", style=filled, fillcolor=\"{}\", tooltip=\"{}\"",
                fill(*state),
                state.word()
            )
        });
        text += &format!("  \"{}\" [shape={shape}{state}];\n", service.name);
    }
    for edge in graph.edges() {
        text += &format!(
            "  \"{}\" -> \"{}\" [label=\"{}\"];\n",
            edge.dependent,
            edge.dependency,
            edge.condition.word()
        );
    }
    text += "}\n";
    text
}

/// The background of a service in a picture: a pale green, yellow, red or grey on which black text
/// can be read.
fn fill(state: StateWord) -> &'static str {
    match state_style(state) {
        GOOD => "#c8e6c9",
        BUSY => "#fff3c4",
        BAD => "#ffcdd2",
        _ => "#e0e0e0",
    }
}

/// For Mermaid, as Markdown pages show it. Names could be keywords there, so nodes have numbers.
pub fn mermaid(manifest: &Manifest, graph: &Graph, states: &States) -> String {
    let numbers: BTreeMap<&ServiceName, usize> = manifest.services.keys().zip(0..).collect();
    let mut text = String::from("flowchart LR\n");
    for (name, service) in &manifest.services {
        let (open, close) = match service.kind.word() {
            "task" => ("(", ")"),
            "tmux" => ("[[", "]]"),
            _ => ("[", "]"),
        };
        text += &format!("  s{}{open}\"{name}\"{close}\n", numbers[name]);
    }
    for edge in graph.edges() {
        text += &format!(
            "  s{} -->|{}| s{}\n",
            numbers[&edge.dependent],
            edge.condition.word(),
            numbers[&edge.dependency]
        );
    }
    for (name, state) in states {
        if let Some(number) = numbers.get(name) {
            text += &format!("  style s{number} fill:{}\n", fill(*state));
        }
    }
    text
}

/// `{"version":1,"services":[…],"edges":[…]}`, services in the order in which they start. `state` is
/// `null` while no supervisor runs.
pub fn json(manifest: &Manifest, graph: &Graph, states: &States) -> Value {
    let services: Vec<Value> = in_start_order(graph)
        .iter()
        .map(|name| {
            let service = &manifest.services[name];
            json!({
                "name": name,
                "type": service.kind.word(),
                "groups": service.groups,
                "state": states.get(name),
            })
        })
        .collect();
    let edges: Vec<Value> = graph
        .edges()
        .iter()
        .map(|edge| {
            json!({
                "dependent": edge.dependent,
                "dependency": edge.dependency,
                "condition": edge.condition,
            })
        })
        .collect();
    json!({ "version": 1, "project": manifest.project, "services": services, "edges": edges })
}

fn in_start_order(graph: &Graph) -> Vec<ServiceName> {
    let all = graph.services().cloned().collect();
    graph.waves(&all).into_iter().flatten().collect()
}
