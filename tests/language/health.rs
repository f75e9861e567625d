//! `health`, and what probes can ask.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::STEADY;
use crate::scene::{Scene, append, is_alive, wait_for_file, wait_until};

/// An HTTP server that answers each request as it is told; it notes what was asked.
struct Server {
    port: u16,
    status: Arc<Mutex<&'static str>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(status: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = Self {
            port: listener.local_addr().expect("an address").port(),
            status: Arc::new(Mutex::new(status)),
            asked: Arc::default(),
        };
        let (status, asked) = (Arc::clone(&server.status), Arc::clone(&server.asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let status = *status.lock().expect("no panic elsewhere");
                asked
                    .lock()
                    .expect("no panic elsewhere")
                    .push(answer(stream, status));
            }
        });
        server
    }

    fn answer_with(&self, status: &'static str) {
        *self.status.lock().expect("no panic elsewhere") = status;
    }
}

/// Reads a request; returns its head and body in one text.
fn answer(stream: TcpStream, status: &str) -> String {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        head += &line;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    let _ = write!(
        reader.get_mut(),
        "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n"
    );
    head + &String::from_utf8(body).expect("text")
}

/// A server that answers, and never comes to an end of it.
fn endless(piece: &'static [u8], pause: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                // An answer to what was not asked yet is none.
                let mut request = [0; 1024];
                let _ = stream.read(&mut request);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
                while stream.write_all(piece).is_ok() {
                    std::thread::sleep(pause);
                }
            });
        }
    });
    port
}

#[test]
fn who_is_unhealthy_is_restarted_and_that_counts_as_a_failure() {
    let scene = Scene::new(
        r#"
services:
  web:
    command: "rm -f sick; trap 'exit 0' TERM; sleep 1000 & wait"
    ready: {exec: "test ! -e sick", interval: 10ms}
    health: {exec: "echo looking; test ! -e sick || {echo feverish >&2; exit 4; }", interval: 20ms, failures: 2}
    restart: {delay: 10ms}
"#
        .replace("{echo", "{ echo")
        .as_str(),
    );
    scene.run(["up"]).success();
    let first = scene.pid("web");
    wait_until("a check succeeded", || {
        let last = &scene.service("web")["last_probe"];
        last["question"] == "health" && last["succeeded"] == true && last["output"] == "looking\n"
    });
    append(&scene.path("sick"), "");
    wait_until("it was restarted and is well", || {
        let web = scene.service("web");
        web["restarts"] == 1 && web["state"] == "ready"
    });
    assert!(!is_alive(first));
    let why = scene.run(["why", "web"]).stdout;
    assert!(why.contains("we ended it: it was unhealthy"), "{why}");
    scene.end();
}

#[test]
fn who_never_gets_well_is_given_up_with_what_was_found() {
    let scene = Scene::new(&format!(
        r#"
services:
  web:
    command: {STEADY}
    health: {{exec: "echo feverish; exit 4", interval: 10ms, failures: 1}}
    restart: {{delay: 10ms, max_failures: 2}}
"#
    ));
    scene.run(["up", "--no-wait"]).success();
    wait_until("it is given up", || {
        scene.service("web")["state"] == "failed"
    });
    let reason = scene.service("web")["reason"].to_string();
    assert!(
        reason.contains("unhealthy") && reason.contains("feverish") && reason.contains("gave up"),
        "{reason}"
    );
    scene.end();
}

#[test]
fn who_is_reported_runs_on_and_becomes_well_again() {
    let server = Server::start("503 Service Unavailable");
    let port = server.port;
    let scene = Scene::new(&format!(
        r#"
services:
  bridge:
    command: {STEADY}
    health:
      http: {{url: "http://127.0.0.1:{port}/send?x=1", method: PUT, body: "{{}}", headers: {{X-Token: abc}}, status: [400, 429]}}
      interval: 20ms
      failures: 2
      action: report
  waits: {{command: {STEADY}, depends_on: [bridge]}}
"#
    ));
    scene.run(["up", "--no-wait", "bridge"]).success();
    let pid = scene.pid("bridge");
    wait_until("it is unhealthy", || {
        scene.service("bridge")["state"] == "unhealthy"
    });
    let reason = scene.service("bridge")["reason"].to_string();
    assert!(
        reason.contains("answered 503 Service Unavailable"),
        "{reason}"
    );
    assert!(reason.contains("checks in a row"), "{reason}");
    let asked = server.asked.lock().unwrap()[0].clone();
    assert!(asked.starts_with("PUT /send?x=1 HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("x-token: abc\r\n"), "{asked}");
    assert!(asked.ends_with("{}"), "{asked}");

    // Who needs it to be ready waits.
    scene.run(["up", "--no-wait"]).success();
    scene.expect_state("waits", "waiting");
    server.answer_with("429 Too Many Requests");
    wait_until("both are ready", || {
        scene.service("bridge")["state"] == "ready" && scene.service("waits")["state"] == "ready"
    });
    assert_eq!(scene.pid("bridge"), pid);
    assert_eq!(scene.service("bridge")["restarts"], 0);
    scene.end();
}

#[test]
fn no_server_holds_a_check_up() {
    // A header now and then; headers without end; an answer that does not come.
    let slow = endless(b"x: y\r\n", Duration::from_millis(20));
    let fast = endless(b"x-header: value\r\n", Duration::ZERO);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let service = |port: u16| {
        format!(
            r#"{{command: {STEADY}, health: {{http: "http://127.0.0.1:{port}/", interval: 10ms, timeout: 300ms, failures: 2, action: report}}}}"#
        )
    };
    let scene = Scene::new(&format!(
        "services:\n  slow: {}\n  fast: {}\n  silent: {}\n",
        service(slow),
        service(fast),
        service(silent_port)
    ));
    scene.run(["up", "--no-wait"]).success();
    for name in ["slow", "fast", "silent"] {
        wait_until("it is unhealthy", || {
            scene.service(name)["state"] == "unhealthy"
        });
    }
    let reason = scene.service("slow")["reason"].to_string();
    assert!(reason.contains("no answer within 300ms"), "{reason}");
    scene.end();
}

#[test]
fn what_the_command_of_a_probe_leaves_behind_is_ended_after_each_attempt() {
    let scene = Scene::new(&format!(
        r#"
services:
  leaves:
    command: {STEADY}
    ready: {{exec: "setsid sleep 1000 & echo $! >> left; exit 0"}}
  hangs:
    command: {STEADY}
    health: {{exec: "setsid sleep 1000 & echo $! >> hung; sleep 1000", interval: 10ms, timeout: 200ms, failures: 2, action: report}}
"#
    ));
    scene.run(["up"]);
    wait_until("it is unhealthy", || {
        scene.service("hangs")["state"] == "unhealthy"
    });
    let reason = scene.service("hangs")["reason"].to_string();
    assert!(reason.contains("no answer within 200ms"), "{reason}");
    let left: i32 = wait_for_file(&scene.path("left")).trim().parse().unwrap();
    let hung = wait_for_file(&scene.path("hung"));
    let hung: i32 = hung.lines().next().unwrap().parse().unwrap();
    wait_until("what they left is gone", || {
        !is_alive(left) && !is_alive(hung)
    });
    assert_eq!(scene.service("hangs")["restarts"], 0);
    scene.end();
}

#[test]
fn a_heartbeat_that_stops_is_noticed() {
    let scene = Scene::new(
        r#"
services:
  agent:
    command: "trap 'exit 0' TERM; while :; do test -e quiet || touch beat; sleep 0.05 & wait; done"
    ready: {file: {path: beat, max_age: 10s}}
    health: {file: {path: beat, max_age: 1s}, interval: 50ms, failures: 1, action: report}
"#,
    );
    // One that an earlier run left says nothing.
    append(&scene.path("quiet"), "");
    append(&scene.path("beat"), "old");
    scene.run(["up", "--no-wait"]).success();
    wait_until("the old one was looked at", || {
        let found = scene.service("agent")["last_probe"]["found"].to_string();
        found.contains("beat is older than this start")
    });
    std::fs::remove_file(scene.path("quiet")).unwrap();
    wait_until("it is ready", || scene.service("agent")["state"] == "ready");
    append(&scene.path("quiet"), "");
    wait_until("it is unhealthy", || {
        scene.service("agent")["state"] == "unhealthy"
    });
    let reason = scene.service("agent")["reason"].to_string();
    assert!(
        reason.contains("was last written") && reason.contains("over 1s"),
        "{reason}"
    );
    std::fs::remove_file(scene.path("quiet")).unwrap();
    wait_until("it is well again", || {
        scene.service("agent")["state"] == "ready"
    });
    scene.end();
}

#[test]
fn an_alias_counts_by_the_socket_that_it_leads_to() {
    let scene = Scene::new(&format!(
        r"
services:
  agent: {{command: {STEADY}, ready: {{unix: agent.alias}}}}
"
    ));
    // What an earlier run left: a socket that even answers.
    let old = std::os::unix::net::UnixListener::bind(scene.path("old.sock")).unwrap();
    std::os::unix::fs::symlink("old.sock", scene.path("agent.alias")).unwrap();
    scene.run(["up", "--no-wait"]).success();
    wait_until("the old one was looked at", || {
        let reason = scene.service("agent")["reason"].to_string();
        reason.contains("agent.alias is older than this start")
    });
    let new = std::os::unix::net::UnixListener::bind(scene.path("new.sock")).unwrap();
    std::os::unix::fs::symlink("new.sock", scene.path("next")).unwrap();
    std::fs::rename(scene.path("next"), scene.path("agent.alias")).unwrap();
    wait_until("it is ready", || scene.service("agent")["state"] == "ready");
    drop((old, new));
    scene.end();
}

#[test]
fn checks_that_are_edited_are_made_anew_without_a_new_run() {
    let scene = Scene::new(&format!(
        r"services: {{web: {{command: {STEADY}, health: {{exec: [sh, -c, 'exit 1'], interval: 20ms, failures: 1, action: report}}}}}}"
    ));
    scene.run(["up", "--no-wait"]).success();
    wait_until("it is unhealthy", || {
        scene.service("web")["state"] == "unhealthy"
    });
    let pid = scene.pid("web");
    scene.edit(&format!(
        r"services: {{web: {{command: {STEADY}, health: {{exec: [sh, -c, 'exit 0'], interval: 20ms, failures: 1, action: report}}}}}}"
    ));
    let plan = scene.run(["plan"]).success().stdout;
    assert!(plan.contains("updated without restart: health"), "{plan}");
    scene.run(["up", "--no-wait"]).success();
    wait_until("it is ready", || {
        let last = &scene.service("web")["last_probe"];
        scene.service("web")["state"] == "ready" && last["succeeded"] == true
    });
    assert_eq!(scene.pid("web"), pid);
    scene.end();
}
