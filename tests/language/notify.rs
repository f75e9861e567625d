//! `ready.notify` and `health.watchdog`.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::scene::{Scene, append, wait_for_file, wait_until};

/// A service that says what each line of the file `say` holds, as they come.
const TELLS: &str = r#"
import os, socket, time
def tell(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.connect("\0" + os.environ["NOTIFY_SOCKET"][1:])
        out.send(text.encode())
open("socket", "w").write(os.environ["NOTIFY_SOCKET"] + "\n")
open("usec", "w").write(os.environ.get("WATCHDOG_USEC", "") + "\n")
said = 0
while True:
    lines = open("say").read().split("\n")[:-1] if os.path.exists("say") else []
    for line in lines[said:]:
        if line == "fork":
            if os.fork() == 0:
                os.setsid()
                tell("MAINPID=%d\nREADY=1" % os.getpid())
                while not os.path.exists("end"):
                    time.sleep(0.01)
                os._exit(7)
        elif line == "leave":
            os._exit(0)
        elif line.startswith("child "):
            if os.fork() == 0:
                os.setsid()
                tell(line[6:])
                time.sleep(1000)
        else:
            tell(line)
    said = len(lines)
    time.sleep(0.01)
"#;

fn scene(more: &str) -> Scene {
    let scene = Scene::new(&format!(
        r#"
services:
  web:
    command: [python3, tells.py]
    restart: never
    {more}
"#
    ));
    std::fs::write(scene.path("tells.py"), TELLS).expect("a file");
    scene
}

fn say(scene: &Scene, line: &str) {
    append(&scene.path("say"), &format!("{line}\n"));
}

fn state(scene: &Scene) -> String {
    scene.service("web")["state"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn a_service_says_itself_that_it_is_ready_and_how_it_is() {
    let scene = scene("ready: {notify: true, timeout: never}");
    scene.run(["up", "--no-wait"]).success();
    say(&scene, "STATUS=loading 3 of 7");
    wait_until("it is shown", || {
        let web = scene.service("web");
        web["reason"] == "loading 3 of 7" && web["says"] == "loading 3 of 7"
    });
    assert_eq!(state(&scene), "starting");
    say(&scene, "READY=1");
    wait_until("it is ready", || state(&scene) == "ready");
    say(&scene, "STATUS=7 of 7");
    wait_until("it is shown", || scene.service("web")["says"] == "7 of 7");
    scene.end();
}

#[test]
fn a_child_that_left_is_heard_and_a_stranger_is_not() {
    let scene = scene("ready: {notify: true, timeout: never}");
    scene.run(["up", "--no-wait"]).success();
    let name = wait_for_file(&scene.path("socket"));
    let address = SocketAddr::from_abstract_name(name.trim().trim_start_matches('@')).unwrap();
    let stranger = UnixDatagram::unbound().unwrap();
    stranger
        .send_to_addr(b"STATUS=stranger\nREADY=1", &address)
        .unwrap();
    // Messages are read in their order: when this one is shown, the other has been judged.
    say(&scene, "STATUS=after the stranger");
    wait_until("it is shown", || {
        scene.service("web")["says"] == "after the stranger"
    });
    assert_eq!(state(&scene), "starting");
    say(&scene, "child READY=1");
    wait_until("it is ready", || state(&scene) == "ready");
    scene.end();
}

#[test]
fn who_gives_no_sign_of_life_is_restarted_or_reported() {
    let scene = scene("health: {watchdog: 2s, action: report}");
    scene.run(["up"]).success();
    assert_eq!(wait_for_file(&scene.path("usec")).trim(), "2000000");
    wait_until("it is unhealthy", || state(&scene) == "unhealthy");
    let reason = scene.service("web")["reason"].to_string();
    assert!(
        reason.contains("no sign of life (WATCHDOG=1) for 2s"),
        "{reason}"
    );
    say(&scene, "WATCHDOG=1");
    wait_until("it is ready", || state(&scene) == "ready");
    say(&scene, "WATCHDOG=trigger");
    wait_until("it is unhealthy", || state(&scene) == "unhealthy");
    scene.end();
}

/// A daemon that puts itself into the background: what was started may end, what it named may not.
#[test]
fn the_main_process_is_the_one_that_is_named() {
    let scene = scene("ready: {notify: true, timeout: never}");
    scene.run(["up", "--no-wait"]).success();
    let started = wait_for_pid(&scene, None);
    say(&scene, "MAINPID=1");
    say(&scene, "fork");
    let named = wait_for_pid(&scene, Some(started));
    say(&scene, "leave");
    wait_until("what was started has ended", || {
        !crate::scene::is_alive(started)
    });
    assert_eq!(state(&scene), "ready");
    // The next supervisor follows it too.
    scene.kill_supervisor();
    scene.run(["up"]).success();
    assert_eq!((scene.pid("web"), state(&scene)), (named, "ready".into()));
    append(&scene.path("end"), "");
    wait_until("it failed", || state(&scene) == "failed");
    let reason = scene.service("web")["reason"].to_string();
    assert!(reason.contains("exited with 7"), "{reason}");
    scene.end();
}

fn wait_for_pid(scene: &Scene, other_than: Option<i32>) -> i32 {
    let pid = || {
        let pid = scene.service("web")["pid"].as_i64()?;
        i32::try_from(pid)
            .ok()
            .filter(|pid| Some(*pid) != other_than)
    };
    wait_until("its main process is known", || pid().is_some());
    pid().expect("a pid")
}

#[test]
fn who_asks_for_more_time_gets_it() {
    let scene = scene("ready: {notify: true, timeout: 5s}");
    scene.run(["up", "--no-wait"]).success();
    let deadline = || scene.service("web")["deadline"].to_string();
    wait_until("it has started", || deadline() != "null");
    let before = deadline();
    say(&scene, "EXTEND_TIMEOUT_USEC=60000000");
    wait_until("it is later", || {
        deadline() > before && deadline() != "null"
    });
    say(&scene, "READY=1");
    wait_until("it is ready", || state(&scene) == "ready");
    scene.end();
}
