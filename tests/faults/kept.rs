//! A running service is not given up for a new run that could not start.

use std::net::TcpListener;

use crate::scene::{Scene, append, wait_until};

const STEADY: &str = "[sleep, '1000']";

/// A program of this name in the scene's directory `bin`.
fn add_program(scene: &Scene, name: &str) {
    let bin = scene.path("bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::os::unix::fs::symlink("/bin/sleep", bin.join(name)).unwrap();
}

fn set_path(scene: &mut Scene) {
    let path = format!(
        "{}:{}",
        scene.path("bin").display(),
        std::env::var("PATH").unwrap()
    );
    scene.set("PATH", &path);
}

#[test]
fn up_without_the_path_of_the_first_up_keeps_what_runs() {
    let manifest = |value: &str| {
        format!("services: {{a: {{command: [mytool, '1000'], env: {{X: '{value}'}}}}}}")
    };
    let mut scene = Scene::new(&manifest("1"));
    add_program(&scene, "mytool");
    let plain = std::env::var("PATH").unwrap();
    set_path(&mut scene);
    scene.run(["up"]).success();
    let pid = scene.pid("a");
    scene.edit(&manifest("2"));
    scene.set("PATH", &plain);
    let kept = scene.run(["up"]).code(5);
    assert!(kept.stderr.contains("run::service_kept"), "{}", kept.stderr);
    assert!(
        kept.stderr.contains("`mytool` is not in any"),
        "{}",
        kept.stderr
    );
    assert_eq!(scene.pid("a"), pid);
    let plan = scene.run(["plan", "--json"]).json();
    assert_eq!(plan["waves"][0][0]["action"], "keep");
    assert!(
        plan["waves"][0][0]["lacks"][0]
            .as_str()
            .unwrap()
            .contains("`mytool`")
    );
    scene.run(["up", "--no-wait"]).code(5);
    // The command that the help names, once it is mended.
    set_path(&mut scene);
    assert!(kept.stderr.contains("`baudbot up a`"), "{}", kept.stderr);
    scene.run(["up", "a"]).success();
    assert_ne!(scene.pid("a"), pid);
    scene.end();
}

#[test]
fn restart_keeps_a_service_whose_program_directory_or_hook_is_gone() {
    let mut scene = Scene::new(&format!(
        r"
services:
  program: {{command: [mytool, '1000']}}
  directory: {{command: {STEADY}, working_dir: there}}
  hook: {{command: {STEADY}, hooks: {{before_start: [./hook]}}}}
  stop: {{command: {STEADY}, stop: {{command: [./stop]}}}}
  probe: {{command: {STEADY}, ready: {{exec: [./probe]}}}}
  needs: {{command: {STEADY}, depends_on: {{program: {{restart: true}}}}}}
"
    ));
    add_program(&scene, "mytool");
    set_path(&mut scene);
    std::fs::create_dir(scene.path("there")).unwrap();
    for name in ["hook", "stop", "probe"] {
        std::os::unix::fs::symlink("/bin/true", scene.path(name)).unwrap();
    }
    scene.run(["up"]).success();
    let names = ["program", "directory", "hook", "stop", "probe", "needs"];
    let pids = names.map(|name| scene.pid(name));
    let lost = ["bin/mytool", "there", "hook", "stop", "probe"];
    for name in lost {
        std::fs::rename(scene.path(name), scene.path(&format!("{name}.away"))).unwrap();
    }
    let kept = scene.run(["restart"]).code(5);
    let said = [
        "`mytool`",
        "/there does not exist",
        "`./hook`",
        "`./stop`",
        "`./probe`",
    ];
    for said in said {
        assert!(kept.stderr.contains(said), "{said}: {}", kept.stderr);
    }
    // `needs` can start and was asked for; what follows nothing new does not restart by itself.
    assert_eq!(
        names[..5]
            .iter()
            .map(|name| scene.pid(name))
            .collect::<Vec<_>>(),
        pids[..5]
    );
    let needs = scene.pid("needs");
    scene.run(["restart", "program"]).code(5);
    assert_eq!(scene.pid("needs"), needs);
    for name in lost {
        std::fs::rename(scene.path(&format!("{name}.away")), scene.path(name)).unwrap();
    }
    scene.run(["restart"]).success();
    for (name, pid) in names.iter().zip(pids) {
        assert_ne!(scene.pid(name), pid, "{name}");
    }
    scene.end();
}

#[test]
fn what_follows_a_restart_is_kept_until_it_can_start() {
    let mut scene = Scene::new(&format!(
        r"
services:
  db: {{command: {STEADY}}}
  app: {{command: [mytool, '1000'], depends_on: {{db: {{restart: true}}}}}}
"
    ));
    add_program(&scene, "mytool");
    set_path(&mut scene);
    scene.run(["up"]).success();
    let (db, app) = (scene.pid("db"), scene.pid("app"));
    std::fs::remove_file(scene.path("bin/mytool")).unwrap();
    let kept = scene.run(["restart", "db"]).code(5);
    assert!(kept.stderr.contains("`app`"), "{}", kept.stderr);
    assert_ne!(scene.pid("db"), db);
    assert_eq!(scene.pid("app"), app);
    let status = scene.service("app");
    assert_eq!(status["state"], "ready");
    assert!(
        status["reason"]
            .as_str()
            .unwrap()
            .contains("`db` was restarted"),
        "{status}"
    );
    assert!(
        status["lacks"][0].as_str().unwrap().contains("`mytool`"),
        "{status}"
    );
    let why = scene.run(["why", "app"]).stdout;
    assert!(why.contains("`mytool`"), "{why}");
    add_program(&scene, "mytool");
    scene.run(["up"]).success();
    wait_until("app follows", || scene.service("app")["pid"] != app);
    scene.end();
}

#[test]
fn a_port_that_a_stranger_holds_is_found_before_the_stop() {
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = stranger.local_addr().unwrap().port();
    let scene = Scene::new(&format!("services: {{a: {{command: {STEADY}}}}}"));
    scene.run(["up"]).success();
    let pid = scene.pid("a");
    let declared = format!(
        "services: {{a: {{command: {STEADY}, env: {{PORT: '{port}'}}, ports: ['127.0.0.1:{port}']}}}}"
    );
    scene.edit(&declared);
    let kept = scene.run(["up"]).code(5);
    assert!(
        kept.stderr
            .contains(&format!("port 127.0.0.1:{port} is held")),
        "{}",
        kept.stderr
    );
    assert_eq!(scene.pid("a"), pid);
    drop(stranger);
    scene.run(["up"]).success();
    assert_ne!(scene.pid("a"), pid);
    scene.end();
}

#[test]
fn an_unhealthy_service_is_kept_while_a_new_run_could_not_start() {
    let mut scene = Scene::new(
        "services: {a: {command: [mytool, '1000'], health: {exec: 'test -e well', interval: 50ms, \
         failures: 1}, restart: {delay: 10ms}}}",
    );
    add_program(&scene, "mytool");
    set_path(&mut scene);
    append(&scene.path("well"), "");
    scene.run(["up"]).success();
    let pid = scene.pid("a");
    std::fs::rename(scene.path("bin"), scene.path("gone")).unwrap();
    std::fs::remove_file(scene.path("well")).unwrap();
    wait_until("it is unhealthy and kept", || {
        let status = scene.service("a");
        status["state"] == "unhealthy" && !status["lacks"].is_null()
    });
    assert_eq!(scene.pid("a"), pid);
    std::fs::rename(scene.path("gone"), scene.path("bin")).unwrap();
    wait_until("it is restarted", || scene.service("a")["restarts"] != 0);
    scene.end();
}
