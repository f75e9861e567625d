//! What a service manager hears of `up --foreground`: a unit with one service that cannot be reached
//! is started all the same, and is given the time that its services take.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::scene::{Outcome, PATIENCE, Scene, finish, is_alive, kill, wait_until};

/// A service manager's end of `sd_notify(3)`.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    fn listen(scene: &mut Scene) -> Self {
        let path = scene.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        scene.set("NOTIFY_SOCKET", path.to_str().unwrap());
        Self {
            socket,
            heard: Vec::new(),
        }
    }

    fn receive(&mut self) -> Option<String> {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).ok()?;
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        self.heard.extend(text.lines().map(str::to_owned));
        Some(text)
    }

    /// Listens until a line begins so.
    #[track_caller]
    fn hear(&mut self, beginning: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut from = 0;
        loop {
            if let Some(line) = self.heard[from..]
                .iter()
                .find(|one| one.starts_with(beginning))
            {
                return line.clone();
            }
            from = self.heard.len();
            assert!(Instant::now() < deadline, "not heard: {:#?}", self.heard);
            self.receive();
        }
    }

    /// All that has been said by now.
    fn drain(&mut self) {
        self.socket
            .set_read_timeout(Some(Duration::from_millis(1)))
            .unwrap();
        while self.receive().is_some() {}
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }

    fn has_heard(&self, beginning: &str) -> bool {
        self.heard.iter().any(|one| one.starts_with(beginning))
    }
}

fn foreground(scene: &Scene, more: &[&str]) -> Child {
    let mut words = vec!["up", "--foreground"];
    words.extend(more);
    scene.command(words).spawn().unwrap()
}

/// Ends it as a service manager does.
fn terminate(child: Child) -> Outcome {
    kill(i32::try_from(child.id()).unwrap(), 15);
    finish(child)
}

const ONE_UNREACHABLE: &str = r#"
services:
  agent: {command: [sleep, "1000"]}
  gateway:
    command: [sleep, "1000"]
    ready: {file: never, timeout: 300ms}
    restart: {delay: 1h, max_delay: 1h}
  behind: {command: [sleep, "1000"], depends_on: [gateway]}
  unwanted: {command: [sleep, "1000"], when: {env: NOT_SET_ANYWHERE}}
"#;

#[test]
fn a_service_that_cannot_be_reached_does_not_keep_the_unit_from_having_started() {
    let mut scene = Scene::new(ONE_UNREACHABLE);
    let mut manager = Manager::listen(&mut scene);
    let child = foreground(&scene, &[]);
    manager.hear("EXTEND_TIMEOUT_USEC=");
    manager.hear("READY=1");
    manager.drain();
    let statuses = || {
        manager
            .heard
            .iter()
            .filter_map(|one| one.strip_prefix("STATUS="))
    };
    let last = statuses().next_back().unwrap();
    assert!(
        last.starts_with(
            "1 of 4 services up, 1 in backoff, 1 on the way, 1 skipped; `gateway` backoff: "
        ),
        "{last}"
    );
    assert!(last.contains("`behind` waiting: "), "{last}");
    let outcome = terminate(child).success();
    assert!(
        outcome.stderr.contains("1 of 4 services up"),
        "{}",
        outcome.stderr
    );
    manager.hear("STOPPING=1");
    scene.close();
}

#[test]
fn the_unit_can_be_made_to_wait_until_all_are_up() {
    let mut scene = Scene::new(&ONE_UNREACHABLE.replace("1h", "100ms"));
    let mut manager = Manager::listen(&mut scene);
    let child = foreground(&scene, &["--ready", "all"]);
    wait_until("the gateway was tried twice", || {
        scene.run(["status", "--json"]).json()["services"]["gateway"]["restarts"].as_i64() > Some(1)
    });
    manager.drain();
    assert!(!manager.has_heard("READY=1"), "{:#?}", manager.heard);
    std::fs::write(scene.path("never"), "here\n").unwrap();
    // What an earlier run left does not count, so the file is made anew until a run takes it.
    let mut ready = false;
    wait_until("all are up", || {
        std::fs::write(scene.path("never"), "here\n").unwrap();
        manager.drain();
        ready |= manager.has_heard("READY=1");
        ready
    });
    terminate(child).success();
    scene.close();
}

#[test]
fn a_stop_that_takes_its_time_is_told_and_is_given_it() {
    let mut scene = Scene::new(
        "services: {slow: {command: \"trap 'touch asked; until [ -e may-end ]; do sleep 0.05; done; exit 0' TERM; \
         touch begun; while :; do sleep 0.05; done\", ready: {file: begun}, stop: {timeout: 1m}}}",
    );
    let mut manager = Manager::listen(&mut scene);
    let child = foreground(&scene, &[]);
    manager.hear("READY=1");
    manager.drain();
    manager.heard.clear();
    kill(i32::try_from(child.id()).unwrap(), 15);
    wait_until("the service was asked to stop", || {
        scene.path("asked").exists()
    });
    manager.hear("STOPPING=1");
    manager.hear("EXTEND_TIMEOUT_USEC=");
    assert!(is_alive(i32::try_from(child.id()).unwrap()));
    std::fs::write(scene.path("may-end"), "").unwrap();
    finish(child).success();
    scene.close();
}

#[test]
fn a_down_that_may_be_overtaken_does_not_tell_the_manager_that_the_unit_ends() {
    let mut scene = Scene::new(
        "services: {slow: {command: \"trap 'touch asked; until [ -e may-end ]; do sleep 0.05; done; exit 0' TERM; \
         touch begun; while :; do sleep 0.05; done\", ready: {file: begun}, stop: {timeout: 1m}}}",
    );
    let mut manager = Manager::listen(&mut scene);
    let child = foreground(&scene, &[]);
    manager.hear("READY=1");
    let down = scene.command(["down"]).spawn().unwrap();
    wait_until("the service was asked to stop", || {
        scene.path("asked").exists()
    });
    manager.drain();
    assert!(!manager.has_heard("STOPPING=1"), "{:#?}", manager.heard);
    std::fs::write(scene.path("may-end"), "").unwrap();
    finish(down).success();
    finish(child).success();
    manager.hear("STOPPING=1");
    scene.close();
}

#[test]
fn a_manager_that_watches_the_supervisor_hears_that_it_lives() {
    let mut scene = Scene::new("services: {a: {command: [sleep, '1000']}}");
    let mut manager = Manager::listen(&mut scene);
    scene.set("WATCHDOG_USEC", "200000");
    let child = foreground(&scene, &[]);
    manager.hear("WATCHDOG=1");
    manager.heard.clear();
    manager.hear("WATCHDOG=1");
    terminate(child).success();
    scene.close();
}

#[test]
fn a_manager_that_reads_nothing_does_not_make_the_supervisor_wait() {
    let mut scene = Scene::new(
        "services: {a: {command: \"exit 1\", ready: {file: never}, restart: {delay: 1ms, max_delay: 1ms, max_failures: 40}}}",
    );
    let _manager = Manager::listen(&mut scene);
    let child = foreground(&scene, &[]);
    // Each of its failures is news: far more messages than a socket holds.
    wait_until("it gave up", || scene.service("a")["state"] == "failed");
    terminate(child).success();
    scene.close();
}

#[test]
fn when_the_unit_has_started_is_a_question_only_in_the_foreground() {
    let scene = Scene::new("services: {a: {command: [sleep, '1000']}}");
    scene.run(["up", "--ready", "all"]).code(2);
    scene.close();
}

/// The unit that the documentation of the host tells to install.
fn documented_unit() -> String {
    let text = include_str!("../../docs/migrating.md");
    let begun = text.split("```ini\n").nth(1).unwrap();
    begun.split("```").next().unwrap().to_owned()
}

#[test]
fn the_documented_unit_is_one_that_systemd_takes() {
    let unit = documented_unit();
    for line in [
        "Type=notify",
        "Restart=on-failure",
        "RestartPreventExitStatus=2 5 78",
        "KillMode=mixed",
    ] {
        assert!(unit.lines().any(|one| one == line), "{line}: {unit}");
    }
    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("skipped: there is no systemd-analyze here");
        return;
    }
    let scene = Scene::bare();
    let words = "/opt/baudbot/bin/baudbot";
    assert!(
        unit.contains(&format!("ExecStart={words} up --foreground -f ")),
        "{unit}"
    );
    // The program and the user of the documented host are not those of this one.
    let here = unit
        .replace(words, scene.executable().to_str().unwrap())
        .replace("User=baudbot_agent", "User=daemon");
    let file = scene.path("baudbot-test.service");
    std::fs::write(&file, here).unwrap();
    let verified = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    // What it says of other units of this host is not about this one.
    let said: Vec<&str> = said
        .lines()
        .filter(|one| one.contains("baudbot-test"))
        .collect();
    assert!(said.is_empty(), "{said:#?}");
    scene.close();
}
