//! A supervisor that was paused does not lay its own silence at the door of a service.

use std::time::Duration;

use nix::libc::{SIGCONT, SIGSTOP};

use crate::scene::{Scene, kill, wait_until};

const TELLS_THAT_IT_LIVES: &str = r#"
import os, socket, time
out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
out.connect("\0" + os.environ["NOTIFY_SOCKET"][1:])
out.setblocking(False)
while True:
    try:
        out.send(b"WATCHDOG=1")
    except BlockingIOError:
        pass
    time.sleep(0.05)
"#;

/// Longer than every limit of the manifest.
const PAUSE: Duration = Duration::from_millis(3600);

#[test]
fn what_happened_while_the_supervisor_was_paused_is_heard_before_a_limit_is_judged() {
    let scene = Scene::new(
        r#"
services:
  tells:
    command: [python3, tells.py]
    health: {watchdog: 3s}
  answers:
    command: sleep 1000
    health:
      exec: [sh, -c, "touch asked; while [ -e hold ]; do sleep 0.02; done"]
      interval: 50ms
      timeout: 3s
      failures: 1
  starts:
    command: "until [ -e go ]; do sleep 0.02; done; touch started; sleep 1000"
    ready: {file: started, timeout: 3s}
"#,
    );
    std::fs::write(scene.path("tells.py"), TELLS_THAT_IT_LIVES).unwrap();
    std::fs::write(scene.path("hold"), "").unwrap();
    scene.run(["up", "--no-wait"]).success();
    wait_until("it lives and tells so", || {
        scene.service("tells")["state"] == "ready"
    });
    wait_until("a check has begun", || scene.path("asked").exists());
    let names = ["tells", "answers", "starts"];
    let pids = || names.map(|name| scene.pid(name));
    let before = pids();

    let supervisor = scene.supervisor();
    kill(supervisor, SIGSTOP);
    std::fs::remove_file(scene.path("hold")).unwrap();
    std::fs::remove_file(scene.path("asked")).unwrap();
    std::fs::write(scene.path("go"), "").unwrap();
    wait_until("it has started", || scene.path("started").exists());
    std::thread::sleep(PAUSE);
    kill(supervisor, SIGCONT);

    wait_until("it counts as started", || {
        scene.service("starts")["state"] == "ready"
    });
    wait_until("the next check has begun", || scene.path("asked").exists());
    assert_eq!(pids(), before);
    for name in names {
        let service = scene.service(name);
        assert_eq!(service["restarts"], 0, "{service:#}");
        scene.expect_state(name, "ready");
    }
    scene.end();
}
