//! The resolved form, written in the language of the manifest: it can be loaded again.
//!
//! Every default stands there, every `${…}` is replaced, every path is absolute. Values of
//! environment variables are secrets until somebody asks for them: those in `env` are masked, and so
//! is any text into which the value of a variable was put.

use std::collections::BTreeMap;
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use crate::manifest::environment::MASK;
use crate::manifest::model::{
    Cleanup, Command, Environment, Exit, Export, Group, Health, Hooks, HttpProbe, Limit, Manifest,
    OnSupervisorLoss, Probe, Ready, Restart, Service, Signal, Source, Stop, TmuxServer, When,
    default_settle,
};
use crate::manifest::reference;
use crate::manifest::script::script_of;
use crate::manifest::{PrintError, to_yaml};
use crate::port::{Host, Port, Protocol};

/// What of the manifest is shown.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// Whether the values of `env` are.
    pub has_values: bool,
    /// Texts that are masked wherever they occur.
    pub secrets: &'a [String],
}

/// The manifest as a value, in the order in which people write manifests.
pub fn value(manifest: &Manifest, shown: Shown<'_>) -> Value {
    let mut whole = Map::new();
    whole.insert("version".into(), json!(1));
    whole.insert("project".into(), json!(manifest.project));
    let server = match &manifest.tmux {
        TmuxServer::Private => "private".into(),
        TmuxServer::Default | TmuxServer::DefaultIn(_) => "default".into(),
        TmuxServer::Socket(path) => shown.text(&path.to_string_lossy()),
    };
    whole.insert("tmux".into(), json!({ "server": server }));
    if !manifest.groups.is_empty() {
        let groups: Map<String, Value> = manifest
            .groups
            .iter()
            .map(|(name, one)| (name.to_string(), shown.group(one)))
            .collect();
        whole.insert("groups".into(), groups.into());
    }
    // Instances are of the supervisor; a manifest declares templates.
    let services: Map<String, Value> = manifest
        .services
        .iter()
        .filter(|(_, one)| one.instance.is_none())
        .map(|(name, one)| (name.to_string(), shown.service(one)))
        .collect();
    whole.insert("services".into(), services.into());
    whole.into()
}

/// The value as YAML.
///
/// # Errors
/// What the writer says; a value made by [`value`] has nothing that it could refuse.
pub fn yaml(value: &Value) -> Result<String, PrintError> {
    to_yaml(value)
}

impl Shown<'_> {
    /// Text that the manifest would expand: its own `$` are doubled where they would mean something.
    fn text(&self, text: &str) -> String {
        reference::written(&self.masked(text), escaped)
    }

    /// The same of a script, in which `$$` means something only before a `{`.
    fn script(&self, text: &str) -> String {
        reference::written(&self.masked(text), escaped_in_script)
    }

    fn masked(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.secrets {
            text = text.replace(secret.as_str(), MASK);
        }
        text
    }

    fn path(&self, path: &std::path::Path) -> String {
        self.text(&path.to_string_lossy())
    }

    fn group(&self, group: &Group) -> Value {
        let mut map = Map::new();
        if let Some(description) = &group.description {
            map.insert("description".into(), json!(description));
        }
        if let Some(strategy) = &group.cleanup {
            map.insert("cleanup".into(), cleanup(strategy));
        }
        map.into()
    }

    fn service(&self, service: &Service) -> Value {
        let mut map = Map::new();
        let mut put = |key: &str, value: Value| {
            map.insert(key.into(), value);
        };
        if let Some(description) = &service.description {
            put("description", json!(description));
        }
        put("type", json!(service.kind.word()));
        put("command", self.command(&service.command));
        put("working_dir", json!(self.path(&service.working_dir)));
        if let Some(umask) = service.umask {
            put("umask", json!(format!("{umask:03o}")));
        }
        if let Some(user) = &service.user {
            put("user", json!(self.text(user)));
        }
        if !service.limits.is_empty() {
            put("limits", limits(&service.limits));
        }
        self.environment(&service.env, &mut put);
        put("groups", json!(service.groups));
        let depends_on: Map<String, Value> = service
            .depends_on
            .iter()
            .map(|(name, edge)| {
                let edge = json!({
                    "condition": edge.condition.word(),
                    "required": edge.required,
                    "restart": edge.restart,
                });
                (name.to_string(), edge)
            })
            .collect();
        put("depends_on", depends_on.into());
        if !service.env_required.is_empty() {
            put("env_required", json!(service.env_required));
        }
        if let Some(when) = self.when(&service.when) {
            put("when", when);
        }
        if !service.ports.is_empty() {
            put("ports", service.ports.iter().map(port).collect());
        }
        if let Some(ready) = &service.ready {
            put("ready", self.ready(ready));
        }
        if service.settle != default_settle() {
            put("settle", json!(span(service.settle)));
        }
        if let Some(health) = &service.health {
            put("health", self.health(health));
        }
        if !service.exports.is_empty() {
            put("exports", self.exports(&service.exports));
        }
        put("restart", restart(&service.restart));
        put("stop", self.stop(&service.stop));
        if let Some(hooks) = self.hooks(&service.hooks) {
            put("hooks", hooks);
        }
        put("success_exit", exits(&service.success_exit));
        put("cleanup", cleanup(&service.cleanup));
        if let Some(session) = service.session() {
            put("session", json!(session));
        }
        if !service.legacy_sessions.is_empty() {
            put("legacy_sessions", json!(service.legacy_sessions));
        }
        if service.on_supervisor_loss != OnSupervisorLoss::Adopt {
            put("on_supervisor_loss", json!(service.on_supervisor_loss));
        }
        let log = &service.log;
        put(
            "log",
            json!({ "max_size": size(log.max_size), "keep": log.keep }),
        );
        map.into()
    }

    fn stop(&self, stop: &Stop) -> Value {
        let mut map = Map::new();
        if let Some(command) = &stop.command {
            map.insert("command".into(), self.command(command));
        }
        map.insert("signal".into(), signal(stop.signal));
        map.insert("timeout".into(), json!(span(stop.timeout)));
        map.into()
    }

    fn hooks(&self, hooks: &Hooks) -> Option<Value> {
        let mut map = Map::new();
        for (key, command) in [
            ("before_start", &hooks.before_start),
            ("after_ready", &hooks.after_ready),
            ("after_stop", &hooks.after_stop),
        ] {
            if let Some(command) = command {
                map.insert(key.into(), self.command(command));
            }
        }
        if map.is_empty() {
            return None;
        }
        map.insert("timeout".into(), json!(span(hooks.timeout)));
        Some(map.into())
    }

    fn command(&self, command: &Command) -> Value {
        match command {
            Command::Exec(argv) => {
                let words: Vec<&str> = argv.iter().map(String::as_str).collect();
                let script = script_of(&words);
                let word = |(at, word): (usize, &&str)| match script == Some(at) {
                    true => self.script(word),
                    false => self.text(word),
                };
                words.iter().enumerate().map(word).collect()
            }
            Command::Shell(text) => self.script(text).into(),
        }
    }

    fn environment(&self, env: &Environment, put: &mut impl FnMut(&str, Value)) {
        let set: Map<String, Value> = env
            .set
            .iter()
            .map(|(name, value)| {
                let value = if self.has_values {
                    self.text(value)
                } else {
                    MASK.into()
                };
                (name.clone(), value.into())
            })
            .collect();
        put("env", set.into());
        let files: Vec<Value> = env
            .files
            .iter()
            .map(|file| json!({ "path": self.path(&file.path), "required": file.required }))
            .collect();
        put("env_files", files.into());
        // Their values are taken from the environment again.
        put("env_inherit", env.inherited.keys().cloned().collect());
        put("env_unset", json!(env.unset));
    }

    fn when(&self, when: &When) -> Option<Value> {
        let mut map = Map::new();
        if !when.env.is_empty() {
            map.insert("env".into(), json!(when.env));
        }
        if !when.no_env.is_empty() {
            map.insert("no_env".into(), json!(when.no_env));
        }
        if let Some(file) = &when.file {
            map.insert("file".into(), self.path(file).into());
        }
        if let Some(executable) = &when.executable {
            map.insert("executable".into(), self.text(executable).into());
        }
        (!map.is_empty()).then(|| map.into())
    }

    fn probe(&self, probe: &Probe) -> Value {
        match probe {
            Probe::Tcp { host, port } if host.contains(':') => {
                self.text(&format!("[{host}]:{port}")).into()
            }
            Probe::Tcp { host, port } => self.text(&format!("{host}:{port}")).into(),
            Probe::Http(http) => self.http(http),
            Probe::Unix { path } => self.path(path).into(),
            Probe::File {
                path,
                max_age: None,
            } => self.path(path).into(),
            Probe::File {
                path,
                max_age: Some(age),
            } => json!({ "path": self.path(path), "max_age": span(*age) }),
            Probe::Exec { command } => self.command(command),
            Probe::Log { pattern } => self.text(pattern).into(),
            Probe::Notify => true.into(),
            Probe::Watchdog { within } => span(*within).into(),
        }
    }

    fn http(&self, http: &HttpProbe) -> Value {
        let headers: Map<String, Value> = http
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), self.text(value).into()))
            .collect();
        let status: Vec<String> = http.status.iter().map(ToString::to_string).collect();
        let mut map = Map::new();
        map.insert("url".into(), self.text(&http.url).into());
        map.insert("method".into(), json!(http.method));
        map.insert("headers".into(), headers.into());
        if let Some(body) = &http.body {
            map.insert("body".into(), self.text(body).into());
        }
        map.insert("status".into(), json!(status));
        map.into()
    }

    fn exports(&self, exports: &IndexMap<String, Export>) -> Value {
        let one = |export: &Export| {
            let mut map = Map::new();
            match &export.source {
                Source::Readlink(path) => map.insert("readlink".into(), self.path(path).into()),
                Source::File(path) => map.insert("file".into(), self.path(path).into()),
                Source::Command(command) => {
                    map.insert("interval".into(), span(export.interval).into());
                    map.insert("command".into(), self.command(command))
                }
            };
            if let Some(pattern) = &export.pattern {
                map.insert("pattern".into(), self.text(pattern).into());
            }
            Value::from(map)
        };
        let exports = exports
            .iter()
            .map(|(name, export)| (name.clone(), one(export)));
        exports.collect::<Map<_, _>>().into()
    }

    fn health(&self, health: &Health) -> Value {
        let mut map = Map::new();
        map.insert(health.probe.word().into(), self.probe(&health.probe));
        if !matches!(health.probe, Probe::Watchdog { .. }) {
            map.insert("interval".into(), span(health.interval).into());
            map.insert("timeout".into(), span(health.timeout).into());
        }
        map.insert("failures".into(), json!(health.failures));
        map.insert("action".into(), json!(health.action));
        map.into()
    }

    fn ready(&self, ready: &Ready) -> Value {
        let mut map = Map::new();
        map.insert(ready.probe.word().into(), self.probe(&ready.probe));
        map.insert("interval".into(), span(ready.interval).into());
        let timeout = ready.timeout.map_or("never".into(), span);
        map.insert("timeout".into(), timeout.into());
        map.into()
    }
}

fn restart(restart: &Restart) -> Value {
    json!({
        "policy": restart.policy,
        "delay": span(restart.delay),
        "factor": restart.factor,
        "max_delay": span(restart.max_delay),
        "jitter": restart.jitter,
        "stable_after": span(restart.stable_after),
        "max_failures": restart.max_failures.map_or(json!("never"), |most| json!(most)),
        "no_retry_exit": exits(&restart.no_retry_exit),
    })
}

fn exits(exits: &[Exit]) -> Value {
    exits
        .iter()
        .map(|exit| match exit {
            Exit::Code(code) => json!(code),
            Exit::Signal(number) => signal(*number),
        })
        .collect()
}

/// A signal by its name where it has one (signal(7)), else by its number.
fn signal(signal: Signal) -> Value {
    match nix::sys::signal::Signal::try_from(signal.0) {
        Ok(named) => json!(named.as_str().trim_start_matches("SIG")),
        Err(_) => json!(signal.0),
    }
}

fn port(port: &Port) -> Value {
    let host = match port.host {
        Host::Every => None,
        Host::Localhost => Some("localhost".to_owned()),
        Host::Address(address) => Some(address.to_string()),
    };
    match (port.protocol, host) {
        (Protocol::Tcp, None) => json!(port.number),
        (Protocol::Tcp, Some(_)) => json!(port.to_string()),
        (Protocol::Udp, None) => json!({ "port": port.number, "protocol": "udp" }),
        (Protocol::Udp, Some(host)) => {
            json!({ "port": port.number, "host": host, "protocol": "udp" })
        }
    }
}

fn cleanup(cleanup: &Cleanup) -> Value {
    match cleanup {
        Cleanup::Pgid => json!({ "strategy": "pgid" }),
        // The prefix of an exact one is the session's own name, which is the default.
        Cleanup::TmuxPrefix { exact: true, .. } => json!({ "strategy": "tmux-prefix" }),
        Cleanup::TmuxPrefix { prefix, .. } => {
            json!({ "strategy": "tmux-prefix", "prefix": prefix })
        }
    }
}

/// A span of time without loss, in one unit of the manifest.
fn span(span: Duration) -> String {
    let nanoseconds = span.as_nanos();
    if nanoseconds.is_multiple_of(1_000_000_000) {
        format!("{}s", span.as_secs())
    } else if nanoseconds.is_multiple_of(1_000_000) {
        format!("{}ms", span.as_millis())
    } else {
        let fraction = format!("{:06}", nanoseconds % 1_000_000);
        format!("{}.{}ms", span.as_millis(), fraction.trim_end_matches('0'))
    }
}

fn limits(limits: &BTreeMap<String, Limit>) -> Value {
    let value = |value: u64| match value {
        u64::MAX => json!("unlimited"),
        value => json!(value),
    };
    let limits: Map<String, Value> = limits
        .iter()
        .map(|(name, limit)| {
            let sides = [("soft", limit.soft), ("hard", limit.hard)];
            let sides: Map<String, Value> = sides
                .into_iter()
                .filter_map(|(side, amount)| Some((side.to_owned(), value(amount?))))
                .collect();
            (name.clone(), sides.into())
        })
        .collect();
    limits.into()
}

fn size(bytes: u64) -> String {
    for (unit, factor) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes > 0 && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    format!("{bytes}B")
}

/// `$` doubled before `{` and `$`: there alone the manifest's language reads it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        escaped.push(character);
        if character == '$' && matches!(characters.peek(), Some('{' | '$')) {
            escaped.push('$');
        }
    }
    escaped
}

/// In a script only the last `$` of several before a `{` can be doubled: an even number of them needs
/// a `$` that stands apart.
fn escaped_in_script(text: &str) -> String {
    const APART: &str = "${_-$}${_+$}";
    let mut escaped = String::with_capacity(text.len());
    let mut dollars = 0;
    for character in text.chars() {
        match character {
            '$' => dollars += 1,
            '{' if dollars > 0 => {
                if dollars % 2 == 0 {
                    escaped.push_str(APART);
                    dollars -= 1;
                }
                escaped.push_str(&"$".repeat(dollars + 1));
                escaped.push('{');
                dollars = 0;
            }
            character => {
                escaped.push_str(&"$".repeat(dollars));
                escaped.push(character);
                dollars = 0;
            }
        }
    }
    escaped.push_str(&"$".repeat(dollars));
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_of_a_script_are_doubled_only_before_a_brace() {
        for (text, written) in [
            ("echo $HOME $$ $$$ 5$", "echo $HOME $$ $$$ 5$"),
            ("${HOME}", "$${HOME}"),
            ("$${x}", "${_-$}${_+$}$${x}"),
            ("$$${x}", "$$$${x}"),
        ] {
            assert_eq!(escaped_in_script(text), written);
        }
    }

    #[test]
    fn dollars_are_doubled_where_they_would_mean_something() {
        for (text, written) in [
            ("$HOME costs 5$", "$HOME costs 5$"),
            ("${HOME}", "$${HOME}"),
            ("$$", "$$$"),
            ("$${x}", "$$$${x}"),
        ] {
            assert_eq!(escaped(text), written);
        }
    }

    #[test]
    fn spans_and_sizes_lose_nothing() {
        for (nanoseconds, text) in [
            (0, "0s"),
            (60_000_000_000, "60s"),
            (1_500_000_000, "1500ms"),
            (500_000, "0.5ms"),
            (1_000_000_001, "1000.000001ms"),
        ] {
            assert_eq!(span(Duration::from_nanos(nanoseconds)), text);
        }
        for (bytes, text) in [(10 << 20, "10MiB"), (1 << 30, "1GiB"), (1000, "1000B")] {
            assert_eq!(size(bytes), text);
        }
    }
}
