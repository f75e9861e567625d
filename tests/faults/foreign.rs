//! A command sends nothing to a socket that another user could have put in the supervisor's place.
//!
//! Only root can play the other user, so an ordinary user's run of these tests leaves them out.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::scene::{PROJECT, Scene, wait_for_file};

const MANIFEST: &str =
    "services: {a: {command: [sleep, '1000'], env: {TOKEN: a-secret-of-the-user}}}";

/// An ordinary user that has no files on the machine.
const OTHER: u32 = 65534;

/// Every command that talks to a supervisor, be it to look or to change something.
const COMMANDS: [&[&str]; 7] = [
    &["up"],
    &["down"],
    &["status"],
    &["stop", "a"],
    &["restart"],
    &["why", "a"],
    &["plan"],
];

/// Listens on `socket` as another user and writes what it is sent into the file `heard`.
const LISTENER: &str = r#"
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o666)
listener.listen()
open(sys.argv[2], "w").write("listening\n")
while True:
    connection, _ = listener.accept()
    data = connection.recv(65536)
    with open(sys.argv[2], "a") as heard:
        heard.write(repr(data) + "\n")
    try:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
    except OSError:
        pass
    connection.close()
"#;

struct Impostor {
    listener: Child,
    heard: PathBuf,
}

impl Impostor {
    fn listen(scene: &Scene, socket: &Path) -> Self {
        let directory = scene.root().join("impostor");
        fs::create_dir(&directory).unwrap();
        chown(&directory, Some(OTHER), None).unwrap();
        let heard = directory.join("heard");
        let listener = Command::new("python3")
            .args(["-c", LISTENER])
            .args([socket, &heard])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .uid(OTHER)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        wait_for_file(&heard);
        Self { listener, heard }
    }

    /// Fails the test if anything but end of file was sent.
    fn expect_nothing_heard(mut self) {
        self.listener.kill().unwrap();
        self.listener.wait().unwrap();
        let heard = fs::read_to_string(&self.heard).unwrap();
        let said: Vec<&str> = heard
            .lines()
            .skip(1)
            .filter(|line| *line != "b''")
            .collect();
        assert_eq!(said, [""; 0], "a foreign listener was spoken to");
    }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A runtime directory in which the project's own directory has these owner and rights.
fn runtime(scene: &Scene, owner: u32, mode: u32) -> PathBuf {
    let base = scene.root().join("shared");
    let project = base.join("baudbot").join(PROJECT);
    fs::create_dir_all(&project).unwrap();
    for directory in [&base, &base.join("baudbot"), &project] {
        chown(directory, Some(owner), None).unwrap();
        fs::set_permissions(directory, Permissions::from_mode(mode)).unwrap();
    }
    project
}

fn expect_refused(scene: &Scene, code: &str) {
    for command in COMMANDS {
        let outcome = scene.run(command);
        let told = outcome.stderr.contains(code);
        assert!(told, "{command:?}: {outcome:#?}");
        assert_ne!(outcome.code, Some(0), "{command:?}");
    }
}

#[test]
fn a_directory_of_another_user_on_the_way_is_refused() {
    if !is_root() {
        return;
    }
    let mut scene = Scene::new(MANIFEST);
    fs::set_permissions(scene.root(), Permissions::from_mode(0o711)).unwrap();
    let project = runtime(&scene, OTHER, 0o755);
    scene.set(
        "XDG_RUNTIME_DIR",
        scene.root().join("shared").to_str().unwrap(),
    );
    let impostor = Impostor::listen(&scene, &project.join("control.sock"));
    expect_refused(&scene, "store::foreign_directory");
    impostor.expect_nothing_heard();
    scene.close();
}

#[test]
fn a_directory_that_others_may_write_to_is_refused() {
    if !is_root() {
        return;
    }
    let mut scene = Scene::new(MANIFEST);
    fs::set_permissions(scene.root(), Permissions::from_mode(0o711)).unwrap();
    let project = runtime(&scene, 0, 0o777);
    scene.set(
        "XDG_RUNTIME_DIR",
        scene.root().join("shared").to_str().unwrap(),
    );
    let impostor = Impostor::listen(&scene, &project.join("control.sock"));
    expect_refused(&scene, "store::foreign_directory");
    impostor.expect_nothing_heard();
    scene.close();
}

/// The path is beyond doubt, and yet the listener is another user's.
#[test]
fn a_listener_of_another_user_hears_nothing() {
    if !is_root() {
        return;
    }
    let mut scene = Scene::new(MANIFEST);
    fs::set_permissions(scene.root(), Permissions::from_mode(0o711)).unwrap();
    let project = runtime(&scene, OTHER, 0o755);
    scene.set(
        "XDG_RUNTIME_DIR",
        scene.root().join("shared").to_str().unwrap(),
    );
    let socket = project.join("control.sock");
    let impostor = Impostor::listen(&scene, &socket);
    let base = scene.root().join("shared");
    for path in [&base, &base.join("baudbot"), &project, &socket] {
        chown(path, Some(0), None).unwrap();
    }
    expect_refused(&scene, "store::foreign_directory");
    impostor.expect_nothing_heard();
    scene.close();
}

#[test]
fn what_lies_in_the_place_of_the_socket_is_named() {
    let mut scene = Scene::new(MANIFEST);
    let owner = nix::unistd::geteuid().as_raw();
    let project = runtime(&scene, owner, 0o700);
    scene.set(
        "XDG_RUNTIME_DIR",
        scene.root().join("shared").to_str().unwrap(),
    );
    let socket = project.join("control.sock");
    fs::write(&socket, "no socket").unwrap();
    expect_refused(&scene, "store::not_a_socket");
    fs::remove_file(&socket).unwrap();
    nix::unistd::mkfifo(&socket, nix::sys::stat::Mode::S_IRUSR).unwrap();
    expect_refused(&scene, "store::not_a_socket");
    // What the help says is all that is needed.
    fs::remove_file(&socket).unwrap();
    scene.run(["up"]).success();
    scene.end();
}
