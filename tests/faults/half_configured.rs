//! A service of which half the configuration is there is not skipped in silence.

use super::scene::{Scene, append};

const BRIDGE: &str = r#"
env_files: bridge.env
services:
  agent: {command: [sleep, "1000"]}
  broker:
    command: [sleep, "1000"]
    when: {env: BROKER_URL|OLD_BROKER_URL}
    env_required: [BROKER_TOKEN, ORG_ID|WORKSPACE_ID]
  socket: {command: [sleep, "1000"], when: {no_env: [BROKER_URL, OLD_BROKER_URL], env: BOT_TOKEN}}
"#;

fn with(variables: &str) -> Scene {
    let scene = Scene::new(BRIDGE);
    append(&scene.path("bridge.env"), variables);
    scene
}

#[test]
fn what_is_chosen_and_lacks_something_is_blocked_and_every_missing_name_is_told() {
    let scene = with("OLD_BROKER_URL=https://broker\nORG_ID=\n");
    let valid = scene.run(["validate"]).success();
    let told = valid.stdout + &valid.stderr;
    assert!(told.contains("BROKER_TOKEN is not set"), "{told}");
    let up = scene.run(["up"]).code(5);
    for said in [
        "`env_required` of service `broker`: BROKER_TOKEN is not set",
        "none of ORG_ID, WORKSPACE_ID is set",
        "1 of 3 services up, 1 blocked, 1 skipped",
    ] {
        assert!(up.stderr.contains(said), "{said}: {}", up.stderr);
    }
    scene.expect_state("broker", "blocked");
    scene.expect_state("socket", "skipped");
    scene.run(["status"]).code(1);

    append(
        &scene.path("bridge.env"),
        "BROKER_TOKEN=x\nWORKSPACE_ID=y\n",
    );
    scene.run(["up"]).success();
    scene.expect_state("broker", "ready");
    scene.end();
}

#[test]
fn what_is_not_chosen_lacks_nothing_and_is_counted_as_skipped() {
    let scene = with("BOT_TOKEN=x\n");
    let up = scene.run(["up"]).success();
    assert!(
        up.stderr.contains("2 of 3 services up, 1 skipped"),
        "{}",
        up.stderr
    );
    let told = scene.run(["status"]).success().stdout;
    assert!(told.contains("2 of 3 services up, 1 skipped"), "{told}");
    let told = scene.run(["ps"]).success().stdout;
    assert!(told.contains("2/3 (1 skipped)"), "{told}");
    scene.end();
}

#[test]
fn a_variable_that_went_since_the_order_blocks_the_next_start() {
    let scene = with("BROKER_URL=x\nBROKER_TOKEN=x\nORG_ID=x\n");
    scene.run(["up"]).success();
    let pid = scene.pid("broker");
    std::fs::write(scene.path("bridge.env"), "BROKER_URL=x\nORG_ID=x\n").unwrap();
    super::scene::kill(pid, 9);
    super::scene::wait_until("it is blocked", || {
        scene.service("broker")["state"] == "blocked"
    });
    let reason = scene.service("broker")["reason"].to_string();
    assert!(reason.contains("BROKER_TOKEN is not set"), "{reason}");
    scene.end();
}

#[test]
fn the_resolved_manifest_asks_for_the_same() {
    let scene = with("BROKER_URL=x\nBROKER_TOKEN=x\nORG_ID=x\n");
    let config = scene.run(["config"]).success().stdout;
    assert!(config.contains("ORG_ID|WORKSPACE_ID"), "{config}");
    assert!(config.contains("BROKER_URL|OLD_BROKER_URL"), "{config}");
    std::fs::write(scene.path("again.yaml"), config).unwrap();
    scene.run(["validate", "-f", "again.yaml"]).success();
    scene.edit("services: {a: {command: x, env_required: [A-B], when: {env: \"A|\"}}}");
    let told = scene.run(["validate"]).code(78);
    let told = told.stdout + &told.stderr;
    assert!(
        told.contains("`A-B` cannot be the name of a variable"),
        "{told}"
    );
    assert!(
        told.contains("`` cannot be the name of a variable"),
        "{told}"
    );
    scene.close();
}
