//! What a service says of itself by `sd_notify(3)` is shown to the user, and not only in JSON.

use super::scene::{Scene, wait_until};

const TELLER: &str = r#"
import os, socket, time
out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
name = os.environ["NOTIFY_SOCKET"]
out.connect("\0" + name[1:] if name.startswith("@") else name)
out.send(b"READY=1\nSTATUS=serving 7 guests")
while not os.path.exists("may-stop"):
    time.sleep(0.05)
out.send(b"STOPPING=1")
time.sleep(1000)
"#;

#[test]
fn the_status_that_a_service_tells_stands_in_status_and_why() {
    let scene = Scene::new("services: {a: {command: [python3, teller.py], ready: {notify: true}}}");
    std::fs::write(scene.path("teller.py"), TELLER).unwrap();
    scene.run(["up"]).success();
    wait_until("it has told", || {
        scene.service("a")["says"] == "serving 7 guests"
    });
    let told = scene.run(["status"]).success().stdout;
    assert!(told.contains("it says: serving 7 guests"), "{told}");
    let told = scene.run(["why", "a"]).success().stdout;
    assert!(told.contains("serving 7 guests"), "{told}");
    std::fs::write(scene.path("may-stop"), "").unwrap();
    wait_until("it has told", || {
        scene.service("a")["says"] == "stops by itself"
    });
    let told = scene.run(["status"]).success().stdout;
    assert!(told.contains("it says: stops by itself"), "{told}");
    scene.end();
}
