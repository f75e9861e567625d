//! The manifest of the real host, `manifests/baudbot.yaml`, as it is: up, restarted, down, with real
//! processes and real tmux sessions.
//!
//! The programs that it runs are stand-ins (`tests/host/bin`) that behave as the real ones do where a
//! runner feels it: what they leave behind, what leaves their process group, what they hold.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod scene;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use scene::{Outcome, Scene, append, free_port, is_alive, kill, wait_until};

const TASKS: [&str; 6] = [
    "validate-env",
    "harden",
    "prune",
    "redact",
    "integrity",
    "stale-sockets",
];
const AGENTS: [&str; 2] = ["control-agent", "sentry-agent"];
const BRIDGE: &str = "gateway-bridge";

/// What the env file of a host holds.
const VARIABLES: &str = "\
# The agent's own.
ANTHROPIC_API_KEY=sk-ant-stand-in
GATEWAY_BROKER_URL=https://broker.example
GATEWAY_BROKER_ORG_ID=org
GATEWAY_BROKER_SERVER_PRIVATE_KEY=a
GATEWAY_BROKER_SERVER_PUBLIC_KEY=b
GATEWAY_BROKER_SERVER_SIGNING_PRIVATE_KEY=c
GATEWAY_BROKER_PUBLIC_KEY=d
GATEWAY_BROKER_SIGNING_PUBLIC_KEY=e
GATEWAY_BROKER_ACCESS_TOKEN=f
";

/// The host: its home, its programs, its port.
struct Host {
    scene: Scene,
    port: u16,
}

impl Host {
    /// A host whose env file has these variables besides the usual ones.
    fn with(variables: &str) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR"));
        let parts = source.join("tests/host");
        let mut scene = Scene::of(&source.join("manifests/baudbot.yaml"), "baudbot");
        // The system's own python3 before one that a user may have put in front of it.
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:/usr/bin:/bin:{path}", parts.join("bin").display());
        scene.set("PATH", &path);
        let release_root = parts.join("opt").display().to_string();
        scene.set("BAUDBOT_RELEASE_ROOT", &release_root);
        // As if the order came from a shell that pi opened under varlock.
        scene.set("PKG_EXECPATH", "/usr/local/bin/varlock");

        let home = scene.home();
        symlink(parts.join("home/runtime"), home.join("runtime")).unwrap();
        fs::create_dir_all(home.join(".pi/agent/skills/control-agent")).unwrap();
        fs::create_dir_all(home.join(".pi/agent/skills/dev-agent")).unwrap();
        let sentry = home.join(".pi/agent/subagents/sentry-agent");
        fs::create_dir_all(&sentry).unwrap();
        fs::write(sentry.join("SKILL.md"), "").unwrap();

        let port = free_port();
        fs::create_dir(home.join(".config")).unwrap();
        let schema: String = VARIABLES
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, _)| format!("{name}=\n"))
            .chain(["BRIDGE_API_PORT=\nBAUDBOT_STARTUP_INTEGRITY_MODE=\n".to_owned()])
            .collect();
        fs::write(home.join(".config/.env.schema"), schema).unwrap();
        let env_file = home.join(".config/.env");
        append(
            &env_file,
            &format!("{VARIABLES}BRIDGE_API_PORT={port}\n{variables}"),
        );
        Self { scene, port }
    }

    fn new() -> Self {
        Self::with("")
    }

    fn control(&self, name: &str) -> PathBuf {
        self.scene.home().join(".pi/session-control").join(name)
    }

    /// The id of the session that an alias points to.
    #[track_caller]
    fn session_id(&self, agent: &str) -> String {
        let target = fs::read_link(self.control(&format!("{agent}.alias"))).unwrap();
        target.file_stem().unwrap().to_str().unwrap().to_owned()
    }

    /// The sessions of the project's tmux server.
    fn tmux_sessions(&self) -> BTreeSet<String> {
        let list = self.scene.tmux(["list-sessions", "-F", "#{session_name}"]);
        list.success().stdout.lines().map(str::to_owned).collect()
    }

    /// Everything is up, and belongs together.
    #[track_caller]
    fn expect_up(&self) {
        let status = self.scene.run(["status", "--json"]).success().json();
        let services = &status["services"];
        for task in TASKS {
            assert_eq!(services[task]["state"], "completed", "{task}: {status:#}");
        }
        for service in AGENTS.into_iter().chain([BRIDGE]) {
            assert_eq!(services[service]["state"], "ready", "{service}: {status:#}");
            assert_eq!(services[service]["restarts"], 0, "{service}: {status:#}");
        }
        TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        for agent in AGENTS {
            UnixStream::connect(self.control(&format!("{agent}.alias"))).unwrap();
        }
        let sessions = self.tmux_sessions();
        assert!(sessions.contains("baudbot-gateway-bridge"), "{sessions:?}");
        assert!(sessions.contains("sentry-agent"), "{sessions:?}");
        let bridge = self.scene.logs(BRIDGE);
        let connected = bridge
            .lines()
            .rev()
            .find_map(|line| line.split_once("connected to session "))
            .map(|(_, id)| id.trim());
        let current = self.session_id("control-agent");
        assert_eq!(connected, Some(&*current), "{bridge}");
    }

    /// Nothing is up, and nothing is left.
    #[track_caller]
    fn expect_down(&self) {
        self.scene.expect_nothing_left();
        TcpListener::bind(("127.0.0.1", self.port)).expect("the port is free");
        let status = self.scene.run(["status", "--json"]).code(3).json();
        for name in TASKS.into_iter().chain(AGENTS).chain([BRIDGE]) {
            assert_eq!(
                status["services"][name]["state"], "inactive",
                "{name}: {status:#}"
            );
        }
    }

    /// Nobody ever found the port taken, asked the bridge for anything, or lost its agent.
    #[track_caller]
    fn expect_quiet_logs(&self) {
        let logs = self.scene.run(["logs"]).success().stdout;
        assert!(logs.contains("bridge: listens on port"), "{logs}");
        for trouble in ["EADDRINUSE", "taken from the budget", "is not connected"] {
            assert!(!logs.contains(trouble), "{trouble}\n{logs}");
        }
    }

    /// Has the control agent run a command, as its bash tool does.
    #[track_caller]
    fn tell_control_agent(&self, command: &str) {
        let mut agent = UnixStream::connect(self.control("control-agent.alias")).unwrap();
        let message = serde_json::json!({"type": "send", "message": format!("!{command}")});
        writeln!(agent, "{message}").unwrap();
        let mut answer = String::new();
        BufReader::new(agent).read_line(&mut answer).unwrap();
        assert!(answer.contains(r#""success": true"#), "{answer}");
    }

    /// Has the control agent open an agent for a task, as its skill tells it to, and waits for it.
    #[track_caller]
    fn open_dev_agent(&self, name: &str) {
        self.tell_control_agent(&format!(
            "tmux new-session -d -s {name} \"cd ~ && export PI_SESSION_NAME={name} && \
             exec varlock run --path ~/.config/ -- \
             pi --session-control --skill ~/.pi/agent/skills/dev-agent --model anthropic/x\""
        ));
        wait_until(&format!("{name} answers"), || {
            UnixStream::connect(self.control(&format!("{name}.alias"))).is_ok()
        });
        assert!(self.tmux_sessions().contains(name));
    }

    /// Gives the order with a pipe as standard input that stays open.
    #[track_caller]
    fn run_with_open_pipe(&self, command: &str) -> Outcome {
        let mut command = self.scene.command([command]);
        scene::finish(command.stdin(Stdio::piped()).spawn().unwrap())
    }

    fn pids(&self) -> Vec<i32> {
        let services = AGENTS.into_iter().chain([BRIDGE]);
        services.map(|name| self.scene.pid(name)).collect()
    }
}

#[test]
fn three_times_up_restart_and_down() {
    let host = Host::new();
    for round in 1..=3 {
        host.run_with_open_pipe("up").success();
        host.expect_up();
        let before = host.pids();
        let session = host.session_id("control-agent");

        host.scene.run(["restart"]).success();
        host.expect_up();
        assert!(before.iter().all(|pid| !is_alive(*pid)), "{before:?}");
        assert_ne!(host.session_id("control-agent"), session);

        host.open_dev_agent(&format!("dev-agent-shop-{round}"));
        let down = host.scene.run(["down"]).success();
        let swept = "no tmux session whose name begins with `dev-agent-` is left";
        assert!(down.stdout.contains(swept), "{}", down.stdout);
        host.expect_down();
    }
    host.expect_quiet_logs();
    host.scene.end();
}

#[test]
fn the_start_up_steps_run_in_order_and_two_of_them_may_fail() {
    let host = Host::new();
    host.scene.run(["up"]).success();
    let steps = fs::read_to_string(host.scene.home().join("start-up")).unwrap();
    let steps: Vec<&str> = steps.lines().collect();
    assert_eq!(
        steps,
        [
            "harden, umask 0077",
            "prune --days 14",
            "redact",
            "integrity warn"
        ]
    );
    assert!(host.scene.logs("redact").contains("passed over, exit 3"));
    let first = host.session_id("control-agent");
    host.scene.run(["down"]).success();
    host.scene.run(["up"]).success();
    let swept = host.scene.logs("stale-sockets");
    for left in [format!("{first}.sock"), "control-agent.alias".into()] {
        assert!(swept.contains(&format!("removed {left}")), "{swept}");
    }
    host.scene.end();
}

#[test]
fn a_bridge_that_crashes_comes_back_to_its_port_and_its_agent() {
    let host = Host::new();
    host.scene.run(["up"]).success();
    let (bridge, agent) = (host.scene.pid(BRIDGE), host.scene.pid("control-agent"));
    kill(bridge, 9);
    wait_until("the bridge runs again", || {
        let service = host.scene.service(BRIDGE);
        service["restarts"] == 1 && service["state"] == "ready"
    });
    assert_eq!(host.scene.pid("control-agent"), agent);
    let connected = format!("connected to session {}", host.session_id("control-agent"));
    let log = host.scene.logs(BRIDGE);
    assert_eq!(log.matches(&connected).count(), 2, "{log}");
    host.expect_quiet_logs();
    host.scene.run(["down"]).success();
    host.expect_down();
    host.scene.end();
}

#[test]
fn up_after_a_killed_supervisor_brings_all_back() {
    let host = Host::new();
    host.scene.run(["up"]).success();
    host.open_dev_agent("dev-agent-shop-1");
    let before = host.pids();
    host.scene.kill_supervisor();
    assert!(before.iter().all(|pid| is_alive(*pid)), "{before:?}");

    host.scene.run(["up"]).success();
    host.expect_up();
    assert!(before.iter().all(|pid| !is_alive(*pid)), "{before:?}");
    host.scene.run(["down"]).success();
    host.expect_down();
    host.expect_quiet_logs();
    host.scene.end();
}

#[test]
fn down_after_a_killed_supervisor_leaves_nothing() {
    let host = Host::new();
    host.scene.run(["up"]).success();
    host.open_dev_agent("dev-agent-shop-1");
    host.scene.kill_supervisor();
    host.scene.run(["down"]).success();
    host.expect_down();
    host.scene.end();
}

#[test]
fn a_changed_file_keeps_the_agents_from_starting_when_the_host_is_strict() {
    let host = Host::with("BAUDBOT_STARTUP_INTEGRITY_MODE=strict\n");
    let up = host.scene.run(["up"]).code(1);
    assert!(up.stderr.contains("differs from its hash"), "{}", up.stderr);
    host.scene.expect_state("integrity", "failed");
    host.scene.expect_state("control-agent", "blocked");
    host.scene.expect_state(BRIDGE, "blocked");
    host.scene.end();
}

#[test]
fn an_env_file_against_its_schema_fails_once_and_is_not_tried_again() {
    let host = Host::with("UNHEARD_OF=1\n");
    host.scene.run(["up"]).code(1);
    host.scene.expect_state("validate-env", "failed");
    assert_eq!(host.scene.service("validate-env")["restarts"], 0);
    host.scene.expect_state("control-agent", "blocked");
    let log = host.scene.logs("validate-env");
    assert_eq!(
        log.matches("UNHEARD_OF is not in the schema").count(),
        1,
        "{log}"
    );
    host.scene.end();
}

#[test]
fn what_the_env_file_lacks_is_told_before_anything_starts() {
    let host = Host::new();
    let env_file = host.scene.home().join(".config/.env");
    let codes = |variables: &str| -> BTreeSet<String> {
        fs::write(&env_file, variables).unwrap();
        let found = host.scene.run(["validate", "--json"]).json();
        let found = found["diagnostics"].as_array().unwrap();
        let code = |one: &serde_json::Value| one["code"].as_str().unwrap().to_owned();
        found.iter().map(code).collect()
    };
    assert_eq!(codes("BAUDBOT_MODEL=a/b"), BTreeSet::new());
    assert_eq!(
        codes("BRIDGE_API_PORT=http"),
        BTreeSet::from([
            "baudbot::manifest::bad_port".into(),
            "baudbot::manifest::required_variable".into()
        ])
    );
    host.scene.run(["up"]).code(78);
    host.scene.end();
}

#[test]
fn the_env_file_decides_on_transport_and_models() {
    let host = Host::new();
    let command = |variables: &str, service: &str| {
        let env_file = host.scene.home().join(".config/.env");
        fs::write(env_file, variables).unwrap();
        let config = host.scene.run(["config", "--json", "--show-values"]);
        config.success().json()["services"][service]["command"].to_string()
    };
    for (variables, service, expected) in [
        (VARIABLES, BRIDGE, "exec node broker-bridge.mjs"),
        ("OPENAI_API_KEY=x\n", BRIDGE, "exec node bridge.mjs"),
        (VARIABLES, "control-agent", "anthropic/claude-opus-4-6"),
        (
            "OPENAI_API_KEY=x\n",
            "control-agent",
            "openai/gpt-5.2-codex",
        ),
        ("OPENAI_API_KEY=x\n", "sentry-agent", "openai/gpt-5-mini"),
        (
            "GEMINI_API_KEY=x\nBAUDBOT_MODEL=a/b\n",
            "control-agent",
            "a/b",
        ),
    ] {
        let command = command(variables, service);
        assert!(command.contains(expected), "{expected}: {command}");
    }
    host.scene.end();
}
