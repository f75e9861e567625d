//! The manifest of the real host, `manifests/baudbot.yaml`, as it is: up, restarted, down, with real
//! processes and real tmux sessions.
//!
//! The programs that it runs are stand-ins (`tests/host/bin`) that behave as the real ones do where a
//! runner feels it: what they leave behind, what leaves their process group, what they hold.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "host/pains.rs"]
mod pains;
mod scene;
#[path = "host/stage.rs"]
mod stage;

use std::collections::BTreeSet;
use std::fs;

use scene::{is_alive, kill, wait_until};
use stage::{BRIDGE, Host, VARIABLES};

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
            "integrity warn",
            "harden, umask 0077",
            "prune --days 14",
            "redact"
        ]
    );
    assert!(
        host.scene
            .logs("control-agent")
            .contains("redact: passed over, exit 3")
    );
    let first = host.session_id("control-agent");
    host.scene.run(["restart", "control-agent"]).success();
    let swept = host.scene.logs("control-agent");
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
fn up_after_a_killed_supervisor_takes_over_what_runs() {
    let host = Host::new();
    host.scene.run(["up"]).success();
    host.open_dev_agent("dev-agent-shop-1");
    let before = host.pids();
    host.scene.kill_supervisor();
    assert!(before.iter().all(|pid| is_alive(*pid)), "{before:?}");

    host.scene.run(["up"]).success();
    host.expect_up();
    assert_eq!(host.pids(), before, "what ran goes on as it was");
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
        BTreeSet::from(["baudbot::manifest::bad_port".into()])
    );
    host.scene.run(["up"]).code(78);
    host.scene.end();
}

#[test]
fn the_env_file_decides_on_models() {
    let host = Host::new();
    let config = host.scene.run(["config", "--json", "--show-values"]);
    let config = config.success().json();
    // The command as it would be executed, printed instead.
    let command = |variables: &str, service: &str| {
        let service = &config["services"][service];
        let command = service["command"].as_str().unwrap();
        let command = command
            .replace("exec pi", "echo pi")
            .replace("exec varlock", "echo varlock");
        let mut shell = host.scene.program("sh");
        shell.args(["-c", &command]);
        shell.env(
            "CHOOSE_MODEL",
            service["env"]["CHOOSE_MODEL"].as_str().unwrap(),
        );
        shell.envs(variables.lines().filter_map(|line| line.split_once('=')));
        String::from_utf8(shell.output().unwrap().stdout).unwrap()
    };
    for (variables, service, expected) in [
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
