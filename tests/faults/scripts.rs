//! What another party gives is data wherever it may stand, and is refused where it would be code.

use super::scene::{Scene, wait_for_file, wait_until};

/// Something in it for every reader: shells, tmux and its formats, and a second line.
const HOSTILE: &str = "1; touch pwned; $(touch pwned) `touch pwned` \"$X\" ' || touch pwned #{pid} #(touch pwned) ${HOME} $$ \\\ntouch pwned\n-x";

/// What a service does with the value that it has as its first argument and as V.
const TELL: &str = r#"
    env: {V: "VALUE"}
    command: [sh, -c, 'printf "%s" "$1" > $BAUDBOT_SERVICE.argv; printf "%s" "$V" > $BAUDBOT_SERVICE.env; exec sleep 1000', sh, "VALUE"]
    hooks:
      before_start: [sh, -c, 'printf "%s" "$1$V" > $BAUDBOT_SERVICE.hook', sh, "VALUE"]
      after_stop: 'printf "%s" "$V" > $BAUDBOT_SERVICE.after'
    ready: {exec: [sh, -c, 'test -s $BAUDBOT_SERVICE.env && printf "%s" "$1$V" > $BAUDBOT_SERVICE.probe', sh, "VALUE"], interval: 50ms}
    stop: {command: [sh, -c, 'printf "%s" "$1$V" > $BAUDBOT_SERVICE.stop; kill $BAUDBOT_PID', sh, "VALUE"], timeout: 5s}
"#;

fn expect_value(scene: &Scene, service: &str) {
    let doubled = HOSTILE.repeat(2);
    for (place, expected) in [
        ("argv", HOSTILE),
        ("env", HOSTILE),
        ("after", HOSTILE),
        ("hook", &doubled),
        ("probe", &doubled),
        ("stop", &doubled),
    ] {
        let seen = wait_for_file(&scene.path(&format!("{service}.{place}")));
        assert_eq!(seen, expected, "{service}.{place}");
    }
    assert!(!scene.path("pwned").exists(), "the value was executed");
}

#[test]
fn an_exported_value_is_data_wherever_it_may_stand() {
    let tell = TELL.replace("VALUE", "${agent.v}");
    let scene = Scene::new(&format!(
        r#"
services:
  agent: {{command: "cat value > out; exec sleep 1000", exports: {{v: {{file: out}}}}}}
  plain:{tell}
  pane:
    type: tmux{tell}
"#
    ));
    std::fs::write(scene.path("value"), HOSTILE).unwrap();
    scene.run(["up"]).success();
    assert_eq!(scene.service("agent")["exports"]["v"], HOSTILE);
    scene.run(["down"]).success();
    for service in ["plain", "pane"] {
        expect_value(&scene, service);
    }
    scene.end();
}

#[test]
fn a_param_is_data_wherever_it_may_stand() {
    let tell = TELL.replace("VALUE", "${param.p}");
    let scene = Scene::new(&format!(
        "services:\n  a: {{command: [sleep, '1000']}}\ntemplates:\n  t:\n    params: {{p: {{}}}}{tell}"
    ));
    scene.run(["up"]).success();
    let param = format!("p={HOSTILE}");
    scene.run(["start", "t@one", "--param", &param]).success();
    scene.run(["stop", "t@one"]).success();
    expect_value(&scene, "t@one");
    scene.end();
}

#[test]
fn an_instance_has_a_name_that_is_no_code() {
    let scene = Scene::new(
        "services: {a: {command: [sleep, '1000']}}\ntemplates: {t: {command: \"echo ${instance} > seen; exec sleep 1000\"}}",
    );
    scene.run(["up"]).success();
    for name in [
        "x;touch pwned",
        "x\ntouch pwned",
        "$(touch pwned)",
        "`x`",
        "'",
        "-c",
        "",
        "a b",
    ] {
        let start = scene.run(["start", &format!("t@{name}")]);
        assert_eq!(start.code, Some(2), "{name}: {}", start.stderr);
    }
    scene.run(["start", "t@repo-4.2"]).success();
    wait_until("the instance has told its name", || {
        wait_for_file(&scene.path("seen")) == "repo-4.2\n"
    });
    assert!(!scene.path("pwned").exists(), "a name was executed");
    scene.end();
}

#[test]
fn a_value_with_a_nul_character_is_no_value() {
    let scene = Scene::new(
        r#"
services:
  a: {command: "printf 'a\\0b' > out; exec sleep 1000", exports: {v: {file: out}}, ready: {exec: "true", timeout: 1s}, restart: never}
  b: {command: [echo, "${a.v}"]}
"#,
    );
    let up = scene.run(["up"]).code(1);
    let why = "export `v`: it holds a NUL character, which no argument and no variable can hold";
    assert!(up.stderr.contains(why), "{}", up.stderr);
    scene.end();
}

/// The refusal says what to write instead, made of the names at hand; what it says to write is good.
#[test]
fn a_value_in_a_script_is_refused_with_what_to_write_instead() {
    let scene = Scene::new(
        r#"
services:
  agent: {command: [sleep, "1000"], exports: {session-id: {file: id}}}
  text: {command: "bridge ${agent.session-id}"}
  known: {command: "bridge ${agent.session-id}", env: {ID: "${agent.session-id}"}}
  through: {command: "bridge ${ID}", env: {ID: "x-${agent.session-id}"}}
  python: {command: [python3, -c, "print('${agent.session-id}')"]}
"#,
    );
    let refused = scene.run(["validate"]).code(78);
    for expected in [
        "`command` of service `text` puts the value of `${agent.session-id}` into a script",
        "a shell would read the value as code",
        "put it into `env`, as in `env: {AGENT_SESSION_ID: \"${agent.session-id}\"}`, and write `\"$AGENT_SESSION_ID\"` here",
        "`ID` is in the environment already: write `\"$ID\"` here",
        "`command` of service `through` puts the value of `${ID}`, which comes from `${agent.session-id}`, into a script",
        "let the script read the variable `AGENT_SESSION_ID`",
    ] {
        // Lines are wrapped, also within words.
        let packed = |text: &str| text.replace(['\n', ' ', '│'], "");
        assert!(
            packed(&refused.stdout).contains(&packed(expected)),
            "{expected}\n{}",
            refused.stdout
        );
    }
    scene.edit(
        r#"
services:
  agent: {command: "echo 7 > id; exec sleep 1000", exports: {session-id: {file: id}}}
  text:
    type: task
    env: {AGENT_SESSION_ID: "${agent.session-id}"}
    command: printf %s "$AGENT_SESSION_ID" > seen
"#,
    );
    scene.run(["up"]).success();
    assert_eq!(wait_for_file(&scene.path("seen")), "7");
    scene.end();
}

#[test]
fn the_dollars_of_a_shell_are_left_to_it() {
    let scene = Scene::new(
        r#"
services:
  text: {type: task, command: "echo $$ $${HOME:+set} x$$-${X:-y} > text; test -d /proc/$$ && echo good >> text"}
  list: {type: task, command: [sh, -c, 'test -d /proc/$$ && printf "%s" "$1" > list', sh, "5$$ $${x}"]}
"#,
    );
    scene.run(["up"]).success();
    let text = wait_for_file(&scene.path("text"));
    let pid = text.split(' ').next().unwrap();
    assert!(pid.parse::<u32>().is_ok(), "{text}");
    assert_eq!(text, format!("{pid} set x{pid}-y\ngood\n"));
    assert_eq!(wait_for_file(&scene.path("list")), "5$ ${x}");
    scene.end();
}

/// In compose files `$$NAME` stands for `$NAME`; a shell reads something else.
#[test]
fn a_doubled_dollar_before_a_name_is_warned_of() {
    let scene = Scene::new(
        "services: {a: {type: task, command: \"echo $$HOME\"}, b: {type: task, command: \"echo $$ $$$$ $${HOME}\"}}",
    );
    let valid = scene.run(["validate"]).success();
    let shown = format!("{}{}", valid.stdout, valid.stderr);
    assert!(
        shown.contains("`command` of service `a` has `$$HOME`"),
        "{shown}"
    );
    assert!(shown.contains("write `$HOME`"), "{shown}");
    assert!(!shown.contains("service `b`"), "{shown}");
    scene.end();
}
