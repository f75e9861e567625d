//! The full-screen interface in a real terminal: a pane of a tmux server of the test's own, with its
//! keys typed and its screen read.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "cli_scene/mod.rs"]
mod scene;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use scene::Scene;

const SHOP: &str = r#"
version: 1
project: shop
services:
  db:
    command: [sh, -c, 'echo listening; exec sleep 1000']
    ready: { log: listening }
  web:
    command: [sh, -c, 'for n in 1 2 3; do echo "request $n"; done; exec sleep 1000']
    depends_on: [db]
  agent: { type: tmux, command: [sh, -c, 'echo on-the-screen; exec sleep 1000'] }
"#;

/// A terminal in which this script runs.
struct Terminal<'a> {
    scene: &'a Scene,
    socket: PathBuf,
}

impl<'a> Terminal<'a> {
    fn start(scene: &'a Scene, size: (u16, u16), script: &str) -> Self {
        let socket = scene.work().join("t");
        let terminal = Self { scene, socket };
        let (width, height) = (size.0.to_string(), size.1.to_string());
        terminal.tmux(&[
            "new-session",
            "-d",
            "-s",
            "t",
            "-x",
            &width,
            "-y",
            &height,
            script,
        ]);
        terminal
    }

    fn tmux(&self, words: &[&str]) -> String {
        let output = self
            .scene
            .program("tmux")
            .env("BB", env!("CARGO_BIN_EXE_baudbot"))
            .args(["-f", "/dev/null", "-S"])
            .arg(&self.socket)
            .args(words)
            .output()
            .unwrap();
        assert!(output.status.success(), "tmux {words:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys", "-t", "t"], keys].concat());
    }

    fn text(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-t", "t"])
    }

    /// Waits until the screen is as it should be.
    #[track_caller]
    fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let text = self.text();
            if is_so(&text) {
                return text;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "no {what}:\n{text}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[track_caller]
    fn shows(&self, text: &str) -> String {
        self.until(text, |screen| screen.contains(text))
    }

    /// What a program that was on the whole screen must have put back.
    fn modes(&self) -> String {
        self.tmux(&[
            "display-message",
            "-p",
            "-t",
            "t",
            "alternate=#{alternate_on} cursor=#{cursor_flag}",
        ])
        .trim()
        .to_owned()
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        let pids = self.tmux(&["display-message", "-p", "-t", "t", "#{pid} #{pane_pid}"]);
        self.tmux(&["kill-server"]);
        let is_there = |pid: &str| Path::new("/proc").join(pid).exists();
        let begun = Instant::now();
        while pids.split_whitespace().any(is_there) && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Runs the interface; says how it ended and whether the terminal is as it was.
const AND_TELL: &str = "stty -g >before; sh -c 'echo $$ >pid; exec \"$BB\" ui'; \
    echo \"exit $?\"; stty -g >after; cmp before after && echo 'all is as before'; exec sleep 1000";

fn pid_in(scene: &Scene) -> Pid {
    Pid::from_raw(scene.read("pid").trim().parse().unwrap())
}

#[test]
fn services_are_seen_and_steered() {
    let scene = Scene::new(SHOP);
    let terminal = Terminal::start(&scene, (80, 24), AND_TELL);
    terminal.shows("nothing runs: u brings everything up");
    terminal.keys(&["u"]);
    terminal.shows("3 of 3 up");
    terminal.shows("up: 3 services up");
    terminal.keys(&["Down"]);
    terminal.shows("request 3");
    // Every line of what it printed, and one more with each run.
    terminal.keys(&["r"]);
    terminal.until("a second run", |screen| {
        screen.matches("request 3").count() == 2 && screen.contains("3 of 3 up")
    });
    terminal.keys(&["Tab", "/"]);
    terminal.shows("log: /");
    terminal.keys(&["-l", "request 2"]);
    terminal.keys(&["Enter"]);
    terminal.shows("`request 2`: 2 matches");
    terminal.keys(&["Tab", "x"]);
    terminal.shows("2 of 3 up, 1 inactive");
    terminal.shows("web inactive");
    // A resize is followed.
    terminal.tmux(&["resize-window", "-t", "t", "-x", "120", "-y", "30"]);
    terminal.until("a wider screen", |screen| {
        screen
            .lines()
            .next()
            .is_some_and(|line| line.chars().count() > 100)
    });
    terminal.keys(&["q"]);
    terminal.shows("exit 0");
    terminal.shows("all is as before");
    assert_eq!(terminal.modes(), "alternate=0 cursor=1");
}

#[test]
fn signals_leave_the_terminal_clean() {
    let scene = Scene::new(SHOP);
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT] {
        let terminal = Terminal::start(&scene, (80, 24), AND_TELL);
        terminal.shows("nothing runs");
        kill(pid_in(&scene), signal).unwrap();
        terminal.shows("exit 130");
        terminal.shows("all is as before");
        assert_eq!(terminal.modes(), "alternate=0 cursor=1");
    }
}

#[test]
fn it_is_suspended_and_comes_back() {
    let scene = Scene::new(SHOP);
    let terminal = Terminal::start(&scene, (80, 24), "exec bash --norc --noprofile -i");
    terminal.shows("bash-");
    terminal.keys(&["\"$BB\" ui", "Enter"]);
    terminal.shows("nothing runs");
    terminal.keys(&["C-z"]);
    terminal.shows("Stopped");
    assert_eq!(terminal.modes(), "alternate=0 cursor=1");
    terminal.keys(&["fg", "Enter"]);
    terminal.shows("nothing runs");
    // It hears keys again.
    terminal.keys(&["?"]);
    terminal.shows("In the list of services");
    terminal.keys(&["q", "q"]);
    // What is typed before the prompt is there would still be the interface's.
    terminal.until("the prompt", |screen| {
        screen.trim_end().ends_with('#') || screen.trim_end().ends_with('$')
    });
    terminal.keys(&["echo left-$?", "Enter"]);
    terminal.shows("left-0");
}

#[test]
fn a_session_has_the_terminal_for_a_while() {
    let scene = Scene::new(SHOP);
    scene.run(&["up"]).exits(0);
    let terminal = Terminal::start(&scene, (80, 24), AND_TELL);
    terminal.shows("3 of 3 up");
    terminal.keys(&["End"]);
    terminal.shows("agent ready");
    terminal.keys(&["a"]);
    terminal.until("the session", |screen| {
        screen.contains("on-the-screen") && !screen.contains("3 of 3 up")
    });
    terminal.keys(&["C-b", "d"]);
    terminal.shows("3 of 3 up");
    terminal.keys(&["q"]);
    terminal.shows("all is as before");
    assert!(!terminal.text().contains("3 of 3 up"));
}

#[test]
fn what_is_no_session_is_attached_to_by_its_output() {
    let scene = Scene::new(SHOP);
    scene.run(&["up"]).exits(0);
    let terminal = Terminal::start(&scene, (80, 24), "\"$BB\" attach web; exec sleep 1000");
    let shown = terminal.shows("request 3");
    assert!(shown.contains("`web` is no tmux session"), "{shown}");
    // It goes on with what comes.
    scene.run(&["restart", "web"]).exits(0);
    terminal.until("the second run", |screen| {
        screen.matches("request 3").count() == 2
    });
}

#[test]
fn a_supervisor_that_dies_is_told_of_and_its_successor_found() {
    let scene = Scene::new(SHOP);
    scene.run(&["up"]).exits(0);
    let terminal = Terminal::start(&scene, (80, 24), AND_TELL);
    terminal.shows("3 of 3 up");
    let status = scene.run(&["status", "--json"]).json();
    let pid = |name: &str| {
        let pid = status["supervisor"][name].as_i64().unwrap();
        Pid::from_raw(i32::try_from(pid).unwrap())
    };
    // Without its guardian nobody brings it back.
    kill(pid("guardian_pid"), Signal::SIGKILL).unwrap();
    kill(pid("pid"), Signal::SIGKILL).unwrap();
    terminal.shows("the supervisor is gone; looking for it");
    terminal.keys(&["u"]);
    terminal.until("the next supervisor", |screen| {
        screen.contains("3 of 3 up") && screen.contains(" supervisor ")
    });
    terminal.keys(&["q"]);
    terminal.shows("exit 0");
}

#[test]
fn without_a_terminal_it_says_what_to_do_instead() {
    let scene = Scene::new(SHOP);
    scene
        .run(&["ui"])
        .exits(1)
        .notes("needs a terminal")
        .notes("baudbot logs -f");
}
