//! The pains that the real host had, played one by one. Their numbers are those of
//! `docs/baudbot-host.md`, which also says why the others cannot arise.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;

use crate::scene::{self, append, is_alive, kill, wait_until};
use crate::stage::{AGENTS, BRIDGE, Host, VARIABLES};

/// A host that is up.
fn up() -> Host {
    let host = Host::new();
    host.scene.run(["up"]).success();
    host
}

fn end(host: Host) {
    host.scene.run(["down"]).success();
    host.expect_down();
    host.scene.end();
}

fn environment(pid: i32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.split('\0').map(str::to_owned).collect()
}

#[test]
fn p01_the_bridge_comes_up_and_back_with_no_model_in_the_loop() {
    let host = up();
    host.expect_up();
    host.scene.run(["restart"]).success();
    host.expect_up();
    end(host);
}

#[test]
fn p02_two_who_order_the_same_at_once_start_it_once() {
    let host = Host::new();
    let order = || host.scene.command(["up"]).spawn().unwrap();
    let (one, other) = (order(), order());
    scene::finish(one).success();
    scene::finish(other).success();
    host.expect_up();
    let log = host.scene.logs(BRIDGE);
    assert_eq!(log.matches("bridge: listens on port").count(), 1, "{log}");
    end(host);
}

#[test]
fn p03_the_bridge_follows_the_session_of_the_agent_wherever_it_goes() {
    let host = up();
    let connected_to = |id: &str| {
        let log = host.scene.logs(BRIDGE);
        log.contains(&format!("connected to session {id}"))
    };
    // The agent is started again, and has another session.
    let session = host.session_id("control-agent");
    host.scene.run(["restart", "control-agent"]).success();
    let second = host.session_id("control-agent");
    assert_ne!(second, session);
    wait_until("the bridge has followed", || connected_to(&second));
    // It switches sessions while it runs: another socket, and the alias points to it.
    let agent = host.scene.pid("control-agent");
    let socket = host.control("switched.sock");
    let switched = UnixListener::bind(&socket).unwrap();
    std::os::unix::fs::symlink("switched.sock", host.control("new.alias")).unwrap();
    fs::rename(
        host.control("new.alias"),
        host.control("control-agent.alias"),
    )
    .unwrap();
    wait_until("the bridge has followed again", || connected_to("switched"));
    assert_eq!(host.scene.pid("control-agent"), agent);
    wait_until("it is ready", || {
        host.scene.service(BRIDGE)["state"] == "ready"
    });
    drop(switched);
    fs::remove_file(socket).unwrap();
    end(host);
}

#[test]
fn p04_a_stranger_on_the_port_is_named_and_never_hit() {
    let host = Host::new();
    let stranger = TcpListener::bind(("127.0.0.1", host.port)).unwrap();
    host.scene.run(["up"]).code(5);
    host.scene.expect_state(BRIDGE, "blocked");
    let reason = host.scene.service(BRIDGE)["reason"].to_string();
    assert!(reason.contains(&host.port.to_string()), "{reason}");
    assert!(reason.contains(&std::process::id().to_string()), "{reason}");
    host.scene.expect_state("control-agent", "ready");
    drop(stranger);
    host.scene.run(["up"]).success();
    // The port changes its owner three times, and nobody waits for it.
    for _ in 0..3 {
        host.scene.run(["restart", "@bridge"]).success();
    }
    host.expect_quiet_logs();
    end(host);
}

#[test]
fn p05_editors_and_clients_of_the_same_name_are_nobodys_to_kill() {
    let host = up();
    // An editor on the bridge's file, started by nobody of the project, and a client on its port.
    let mut editor = host.scene.program("sh");
    let mut editor = editor
        .args([
            "-c",
            "exec sleep 1000 # broker-bridge.mjs gateway-bridge node",
        ])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let client = TcpStream::connect(("127.0.0.1", host.port)).unwrap();
    host.scene.run(["restart", "@bridge"]).success();
    host.scene.run(["down"]).success();
    let pid = i32::try_from(editor.id()).unwrap();
    assert!(is_alive(pid), "the editor was hit");
    drop(client);
    editor.kill().unwrap();
    editor.wait().unwrap();
    host.expect_down();
    host.scene.end();
}

#[test]
fn p06_p07_each_leads_a_session_of_its_own_and_no_pid_file_is_believed() {
    let host = up();
    for name in AGENTS.into_iter().chain([BRIDGE]) {
        let pid = nix::unistd::Pid::from_raw(host.scene.pid(name));
        assert_eq!(nix::unistd::getsid(Some(pid)).unwrap(), pid, "{name}");
    }
    // What the old start script left: it names a process that is somebody else's by now.
    let mut bystander = std::process::Command::new("sleep")
        .arg("1000")
        .spawn()
        .unwrap();
    let file = host.scene.home().join(".pi/agent/control-agent.pgid");
    fs::write(file, bystander.id().to_string()).unwrap();
    host.scene.run(["restart", "control-agent"]).success();
    host.scene.run(["down"]).success();
    assert!(bystander.try_wait().unwrap().is_none());
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    host.expect_down();
    host.scene.end();
}

#[test]
fn p08_what_the_agents_tool_started_in_sessions_of_its_own_goes_too() {
    let host = up();
    let file = host.scene.home().join("detached");
    host.tell_control_agent(&format!(
        "setsid nohup sh -c 'echo $$ > {}; trap \"\" HUP; sleep 100000' &",
        file.display()
    ));
    let detached: i32 = scene::wait_for_file(&file).trim().parse().unwrap();
    assert!(is_alive(detached));
    host.scene.run(["stop", "control-agent"]).success();
    assert!(!is_alive(detached));
    end(host);
}

#[test]
fn p09_p11_sessions_of_a_similar_name_stay_and_secrets_stay_out_of_the_server() {
    let host = up();
    host.scene
        .tmux(["new-session", "-d", "-s", "baudbot", "sleep 1000"])
        .success();
    host.scene
        .tmux([
            "new-session",
            "-d",
            "-s",
            "baudbot-gateway-bridge-notes",
            "sleep 1000",
        ])
        .success();
    host.scene.run(["restart", "@bridge"]).success();
    host.scene.run(["stop", "@bridge"]).success();
    let sessions = host.tmux_sessions();
    assert!(sessions.contains("baudbot"), "{sessions:?}");
    assert!(
        sessions.contains("baudbot-gateway-bridge-notes"),
        "{sessions:?}"
    );
    assert!(!sessions.contains("baudbot-gateway-bridge"), "{sessions:?}");
    let seen = host.scene.tmux(["show-environment", "-g"]).success().stdout;
    for secret in ["ANTHROPIC_API_KEY", "GATEWAY_BROKER"] {
        assert!(!seen.contains(secret), "{seen}");
    }
    end(host);
}

#[test]
fn p10_a_bridge_in_tmux_gets_term_and_closes_its_port() {
    let host = up();
    host.scene.run(["stop", BRIDGE]).success();
    let log = host.scene.logs(BRIDGE);
    assert!(log.contains("bridge: closes its port"), "{log}");
    end(host);
}

#[test]
fn p12_each_start_reads_the_env_file_anew_and_inherits_nothing() {
    let host = up();
    let before = environment(host.scene.pid(BRIDGE));
    assert!(before.contains(&"GATEWAY_BROKER_ACCESS_TOKEN=f".to_owned()));
    assert!(!before.iter().any(|one| one.starts_with("PKG_EXECPATH")));
    let renewed = VARIABLES.replace("ACCESS_TOKEN=f", "ACCESS_TOKEN=renewed");
    host.set_variables(&renewed.replace("ANTHROPIC_API_KEY=sk-ant-stand-in", "OPENAI_API_KEY=x"));
    // Nobody orders anything: the bridge crashes and is started again.
    kill(host.scene.pid(BRIDGE), 9);
    wait_until("the bridge runs again", || {
        let service = host.scene.service(BRIDGE);
        service["restarts"] == 1 && service["state"] == "ready"
    });
    let after = environment(host.scene.pid(BRIDGE));
    assert!(!after.iter().any(|one| one.starts_with("ANTHROPIC_API_KEY")));
    assert!(after.contains(&"GATEWAY_BROKER_ACCESS_TOKEN=renewed".to_owned()));
    end(host);
}

#[test]
fn p14_what_is_not_configured_is_blocked_or_skipped_and_never_tried() {
    let host = Host::new();
    host.set_variables("");
    let up = host.scene.run(["up"]).code(1);
    assert!(
        up.stderr.contains("there is no provider's key"),
        "{}",
        up.stderr
    );
    for agent in AGENTS {
        host.scene.expect_state(agent, "blocked");
        assert_eq!(host.scene.service(agent)["restarts"], 0);
    }
    host.scene.expect_state(BRIDGE, "skipped");
    host.scene.expect_state("gateway-socket", "skipped");
    host.set_variables(VARIABLES);
    host.scene.run(["up"]).success();
    host.expect_up();
    end(host);
}

#[test]
fn p15_the_transport_that_is_configured_no_longer_is_stopped() {
    let host = up();
    let broker = host.scene.pid(BRIDGE);
    host.set_variables("ANTHROPIC_API_KEY=x\nGATEWAY_BOT_TOKEN=xoxb\nGATEWAY_APP_TOKEN=xapp\n");
    host.scene.run(["up"]).success();
    host.scene.expect_state(BRIDGE, "skipped");
    host.scene.expect_state("gateway-socket", "ready");
    assert!(!is_alive(broker));
    TcpStream::connect(("127.0.0.1", host.port)).unwrap();
    host.set_variables("ANTHROPIC_API_KEY=x\n");
    host.scene.run(["up"]).success();
    host.scene.expect_state("gateway-socket", "skipped");
    assert!(TcpStream::connect(("127.0.0.1", host.port)).is_err());
    let sessions = host.tmux_sessions();
    assert!(
        !sessions.iter().any(|name| name.contains("gateway")),
        "{sessions:?}"
    );
    end(host);
}

#[test]
fn p16_what_the_last_start_left_satisfies_no_new_one() {
    let host = up();
    let first = host.session_id("control-agent");
    host.scene.run(["down"]).success();
    assert!(
        host.control("control-agent.alias").is_symlink(),
        "pi leaves it"
    );
    host.scene.run(["up", "control-agent"]).success();
    let second = host.session_id("control-agent");
    assert_ne!(first, second, "ready was not believed of the old alias");
    UnixStream::connect(host.control("control-agent.alias")).unwrap();
    end(host);
}

#[test]
fn p17_no_probe_takes_a_request_from_the_bridges_budget() {
    let host = up();
    for _ in 0..3 {
        host.scene.run(["restart", "@bridge"]).success();
    }
    host.expect_quiet_logs();
    end(host);
}

#[test]
fn p18_a_live_socket_is_nobodys_to_remove() {
    let host = Host::new();
    let control = host.scene.home().join(".pi/session-control");
    fs::create_dir_all(&control).unwrap();
    // A debugging agent that is none of ours, and one that has died.
    let live = UnixListener::bind(control.join("live.sock")).unwrap();
    drop(UnixListener::bind(control.join("dead.sock")).unwrap());
    host.scene.run(["up"]).success();
    assert!(control.join("live.sock").exists());
    assert!(!control.join("dead.sock").exists());
    host.scene.run(["down"]).success();
    assert!(control.join("live.sock").exists());
    drop(live);
    host.expect_down();
    host.scene.end();
}

#[test]
fn p19_p20_orders_return_and_keep_nobodys_pipe_open() {
    let host = Host::new();
    host.scene.run(["up", "--no-wait"]).success();
    // `cat` ends when the last writer does: nothing that was started may hold the pipe.
    let baudbot = env!("CARGO_BIN_EXE_baudbot");
    let mut piped = host.scene.program("sh");
    piped.args(["-c", &format!("{baudbot} up 2>&1 | cat")]);
    piped.stdout(Stdio::piped()).stderr(Stdio::piped());
    scene::finish(piped.spawn().unwrap()).success();
    host.expect_up();
    let waited = host
        .scene
        .run(["restart", "--timeout", "1ms", "control-agent"]);
    assert!(matches!(waited.code, Some(0 | 4)), "{waited:?}");
    end(host);
}

#[test]
fn p22_down_works_without_a_supervisor() {
    let host = up();
    host.open_dev_agent("dev-agent-shop-9");
    host.scene.kill_supervisor();
    host.scene.run(["down"]).success();
    host.expect_down();
    host.scene.end();
}

#[test]
fn p23_a_bridge_that_its_broker_answers_no_longer_is_not_well() {
    let host = Host::new();
    let text = fs::read_to_string(host.scene.path("baudbot.yaml")).unwrap();
    let short = text.replace("[ $age -le 120 ]", "[ $age -le 1 ]").replace(
        "      interval: 30s\n      failures: 2",
        "      interval: 100ms\n      failures: 2",
    );
    assert_ne!(text, short);
    fs::remove_file(host.scene.path("baudbot.yaml")).unwrap();
    fs::write(host.scene.path("baudbot.yaml"), short).unwrap();
    host.scene.run(["up"]).success();
    let bridge = host.scene.pid(BRIDGE);
    fs::write(host.scene.home().join("broker-is-away"), "").unwrap();
    // It goes on holding its port and writing its file; that alone is not being well.
    wait_until("it is found out", || {
        host.scene.service(BRIDGE)["state"] == "unhealthy"
    });
    let reason = host.scene.service(BRIDGE)["reason"].to_string();
    assert!(reason.contains("the last poll that succeeded"), "{reason}");
    assert_eq!(host.scene.pid(BRIDGE), bridge, "a new start would not help");
    fs::remove_file(host.scene.home().join("broker-is-away")).unwrap();
    wait_until("it is well again", || {
        host.scene.service(BRIDGE)["state"] == "ready"
    });
    host.scene.run(["down"]).success();
    host.scene.end();
}

#[test]
fn half_of_a_transport_is_told_by_name_and_its_first_names_are_taken() {
    let host = Host::new();
    let half = VARIABLES.replace("GATEWAY_BROKER_PUBLIC_KEY=d\n", "");
    host.set_variables(&half);
    let up = host.scene.run(["up"]).code(5);
    assert!(
        up.stderr.contains("GATEWAY_BROKER_PUBLIC_KEY"),
        "{}",
        up.stderr
    );
    host.scene.expect_state(BRIDGE, "blocked");
    host.scene.expect_state("gateway-socket", "skipped");
    let older = VARIABLES
        .replace("GATEWAY_BROKER_URL", "SLACK_BROKER_URL")
        .replace("GATEWAY_BROKER_ORG_ID", "GATEWAY_BROKER_WORKSPACE_ID");
    host.set_variables(&older);
    host.scene.run(["up"]).success();
    host.scene.expect_state(BRIDGE, "ready");
    end(host);
}

#[test]
fn a_login_without_a_key_gives_the_agents_their_model() {
    let host = Host::new();
    let keyless = VARIABLES.replace("ANTHROPIC_API_KEY=sk-ant-stand-in\n", "");
    host.set_variables(&keyless);
    let login = host.scene.home().join(".pi/agent/auth.json");
    fs::write(login, r#"{"openai-codex": {"type": "oauth"}}"#).unwrap();
    host.scene.run(["up"]).success();
    let log = host.scene.logs("control-agent");
    assert!(log.contains("runs openai-codex/gpt-5.2-codex"), "{log}");
    end(host);
}

#[test]
fn the_agents_heartbeat_finds_the_log_of_the_bridge_where_it_was() {
    let host = Host::new();
    let logs = host.scene.home().join(".pi/agent/logs");
    fs::create_dir_all(&logs).unwrap();
    fs::write(logs.join("gateway-bridge.log"), "of last year\n").unwrap();
    host.scene.run(["up"]).success();
    for name in ["gateway-bridge.log", "slack-bridge.log"] {
        let log = fs::read_to_string(logs.join(name)).unwrap();
        assert!(log.contains("bridge: listens on port"), "{log}");
    }
    let old = fs::read_to_string(logs.join("gateway-bridge.log.old")).unwrap();
    assert_eq!(old, "of last year\n");
    end(host);
}

#[test]
fn p24_no_word_of_a_task_reaches_a_shell() {
    let host = up();
    let tree = host
        .scene
        .home()
        .join("it's; touch pwned $(touch pwned) \"x\"");
    fs::create_dir_all(&tree).unwrap();
    let param = format!("worktree={}", tree.display());
    host.scene
        .run(["start", "dev-agent@shop-1", "--param", &param])
        .success();
    let pid = host.scene.pid("dev-agent@shop-1");
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), tree);
    assert!(!tree.join("pwned").exists() && !host.scene.home().join("pwned").exists());
    let refused = host
        .scene
        .run(["start", "dev-agent@../x", "--param", &param])
        .code(2);
    assert!(
        refused.stderr.contains("a name starts with"),
        "{}",
        refused.stderr
    );
    end(host);
}

#[test]
fn p25_sessions_with_the_names_of_former_years_are_swept() {
    let host = up();
    for name in ["slack-bridge", "baudbot-slack-bridge"] {
        host.scene
            .tmux(["new-session", "-d", "-s", name, "sleep 1000"])
            .success();
    }
    host.scene.run(["restart", "@bridge"]).success();
    let sessions = host.tmux_sessions();
    assert!(
        !sessions.iter().any(|name| name.contains("slack")),
        "{sessions:?}"
    );
    assert!(sessions.contains("baudbot-gateway-bridge"), "{sessions:?}");
    end(host);
}

#[test]
fn p25_what_left_the_manifest_is_stopped() {
    let host = up();
    let text = fs::read_to_string(host.scene.path("baudbot.yaml")).unwrap();
    let start = text.find("  sentry-agent:\n").unwrap();
    let rest = text[start..].find("\ntemplates:").unwrap();
    let without = format!("{}{}", &text[..start], &text[start + rest..]);
    fs::remove_file(host.scene.path("baudbot.yaml")).unwrap();
    fs::write(host.scene.path("baudbot.yaml"), without).unwrap();
    let pid = host.scene.pid("sentry-agent");
    host.scene.run(["up"]).success();
    assert!(!is_alive(pid));
    assert!(host.scene.service("sentry-agent").is_null());
    host.scene.run(["down"]).success();
    host.scene.end();
}

#[test]
fn four_agents_for_four_tasks_and_no_fifth() {
    let host = up();
    let param = format!("worktree={}", host.scene.home().display());
    let start = |name: &str| host.scene.run(["start", name, "--param", &param]);
    for name in 1..=4 {
        start(&format!("dev-agent@shop-{name}")).success();
    }
    UnixStream::connect(host.control("dev-agent-shop-3.alias")).unwrap();
    let refused = start("dev-agent@shop-5").code(5);
    assert!(
        refused.stderr.contains("4 instances at a time"),
        "{}",
        refused.stderr
    );
    host.scene.run(["stop", "dev-agent@shop-2"]).success();
    start("dev-agent@shop-5").success();
    host.scene.run(["up"]).success();
    append(&host.env_file(), "");
    end(host);
}
