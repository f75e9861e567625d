//! The dependency graph as text, for Graphviz, for Mermaid and for programs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{FAINT, Look, STRONG};
use crate::graph::Graph;
use crate::id::ServiceName;
use crate::manifest::model::Manifest;

/// The services in the order in which they start, each with what it needs.
pub fn text(manifest: &Manifest, graph: &Graph, look: &Look) -> String {
    let mut text = String::new();
    for name in in_start_order(graph) {
        text += &look.paint(STRONG, name.as_str());
        let service = &manifest.services[&name];
        if service.kind.word() != "process" {
            text += &look.paint(FAINT, &format!(" ({})", service.kind.word()));
        }
        text.push('\n');
        for (dependency, edge) in &service.depends_on {
            text += &format!("  needs {dependency} ({})\n", edge.condition.word());
        }
    }
    text
}

/// For `dot`: an arrow points from who needs to who is needed.
pub fn dot(manifest: &Manifest, graph: &Graph) -> String {
    let mut text = format!("digraph \"{}\" {{\n  rankdir=LR;\n", manifest.project);
    for service in manifest.services.values() {
        let shape = match service.kind.word() {
            "task" => "note",
            "tmux" => "component",
            _ => "box",
        };
        text += &format!("  \"{}\" [shape={shape}];\n", service.name);
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

/// For Mermaid, as Markdown pages show it. Names could be keywords there, so nodes have numbers.
pub fn mermaid(manifest: &Manifest, graph: &Graph) -> String {
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
    text
}

/// `{"version":1,"services":[…],"edges":[…]}`, services in the order in which they start.
pub fn json(manifest: &Manifest, graph: &Graph) -> Value {
    let services: Vec<Value> = in_start_order(graph)
        .iter()
        .map(|name| {
            let service = &manifest.services[name];
            json!({ "name": name, "type": service.kind.word(), "groups": service.groups })
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
