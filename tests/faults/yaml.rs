//! YAML that the program writes means the same to readers of YAML 1.1.

use std::process::Stdio;

use super::scene::{Scene, finish};

const WORDS: &[&str] = &[
    "NO",
    "on",
    "y",
    "~",
    "null",
    "22:22",
    "2026-01-01",
    "1_000",
    "010",
    "0x1F",
    "1e5",
    ".inf",
    "=",
    "<<",
    "1.10",
    "yes",
    "a: b",
    "- x",
    "# c",
    "&a",
    "*b",
    "!c",
    "x #y",
    "\"q\"",
    "'q'",
];

#[test]
fn the_output_of_config_is_the_same_to_a_reader_of_yaml_1_1() {
    let quoted = serde_json::to_string(WORDS).unwrap();
    let scene = Scene::new(&format!(
        r#"
services:
  "no":
    command: {quoted}
    env: {{COUNTRY: NO, ON: on, N: "22:22", D: 2026-01-01, Y: 1_000}}
"#
    ));
    let yaml = scene.run(["config", "--show-values"]).success().stdout;
    for expected in [
        "'no':",
        "COUNTRY: 'NO'",
        "'ON': 'on'",
        "'22:22'",
        "'2026-01-01'",
        "'1_000'",
    ] {
        assert!(yaml.contains(expected), "{expected}\n{yaml}");
    }
    // It is a manifest again.
    std::fs::write(scene.path("again.yaml"), &yaml).unwrap();
    let again = scene.run(["-f", "again.yaml", "config", "--show-values"]);
    assert_eq!(again.success().stdout, yaml);
    let json = scene.run(["config", "--show-values", "--json"]).json();
    let mut python = scene.program("python3");
    python
        .args(["-c", "import json, sys\ntry:\n  import yaml\nexcept ImportError:\n  sys.exit(7)\njson.dump(yaml.safe_load(open('again.yaml')), sys.stdout, default=repr)"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let read = finish(python.spawn().unwrap());
    // Without PyYAML on this host, the table beside the writer has to do.
    if read.code != Some(7) {
        assert_eq!(read.success().json(), json);
    }
    scene.close();
}

#[test]
fn init_in_a_directory_with_an_odd_name_writes_a_valid_manifest() {
    for name in ["no", "2026-01-01", "123", "1e5"] {
        let scene = Scene::bare();
        let directory = scene.path(name);
        std::fs::create_dir(&directory).unwrap();
        scene.run(["init", name]).success();
        let file = format!("{name}/baudbot.yaml");
        scene.run(["-f", &file, "validate"]).success();
        let text = std::fs::read_to_string(scene.path(&file)).unwrap();
        assert!(text.contains(&format!("project: '{name}'")), "{text}");
        scene.close();
    }
}
