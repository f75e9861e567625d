//! `user` and `limits`.

use crate::scene::{Scene, wait_for_file};

#[test]
fn a_service_has_its_limits_and_others_keep_theirs() {
    let scene = Scene::new(
        r#"
defaults: {limits: {core: 0}}
services:
  tight: {type: task, command: "ulimit -n; ulimit -Hn; ulimit -c; ulimit -t", limits: {nofile: {soft: 64, hard: 128}, cpu: 77}}
  soft: {type: task, command: "ulimit -n; ulimit -c", limits: {nofile: {soft: 32}}}
  pane: {type: tmux, command: "ulimit -n > pane; exec sleep 1000", limits: {nofile: 99}}
"#,
    );
    scene.run(["up"]).success();
    assert_eq!(numbers(&scene.logs("tight")), ["64", "128", "0", "77"]);
    assert_eq!(numbers(&scene.logs("soft")), ["32", "0"]);
    assert_eq!(wait_for_file(&scene.path("pane")).trim(), "99");
    scene.end();
}

fn numbers(log: &str) -> Vec<&str> {
    log.lines()
        .filter_map(|line| line.split_whitespace().next_back())
        .collect()
}

#[test]
fn root_starts_a_service_as_somebody_else_and_nobody_else_does() {
    const WHO: &str = "echo $(id -un) $(id -G) $HOME $USER $LOGNAME; echo again > /dev/stdout";
    let scene = Scene::new(&format!(
        r#"
services:
  other: {{type: task, user: nobody, working_dir: /, command: "{WHO}"}}
  pane: {{type: tmux, user: nobody, working_dir: /, command: "id -un; : > /dev/tty && echo 'the terminal is ours'; exec sleep 1000", ready: {{log: the terminal is ours}}}}
  asked: {{user: nobody, working_dir: /, command: [sleep, "1000"], ready: {{exec: 'test "$(id -un)" = nobody'}}}}
"#
    ));
    if !nix::unistd::geteuid().is_root() {
        scene.run(["up"]).code(5);
        for name in ["other", "pane", "asked"] {
            scene.expect_state(name, "blocked");
            let reason = scene.service(name)["reason"].to_string();
            assert!(reason.contains("only root can start"), "{reason}");
        }
        return scene.end();
    }
    scene.run(["up"]).success();
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let log = scene.logs("other");
    let expected = format!(
        "nobody {} {} nobody nobody",
        nobody.gid,
        nobody.dir.display()
    );
    assert!(log.contains(&expected), "{log}");
    assert!(log.contains("again"), "{log}");
    let log = scene.logs("pane");
    assert!(log.contains("nobody"), "{log}");
    scene.end();
}

#[test]
fn who_is_that_user_already_needs_nothing() {
    let me = nix::unistd::User::from_uid(nix::unistd::geteuid())
        .unwrap()
        .unwrap();
    let scene = Scene::new(&format!(
        "services: {{a: {{type: task, user: {}, command: 'echo $TMUX_TMPDIR'}}}}",
        me.name
    ));
    scene.run(["up"]).success();
    assert!(
        scene.logs("a").contains("run/baudbot"),
        "{}",
        scene.logs("a")
    );
    scene.end();
}
