//! The control socket as other programs use it: the examples of docs/control-api.md, and clients that
//! behave badly.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "cli_scene/mod.rs"]
mod scene;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use scene::{Outcome, Scene};
use serde_json::Value;

const SHOP: &str = r#"
version: 1
project: shop
groups: { core: {} }
services:
  db: { command: [sh, -c, 'echo listening; exec sleep 1000'], ready: { log: listening }, groups: [core] }
  web:
    command: [sh, -c, 'echo serving; exec sleep 1000']
    ready: { log: serving }
    depends_on: [db]
"#;

fn socket(scene: &Scene) -> PathBuf {
    scene.runtime("shop").join("control.sock")
}

/// Sends a request and leaves the rest to the caller.
fn send(scene: &Scene, text: &str) -> UnixStream {
    let mut stream = UnixStream::connect(socket(scene)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

/// The whole answer to a request.
fn answer(scene: &Scene, text: &str) -> String {
    let mut stream = send(scene, text);
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let mut answer = Vec::new();
    // The other end may close before all was sent.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: baudbot\r\nconnection: close\r\n\r\n")
}

/// The fenced blocks of a document with their language.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push((language.to_owned(), block.join("\n")));
        }
    }
    blocks
}

/// The names of fields, the words of events and the codes in an example.
fn words(example: &str) -> Vec<String> {
    let pattern = regex::Regex::new(r#""([a-z_]+)":|^(event: .*)$|(baudbot::[a-z_:]+)"#).unwrap();
    example
        .lines()
        .flat_map(|line| pattern.captures_iter(line))
        .filter_map(|found| Some(found.iter().skip(1).flatten().next()?.as_str().to_owned()))
        .collect()
}

#[test]
fn the_examples_work_as_they_stand_there() {
    let scene = Scene::new(SHOP);
    scene.run(&["up"]).exits(0);
    let blocks = blocks(include_str!("../docs/control-api.md"));
    let mut examples = blocks.iter();
    let (_, preamble) = examples.next().unwrap();
    let mut count = 0;
    while let Some((language, script)) = examples.next() {
        assert_eq!(language, "sh", "{script}");
        let script = format!("{preamble}\n{script}");
        let outcome = Outcome::of(scene.program("bash").args(["-euc", &script])).exits(0);
        let (_, expected) = examples.next().unwrap();
        for word in words(expected) {
            assert!(outcome.out.contains(&word), "no `{word}` in {outcome:?}");
        }
        assert_ne!(outcome.out, "", "{script}");
        count += 1;
    }
    assert!(count >= 8, "{count} examples");
}

#[test]
fn every_path_of_the_document_is_served_and_no_other() {
    let scene = Scene::new(SHOP);
    scene.run(&["up"]).exits(0);
    let document: Value = serde_json::from_str(include_str!("../schema/control-api.json")).unwrap();
    for path in document["paths"].as_object().unwrap().keys() {
        // Every one is there; this one also ends.
        let head = send(&scene, &get(path));
        let mut first = String::new();
        BufReader::new(head).read_line(&mut first).unwrap();
        assert!(!first.contains("404"), "{path}: {first}");
    }
    let nowhere = answer(&scene, &get("/v1/nowhere"));
    assert!(
        nowhere.contains("404") && nowhere.contains("control::unknown_path"),
        "{nowhere}"
    );
    for query in [
        "lines=many",
        "since=soon",
        "grep=(",
        "services=nobody",
        "what=this",
    ] {
        let refused = answer(&scene, &get(&format!("/v1/logs?{query}")));
        assert!(refused.contains("400 Bad Request"), "{query}: {refused}");
        assert!(refused.contains("control::bad_query"), "{query}: {refused}");
    }
}

#[test]
fn logs_are_chosen_and_followed() {
    let scene = Scene::new(SHOP);
    scene.run(&["up"]).exits(0);
    let lines = |query: &str| {
        let answer = answer(&scene, &get(&format!("/v1/logs?{query}")));
        answer.matches("event: line").count()
    };
    assert_eq!(lines(""), 2);
    assert_eq!(lines("services=@core"), 1);
    assert_eq!(lines("services=db,web&lines=1"), 1);
    assert_eq!(lines("grep=^serving$"), 1);
    assert_eq!(lines("until=2000-01-01T00:00:00Z"), 0);
    let mut follow = BufReader::new(send(
        &scene,
        &get("/v1/logs?services=web&lines=1&follow=true"),
    ))
    .lines();
    let mut next = || {
        let line = follow.find(|line| line.as_ref().unwrap().starts_with("data: "));
        assert!(line.unwrap().unwrap().contains(r#""line":"serving""#));
    };
    // The line that was there says that the rest is being waited for.
    next();
    scene.run(&["restart", "web"]).exits(0);
    next();
    // The stream ends with the supervisor.
    scene.run(&["down"]).exits(0);
    assert!(follow.all(|line| line.is_ok()));
}

const CHATTY: &str = r#"
version: 1
project: shop
services:
  chatty:
    command:
      - sh
      - -c
      - 'i=0; while [ $i -lt 30000 ]; do echo "line $i ...................................."; i=$((i+1)); done; echo all-said; exec sleep 1000'
    ready: { log: all-said, timeout: 2m }
  web: { command: [sleep, '1000'] }
"#;

fn resident_kib(pid: i64) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn clients_that_behave_badly_cost_the_supervisor_nothing() {
    let scene = Scene::new(CHATTY);
    scene.run(&["up", "--no-wait"]).exits(0);
    let pid = scene.run(&["status", "--json"]).json()["supervisor"]["pid"]
        .as_i64()
        .unwrap();
    let before = resident_kib(pid);
    // Some never read, some send half a request, some nothing at all.
    let mut held: Vec<UnixStream> = Vec::new();
    for _ in 0..8 {
        held.push(send(&scene, &get("/v1/logs?follow=true")));
        held.push(send(&scene, &get("/v1/notices")));
        held.push(send(
            &scene,
            "POST /v1/orders HTTP/1.1\r\nhost: b\r\ncontent-length: 99\r\n\r\n{",
        ));
        held.push(send(&scene, "GET /v1/sta"));
    }
    for _ in 0..100 {
        held.push(UnixStream::connect(socket(&scene)).unwrap());
    }
    scene.run(&["up"]).exits(0);
    for _ in 0..20 {
        scene.run(&["restart", "web", "--no-wait"]).exits(0);
    }
    let begun = Instant::now();
    scene.run(&["status", "--json"]).json();
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    let grown = resident_kib(pid).saturating_sub(before);
    assert!(grown < 24 * 1024, "the supervisor grew by {grown} KiB");
    // A client that gave up leaves nothing behind: so many more find their place.
    held.clear();
    for _ in 0..70 {
        drop(send(&scene, &get("/v1/logs?follow=true")));
    }
    let begun = Instant::now();
    loop {
        let answer = answer(&scene, &get("/v1/logs?lines=1"));
        if answer.contains("200 OK") {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{answer}");
        std::thread::sleep(Duration::from_millis(20));
    }
    // Nor do they keep it from leaving.
    held.push(send(&scene, &get("/v1/logs?follow=true")));
    held.push(send(&scene, "GET /v1/sta"));
    scene.run(&["down"]).exits(0);
}

/// What is not understood is refused with a name, instead of an order that means something else.
#[test]
fn unknown_fields_methods_and_queries_are_refused_with_a_code() {
    let scene = Scene::new(SHOP);
    scene.run(&["up"]).exits(0);
    let body = r#"{"version":1,"order":"down","dry-run":true}"#;
    let order = format!(
        "POST /v1/orders HTTP/1.1\r\nhost: b\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let delete = "DELETE /v1/status HTTP/1.1\r\nhost: b\r\nconnection: close\r\n\r\n";
    for (request, status, code, name) in [
        (order.as_str(), "400", "control::bad_order", "dry-run"),
        (delete, "405", "control::wrong_method", "DELETE"),
        (
            &get("/v1/status?usage=null"),
            "400",
            "control::bad_query",
            "usage",
        ),
        (&get("/v1/status?x=1"), "400", "control::bad_query", "x"),
    ] {
        let answer = answer(&scene, request);
        for part in [status, code, name] {
            assert!(answer.contains(part), "{request}: {answer}");
        }
    }
    // The project that was not to be taken down is up.
    scene.run(&["status"]).exits(0);
}

#[test]
fn an_order_that_is_too_large_is_refused_unread() {
    let scene = Scene::new(SHOP);
    scene.run(&["up"]).exits(0);
    let refused = answer(
        &scene,
        "POST /v1/orders HTTP/1.1\r\nhost: b\r\nconnection: close\r\ncontent-length: 100000000\r\n\r\n",
    );
    assert!(refused.contains("413"), "{refused}");
    assert!(refused.contains("control::unreadable_body"), "{refused}");
    let broken = answer(
        &scene,
        "POST /v1/orders HTTP/1.1\r\nhost: b\r\nconnection: close\r\ncontent-length: 3\r\n\r\n{,}",
    );
    assert!(
        broken.contains("400") && broken.contains("control::bad_order"),
        "{broken}"
    );
    scene.run(&["status"]).exits(0);
}

#[test]
fn another_user_is_refused_even_where_the_rights_were_loosened() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("only root can become somebody else: not tried");
        return;
    }
    let scene = Scene::new(SHOP);
    scene.run(&["up"]).exits(0);
    let socket = socket(&scene);
    for directory in socket.ancestors().skip(1).take(4) {
        std::fs::set_permissions(directory, PermissionsExt::from_mode(0o711)).unwrap();
    }
    std::fs::set_permissions(&socket, PermissionsExt::from_mode(0o666)).unwrap();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .args(["curl", "--silent", "--max-time", "20", "--unix-socket"])
        .arg(&socket)
        .arg("http://baudbot/v1/status");
    Outcome::of(&mut command)
        .exits(0)
        .says("control::forbidden");
}
