//! The host: its home, its programs, its env file, its port.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::scene::{self, Outcome, Scene, append, free_port, wait_until};

pub(crate) const TASKS: [&str; 3] = ["validate-env", "integrity", "model"];
pub(crate) const AGENTS: [&str; 2] = ["control-agent", "sentry-agent"];
pub(crate) const BRIDGE: &str = "gateway-broker";

/// What the env file of a host holds.
pub(crate) const VARIABLES: &str = "\
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
pub(crate) struct Host {
    pub(crate) scene: Scene,
    pub(crate) port: u16,
}

impl Host {
    /// A host whose env file has these variables besides the usual ones.
    pub(crate) fn with(variables: &str) -> Self {
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
            .chain(["BRIDGE_API_PORT SLACK_BROKER_URL GATEWAY_BROKER_WORKSPACE_ID BAUDBOT_STARTUP_INTEGRITY_MODE GATEWAY_BOT_TOKEN GATEWAY_APP_TOKEN OPENAI_API_KEY"
                .split(' ')
                .map(|name| format!("{name}=\n"))
                .collect()])
            .collect();
        fs::write(home.join(".config/.env.schema"), schema).unwrap();
        let env_file = home.join(".config/.env");
        append(
            &env_file,
            &format!("{VARIABLES}BRIDGE_API_PORT={port}\n{variables}"),
        );
        Self { scene, port }
    }

    pub(crate) fn new() -> Self {
        Self::with("")
    }

    pub(crate) fn control(&self, name: &str) -> PathBuf {
        self.scene.home().join(".pi/session-control").join(name)
    }

    /// The id of the session that an alias points to.
    #[track_caller]
    pub(crate) fn session_id(&self, agent: &str) -> String {
        let target = fs::read_link(self.control(&format!("{agent}.alias"))).unwrap();
        target.file_stem().unwrap().to_str().unwrap().to_owned()
    }

    /// The sessions of the project's tmux server.
    pub(crate) fn tmux_sessions(&self) -> BTreeSet<String> {
        let list = self.scene.tmux(["list-sessions", "-F", "#{session_name}"]);
        list.success().stdout.lines().map(str::to_owned).collect()
    }

    /// Everything is up, and belongs together.
    #[track_caller]
    pub(crate) fn expect_up(&self) {
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
    pub(crate) fn expect_down(&self) {
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
    pub(crate) fn expect_quiet_logs(&self) {
        let logs = self.scene.run(["logs"]).success().stdout;
        assert!(logs.contains("bridge: listens on port"), "{logs}");
        for trouble in ["EADDRINUSE", "taken from the budget", "is not connected"] {
            assert!(!logs.contains(trouble), "{trouble}\n{logs}");
        }
    }

    /// Has the control agent run a command, as its bash tool does.
    #[track_caller]
    pub(crate) fn tell_control_agent(&self, command: &str) {
        let mut agent = UnixStream::connect(self.control("control-agent.alias")).unwrap();
        let message = serde_json::json!({"type": "send", "message": format!("!{command}")});
        writeln!(agent, "{message}").unwrap();
        let mut answer = String::new();
        BufReader::new(agent).read_line(&mut answer).unwrap();
        assert!(answer.contains(r#""success": true"#), "{answer}");
    }

    /// Has the control agent open an agent for a task, as its skill tells it to, and waits for it.
    #[track_caller]
    pub(crate) fn open_dev_agent(&self, name: &str) {
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
    pub(crate) fn run_with_open_pipe(&self, command: &str) -> Outcome {
        let mut command = self.scene.command([command]);
        scene::finish(command.stdin(Stdio::piped()).spawn().unwrap())
    }

    pub(crate) fn pids(&self) -> Vec<i32> {
        let services = AGENTS.into_iter().chain([BRIDGE]);
        services.map(|name| self.scene.pid(name)).collect()
    }
}

impl Host {
    /// The env file.
    pub(crate) fn env_file(&self) -> PathBuf {
        self.scene.home().join(".config/.env")
    }

    /// Replaces the variables in the env file, but for the port.
    pub(crate) fn set_variables(&self, variables: &str) {
        let text = format!("BRIDGE_API_PORT={}\n{variables}", self.port);
        fs::write(self.env_file(), text).unwrap();
    }
}
