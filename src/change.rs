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
const SUPERVISION: [&str; 15] = [
    "groups",
    "env_required",
    "when",
    "depends_on",
    "settle",
    "health",
    "ports",
    "restart",
    "stop",
    "hooks",
    "success_exit",
    "cleanup",
    "legacy_sessions",
    "on_supervisor_loss",
    "log",
];

/// Of no consequence to what runs.
const NO_CHANGE: [&str; 5] = ["name", "description", "instance", "missing", "references"];

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
                // Its parts make sense together only.
                "cleanup" | "settle" => change.supervision.push(key.into()),
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
    if !new.missing.is_empty() {
        // It is not known whole; who needs whom is.
        return Service {
            description: new.description.clone(),
            groups: new.groups.clone(),
            depends_on: new.depends_on.clone(),
            ..old.clone()
        };
    }
    let ready = if is_ready { &new.ready } else { &old.ready };
    // Nobody keeps a service that is skipped; who is not asked about is not stopped by the way.
    let when = if new.is_skipped() {
        &old.when
    } else {
        &new.when
    };
    Service {
        description: new.description.clone(),
        groups: new.groups.clone(),
        depends_on: new.depends_on.clone(),
        ports: new.ports.clone(),
        when: when.clone(),
        env_required: new.env_required.clone(),
        ready: ready.clone(),
        settle: new.settle,
        health: new.health.clone(),
        restart: new.restart.clone(),
        stop: new.stop.clone(),
        hooks: new.hooks.clone(),
        success_exit: new.success_exit.clone(),
        cleanup: new.cleanup.clone(),
        legacy_sessions: new.legacy_sessions.clone(),
        on_supervisor_loss: new.on_supervisor_loss,
        log: new.log,
        instance: new.instance.clone(),
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
            // What became of it, and not how it is declared.
            "unmet" => continue,
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;
    use crate::declare::{checked, in_group, name, needs, probed, process};
    use crate::manifest::any_of::AnyOf;
    use crate::manifest::model::{
        Cleanup, Command, Condition, EnvFile, Exit, Export, HealthAction, Kind, Limit,
        OnSupervisorLoss, Policy, Probe, Signal, Source,
    };
    use crate::port::{Host, Port, Protocol};

    fn export() -> Export {
        Export {
            source: Source::Readlink("/alias".into()),
            pattern: None,
            interval: Duration::ZERO,
        }
    }

    fn file_probe() -> Probe {
        Probe::File {
            path: "/x".into(),
            max_age: None,
        }
    }

    type Edit = fn(&mut Service);

    fn port(number: u16) -> Port {
        Port {
            host: Host::Every,
            number,
            protocol: Protocol::Tcp,
        }
    }

    fn edited(edit: Edit) -> (Service, Service) {
        let mut old = probed("web");
        old.env.set.insert("PORT".into(), "1".into());
        let mut new = old.clone();
        edit(&mut new);
        (old, new)
    }

    fn fields_of(edit: Edit) -> Vec<String> {
        let (old, new) = edited(edit);
        let change = Change::between(&old, &new);
        change.fields().map(ToString::to_string).collect()
    }

    /// Each edit with the names that people see, by what it asks for.
    const PROCESS: [(Edit, &[&str]); 13] = [
        (
            |s| {
                s.exports.insert("id".into(), export());
            },
            &["exports"],
        ),
        (|s| s.user = Some("www".into()), &["user"]),
        (
            |s| {
                let limit = Limit {
                    soft: Some(1),
                    hard: None,
                };
                s.limits.insert("nofile".into(), limit);
            },
            &["limits"],
        ),
        (|s| s.command = Command::Shell("x".into()), &["command"]),
        (|s| s.working_dir = PathBuf::from("/tmp"), &["working_dir"]),
        (|s| s.umask = Some(0o77), &["umask"]),
        (|s| s.kind = Kind::Task, &["type"]),
        (
            |s| s.env.set = [("A".into(), "1".into())].into(),
            &["env.A", "env.PORT"],
        ),
        (
            |s| s.env.set = [("PORT".into(), "2".into())].into(),
            &["env.PORT"],
        ),
        (
            |s| s.env.inherited = [("TERM".into(), "x".into())].into(),
            &["env_inherit.TERM"],
        ),
        (|s| s.env.files = vec![file()], &["env_files"]),
        (|s| s.env.unset = vec!["LANG".into()], &["env_unset"]),
        (
            |s| {
                s.kind = Kind::Tmux {
                    session: "x".into(),
                }
            },
            &["type"],
        ),
    ];
    const READINESS: [(Edit, &[&str]); 4] = [
        (|s| s.ready = None, &["ready"]),
        (|s| ready(s).timeout = None, &["ready.timeout"]),
        (|s| ready(s).interval = Duration::ZERO, &["ready.interval"]),
        (|s| ready(s).probe = file_probe(), &["ready"]),
    ];
    const SUPERVISION: [(Edit, &[&str]); 18] = [
        (
            |s| s.hooks.after_stop = Some(Command::Shell("x".into())),
            &["hooks.after_stop"],
        ),
        (
            |s| s.stop.command = Some(Command::Shell("x".into())),
            &["stop.command"],
        ),
        (|s| s.ports = vec![port(80)], &["ports"]),
        (|s| s.settle = Duration::from_secs(3), &["settle"]),
        (|s| s.when.env = vec![AnyOf::new("X")], &["when.env"]),
        (
            |s| s.env_required = vec![AnyOf::new("X")],
            &["env_required"],
        ),
        (|s| s.restart.delay = Duration::ZERO, &["restart.delay"]),
        (
            |s| *s = checked(s.clone(), HealthAction::Report),
            &["health"],
        ),
        (|s| s.restart.policy = Policy::Never, &["restart.policy"]),
        (|s| s.stop.signal = Signal(2), &["stop.signal"]),
        (|s| s.stop.timeout = Duration::ZERO, &["stop.timeout"]),
        (|s| s.success_exit = vec![Exit::Code(3)], &["success_exit"]),
        (
            |s| {
                s.cleanup = Cleanup::TmuxPrefix {
                    prefix: "x".into(),
                    exact: false,
                }
            },
            &["cleanup"],
        ),
        (|s| s.log.keep = 1, &["log.keep"]),
        (
            |s| s.legacy_sessions = vec!["old".into()],
            &["legacy_sessions"],
        ),
        (
            |s| s.on_supervisor_loss = OnSupervisorLoss::Stop,
            &["on_supervisor_loss"],
        ),
        (|s| *s = in_group(s.clone(), "core"), &["groups"]),
        (
            |s| *s = needs(s.clone(), "db", Condition::Ready),
            &["depends_on.db"],
        ),
    ];
    const NOTHING: [Edit; 3] = [
        |_| {},
        |s| s.description = Some("the web".into()),
        |s| s.env.base = [("PATH".into(), "/bin".into())].into(),
    ];

    fn file() -> EnvFile {
        EnvFile {
            path: PathBuf::from("/x"),
            required: true,
        }
    }

    fn ready(service: &mut Service) -> &mut crate::manifest::model::Ready {
        service.ready.as_mut().unwrap()
    }

    #[test]
    fn each_field_is_named_as_the_manifest_names_it() {
        let all = PROCESS.iter().chain(&READINESS).chain(&SUPERVISION);
        for (edit, names) in all {
            assert_eq!(fields_of(*edit), *names);
        }
    }

    #[test]
    fn what_made_the_process_needs_a_new_one() {
        let needs_restart = |edit: Edit, is_ready| {
            let (old, new) = edited(edit);
            Change::between(&old, &new).needs_restart(is_ready)
        };
        for (edit, names) in PROCESS {
            assert!(needs_restart(edit, true), "{names:?}");
        }
        for (edit, names) in READINESS {
            assert!(!needs_restart(edit, true), "{names:?}");
            assert!(needs_restart(edit, false), "{names:?}");
        }
        for (edit, names) in SUPERVISION {
            assert!(!needs_restart(edit, false), "{names:?}");
        }
    }

    #[test]
    fn a_description_and_another_terminal_are_no_change() {
        for edit in NOTHING {
            let (old, new) = edited(edit);
            assert!(Change::between(&old, &new).is_empty());
        }
    }

    #[test]
    fn a_session_has_its_own_name() {
        let tmux = |session: &str| Service {
            kind: Kind::Tmux {
                session: session.into(),
            },
            ..process("web")
        };
        let change = Change::between(&tmux("a"), &tmux("b"));
        assert_eq!(change.fields().collect::<Vec<_>>(), ["session"]);
        assert!(change.needs_restart(true));
    }

    #[test]
    fn what_is_taken_over_is_what_needs_no_new_run() {
        for is_ready in [false, true] {
            let all = PROCESS.iter().chain(&READINESS).chain(&SUPERVISION);
            for (edit, names) in all {
                let (old, new) = edited(*edit);
                let kept = take_over(&old, &new, is_ready);
                if Change::between(&old, &new).needs_restart(is_ready) {
                    assert_eq!(kept, old, "{names:?}");
                } else {
                    assert_eq!(kept, new, "{names:?}");
                }
            }
        }
    }

    #[test]
    fn the_description_is_taken_over_and_the_base_environment_is_not() {
        let (old, new) = edited(NOTHING[1]);
        assert_eq!(take_over(&old, &new, true), new);
        let (old, new) = edited(NOTHING[2]);
        assert_eq!(take_over(&old, &new, true), old);
    }

    #[test]
    fn what_is_kept_is_not_skipped_by_the_way() {
        let (old, mut new) = edited(|s| {
            s.when.env = vec![AnyOf::new("X")];
            s.when.unmet = Some("X is not set".into());
        });
        assert_eq!(fields_of(|s| s.when.unmet = Some("so".into())), [""; 0]);
        assert_eq!(take_over(&old, &new, false), old);
        new.when.unmet = None;
        assert_eq!(take_over(&old, &new, false), new);
    }

    /// A field that the model gains must be sorted here too.
    #[test]
    fn every_field_of_a_service_is_sorted() {
        let known = [
            "name",
            "description",
            "type",
            "command",
            "working_dir",
            "umask",
            "env",
            "groups",
            "depends_on",
            "when",
            "ports",
            "ready",
            "settle",
            "exports",
            "references",
            "health",
            "restart",
            "stop",
            "hooks",
            "success_exit",
            "cleanup",
            "legacy_sessions",
            "on_supervisor_loss",
            "log",
        ];
        let fields = fields(&process("web"));
        assert_eq!(fields.keys().collect::<Vec<_>>(), known);
        assert_eq!(fields["name"], name("web").as_str());
    }
}
