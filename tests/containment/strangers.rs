//! Who must never be touched: processes that a ledger names and that are not ours.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use baudbot::id::{ProjectName, RunId, ServiceName};
use baudbot::record::{Ledger, RecordedProcess, StartedRun};
use baudbot::sys::identity::Identity;

use crate::scene::{PROJECT, Scene, is_alive, wait_until};

/// A process that has nothing to do with the project. It leads a session, and tells of each signal.
struct Stranger {
    child: Child,
    directory: PathBuf,
}

impl Stranger {
    fn new(scene: &Scene, name: &str, user: Option<u32>) -> Self {
        let directory = scene.path(name);
        fs::create_dir(&directory).unwrap();
        let mut command = scene.program("setsid");
        if let Some(user) = user {
            std::os::unix::fs::chown(&directory, Some(user), Some(user)).unwrap();
            for outer in [scene.root(), &scene.work()] {
                let open = std::os::unix::fs::PermissionsExt::from_mode(0o711);
                fs::set_permissions(outer, open).unwrap();
            }
            command.uid(user).gid(user);
        }
        let script = "trap 'echo hit >> hit' TERM INT HUP CONT USR1; echo up > up; \
                      while :; do sleep 0.02; done";
        command.args(["sh", "-c", script]).current_dir(&directory);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        wait_until("a stranger", || directory.join("up").exists());
        Self { child, directory }
    }

    fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    fn recorded(&self) -> RecordedProcess {
        let identity = Identity::of(self.pid()).unwrap().unwrap();
        RecordedProcess {
            pid: identity.pid,
            start_time: identity.start_time,
            boot_id: identity.boot_id,
        }
    }

    #[track_caller]
    fn expect_untouched(&self) {
        assert!(is_alive(self.pid()));
        assert!(!self.directory.join("hit").exists());
    }

    fn end(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn run(number: u64, leader: &RecordedProcess, is_marked: bool) -> StartedRun {
    let name = format!("s{number}");
    // What a later version adds has a default.
    serde_json::from_value(serde_json::json!({
        "service": ServiceName::new(name.as_str()).unwrap(),
        "run": RunId(number),
        "leader": leader,
        "is_marked": is_marked,
        "stop_signal": 15,
        "stop_timeout_ms": 200,
    }))
    .unwrap()
}

/// The ledger tells of runs whose leaders are strangers.
#[test]
fn nobody_whom_a_forged_ledger_names_is_touched() {
    let scene = Scene::new("services: {a: {command: [sleep, '1000']}}");
    // So that there are directories to forge in.
    scene.run(["up"]).success();
    scene.run(["down"]).success();
    let is_root = nix::unistd::geteuid().is_root();
    let live = Stranger::new(&scene, "live", None);
    let reused = Stranger::new(&scene, "reused", None);
    let earlier = Stranger::new(&scene, "earlier", None);
    let server = Stranger::new(&scene, "server", None);
    let other = is_root.then(|| Stranger::new(&scene, "other", Some(65534)));

    let mut leaders = vec![
        // A live process that carries no mark, or not ours.
        (live.recorded(), true),
        // A number that is another's by now.
        (
            RecordedProcess {
                start_time: reused.recorded().start_time - 1,
                ..reused.recorded()
            },
            false,
        ),
        // The same numbers in another life of this machine.
        (
            RecordedProcess {
                boot_id: "00000000-0000-0000-0000-000000000000".into(),
                ..earlier.recorded()
            },
            false,
        ),
    ];
    leaders.extend(other.as_ref().map(|other| (other.recorded(), true)));
    let mut forged = Ledger {
        tmux_server: Some(server.recorded()),
        ..Ledger::default()
    };
    for (number, (leader, is_marked)) in (100..).zip(leaders) {
        let run = run(number, &leader, is_marked);
        forged.open.insert(run.run, run);
    }
    let forged = forged.write(&ProjectName::new(PROJECT).unwrap());
    let ledger = scene.state_dir().join("ledger.jsonl");
    assert!(ledger.exists());
    let strangers: Vec<Stranger> = [live, reused, earlier, server]
        .into_iter()
        .chain(other)
        .collect();
    for orders in [
        &["down"][..],
        &["up", "down"],
        &["up", "restart a", "down --now"],
    ] {
        fs::write(&ledger, &forged).unwrap();
        for order in orders {
            scene.run(order.split(' ')).success();
        }
        strangers.iter().for_each(Stranger::expect_untouched);
    }
    strangers.into_iter().for_each(Stranger::end);
    scene.end();
}
