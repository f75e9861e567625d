//! A probe of an address of this host is answered by the service, or it fails and says by what it was
//! answered instead.

use std::net::TcpListener;

use super::scene::{Scene, free_port, wait_until};

/// Listens as soon as the port is free.
const SERVER: &str = r#"
import http.server, socketserver, sys, time
class Server(http.server.HTTPServer):
    allow_reuse_address = True
    address_family = 10 if ':' in sys.argv[1] else 2
while True:
    try:
        Server((sys.argv[1], int(sys.argv[2])), http.server.SimpleHTTPRequestHandler).serve_forever()
    except OSError:
        time.sleep(0.02)
"#;

fn scene() -> Scene {
    let scene = Scene::bare();
    std::fs::write(scene.path("server.py"), SERVER).unwrap();
    scene
}

fn reason(scene: &Scene, name: &str) -> String {
    let service = scene.service(name);
    service["reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn the_answer_of_a_stranger_does_not_make_a_service_ready() {
    for (bound, tcp, url) in [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1", "localhost"),
        ("::", "127.0.0.1", "[::1]"),
        ("::1", "localhost", "[::1]"),
    ] {
        let scene = scene();
        let port = free_port();
        let stranger = TcpListener::bind((bound, port)).unwrap();
        scene.edit(&format!(
            "services:\n  tcp: {{command: [sleep, '1000'], ready: {{tcp: '{tcp}:{port}', timeout: 400ms}}}}\n  http: {{command: [sleep, '1000'], ready: {{http: 'http://{url}:{port}/', timeout: 400ms}}}}\ndefaults: {{restart: never}}\n"
        ));
        scene.run(["up"]).code(1);
        let me = std::process::id();
        for name in ["tcp", "http"] {
            let reason = reason(&scene, name);
            let expected = format!("port {port} is held by pid {me} (");
            assert!(reason.contains(&expected), "{bound}: {reason}");
            assert!(
                reason.contains("which was there before this start"),
                "{reason}"
            );
        }
        drop(stranger);
        scene.end();
    }
}

/// A supervisor that takes the run over knows what was there before; once the stranger goes, the
/// service gets its port.
#[test]
fn a_supervisor_that_takes_over_a_start_knows_the_stranger() {
    let scene = scene();
    let port = free_port();
    let stranger = TcpListener::bind(("127.0.0.1", port)).unwrap();
    scene.edit(&format!(
        "services: {{web: {{command: [python3, server.py, 127.0.0.1, '{port}'], ready: {{tcp: {port}, timeout: never}}}}}}"
    ));
    scene.run(["up", "--no-wait"]).success();
    let is_told = || reason(&scene, "web").contains("which was there before this start");
    wait_until("the stranger is named", is_told);
    let before = scene.pid("web");
    scene.crash_supervisor();
    wait_until("the next supervisor is there", || {
        scene.run(["status", "--json"]).code == Some(0) || is_told()
    });
    wait_until("the stranger is named again", is_told);
    scene.expect_state("web", "starting");
    drop(stranger);
    scene.run(["up"]).success();
    assert_eq!(scene.pid("web"), before);
    scene.end();
}

/// Whatever begins to listen after the start counts, and so does a socket that the run inherits or
/// that a service holds through which this one is asked.
#[test]
fn a_later_listener_and_one_of_a_dependency_count() {
    let scene = scene();
    let (late, proxy) = (free_port(), free_port());
    scene.edit(&format!(
        r#"
services:
  late: {{command: "touch begun; exec sleep 1000", ready: {{tcp: {late}}}}}
  proxy: {{command: [python3, server.py, 127.0.0.1, "{proxy}"], ready: {{tcp: {proxy}}}}}
  app: {{command: [sleep, "1000"], depends_on: [proxy], ready: {{http: "http://127.0.0.1:{proxy}/"}}}}
"#
    ));
    let up = scene.command(["up"]).spawn().unwrap();
    wait_until("it has begun", || scene.path("begun").exists());
    let listener = TcpListener::bind(("127.0.0.1", late)).unwrap();
    super::scene::finish(up).success();
    drop(listener);
    scene.end();
}

/// Health may ask for what a service only uses.
#[test]
fn health_takes_the_answer_of_what_was_there_before() {
    let scene = scene();
    let database = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = database.local_addr().unwrap().port();
    scene.edit(&format!(
        "services: {{app: {{command: [sleep, '1000'], health: {{tcp: {port}, interval: 20ms}}}}}}"
    ));
    scene.run(["up"]).success();
    wait_until("it is asked", || {
        scene.service("app")["last_probe"]["succeeded"] == true
    });
    scene.end();
}

#[test]
fn a_refused_probe_says_where_the_service_listens() {
    let scene = scene();
    let (six, other, wanted) = (free_port(), free_port(), free_port());
    scene.edit(&format!(
        r#"
defaults: {{restart: never}}
services:
  six: {{command: [python3, server.py, "::1", "{six}"], ready: {{tcp: {six}, timeout: never}}}}
  both: {{command: [python3, server.py, "::1", "{wanted}"], ready: {{tcp: "localhost:{wanted}"}}}}
  other: {{command: [python3, server.py, "127.0.0.1", "{other}"], ready: {{http: "http://127.0.0.1:9/", timeout: never}}}}
"#
    ));
    scene.run(["up", "--no-wait"]).success();
    for (name, expected) in [
        (
            "six",
            format!("the service listens on [::1]:{six}: write `tcp: \"localhost:{six}\"`"),
        ),
        (
            "other",
            format!("; the service listens on 127.0.0.1:{other}"),
        ),
    ] {
        wait_until(&expected, || reason(&scene, name).contains(&expected));
    }
    wait_until("both addresses are tried", || {
        scene.service("both")["state"] == "ready"
    });
    scene.end();
}
