//! What differs between two declarations of one service, and whether a running process cares.
//!
//! Nobody wants a service restarted because its description was edited. So each field is one of
//! three sorts: what made the process (a new run is needed), what only the supervisor uses (taken
//! over by the run that lives), and the readiness probe, which matters until the run is ready.
//! A field that this module does not know counts as one that made the process.
//!
//! The difference is named by the manifest's keys and never by values: they may be secrets.

use serde_json::{Map, Value};

use crate::manifest::model::Service;

/// The names of the fields in which two declarations differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    process: Vec<String>,
    readiness: Vec<String>,
    supervision: Vec<String>,
}

/// Used by the supervisor only: a run that lives takes them over.
const SUPERVISION: [&str; 7] = [
    "groups",
    "depends_on",
    "restart",
    "stop",
    "success_exit",
    "cleanup",
    "log",
];

/// Of no consequence to what runs.
const NO_CHANGE: [&str; 2] = ["name", "description"];

impl Change {
    /// Compares two declarations.
    pub fn between(old: &Service, new: &Service) -> Self {
        let mut change = Self::default();
        if old == new {
            return change;
        }
        let (old, new) = (fields(old), fields(new));
        for key in differing_keys(&old, &new) {
            let old = old.get(key).unwrap_or(&Value::Null);
            let new = new.get(key).unwrap_or(&Value::Null);
            match key {
                key if NO_CHANGE.contains(&key) => {}
                "env" => compare_environments(old, new, &mut change.process),
                "ready" => compare(key, old, new, &mut change.readiness),
                key if SUPERVISION.contains(&key) => {
                    compare(key, old, new, &mut change.supervision);
                }
                "type" => change.process.push(kind_field(old, new)),
                key => change.process.push(key.into()),
            }
        }
        change
    }

    /// Whether there is no difference that anybody would call one.
    pub fn is_empty(&self) -> bool {
        self.fields().next().is_none()
    }

    /// Whether a live run made from the old declaration has to be replaced by one made from the
    /// new. `is_ready`: its readiness is settled, so that another probe cannot matter to it.
    pub fn needs_restart(&self, is_ready: bool) -> bool {
        !self.process.is_empty() || (!is_ready && !self.readiness.is_empty())
    }

    /// The names of the fields: `command`, `env.PORT`, `restart.delay`.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.process
            .iter()
            .chain(&self.readiness)
            .chain(&self.supervision)
            .map(String::as_str)
    }
}

/// What a service that is kept as it is takes over from a new declaration: all that needs no new
/// run. The rest stays what it was: the fields that made the process; the probe, unless `is_ready`;
/// and the environment's base, so that a restart by policy sees the same as the first start did.
pub fn take_over(old: &Service, new: &Service, is_ready: bool) -> Service {
    let ready = if is_ready { &new.ready } else { &old.ready };
    Service {
        description: new.description.clone(),
        groups: new.groups.clone(),
        depends_on: new.depends_on.clone(),
        ready: ready.clone(),
        restart: new.restart.clone(),
        stop: new.stop.clone(),
        success_exit: new.success_exit.clone(),
        cleanup: new.cleanup.clone(),
        log: new.log,
        ..old.clone()
    }
}

fn fields(service: &Service) -> Map<String, Value> {
    match serde_json::to_value(service) {
        Ok(Value::Object(fields)) => fields,
        // A declaration always becomes an object: its keys are texts and its numbers are finite.
        Ok(_) | Err(_) => Map::new(),
    }
}

/// Names what differs one level down, where both sides have that level.
fn compare(key: &str, old: &Value, new: &Value, into: &mut Vec<String>) {
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        into.push(key.into());
        return;
    };
    for inner in differing_keys(old, new) {
        // The kind of probe stands beside `interval` and `timeout` in the manifest.
        into.push(match inner {
            "probe" => key.into(),
            inner => format!("{key}.{inner}"),
        });
    }
}

fn compare_environments(old: &Value, new: &Value, into: &mut Vec<String>) {
    for (part, key) in [("inherited", "env_inherit"), ("set", "env")] {
        if let (Value::Object(old), Value::Object(new)) = (&old[part], &new[part]) {
            into.extend(differing_keys(old, new).map(|name| format!("{key}.{name}")));
        }
    }
    for (part, key) in [("files", "env_files"), ("unset", "env_unset")] {
        if old[part] != new[part] {
            into.push(key.into());
        }
    }
}

/// The keys of either side whose values differ, the new side's first.
fn differing_keys<'a>(
    old: &'a Map<String, Value>,
    new: &'a Map<String, Value>,
) -> impl Iterator<Item = &'a str> {
    let added_or_changed = new.iter().filter(|(k, v)| old.get(*k) != Some(v));
    let removed = old.iter().filter(|(k, _)| !new.contains_key(*k));
    added_or_changed.chain(removed).map(|(k, _)| k.as_str())
}

fn kind_field(old: &Value, new: &Value) -> String {
    let is_tmux = |kind: &Value| kind.get("tmux").is_some();
    if is_tmux(old) && is_tmux(new) {
        "session".into()
    } else {
        "type".into()
    }
}
