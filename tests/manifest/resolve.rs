//! What a manifest comes to: defaults, layers of the environment, expansion, groups.

use std::time::Duration;

use baudbot::manifest::model::{Condition, Kind, Policy, Signal};

use super::scene::{Scene, assert_style, codes, environment, load_with};

#[test]
fn the_smallest_service_has_the_documented_defaults() {
    let service = Scene::new("version: 1\nservices: {a: {command: [x]}}").service("a");
    assert_eq!(service.kind, Kind::Process);
    assert_eq!(service.stop.signal, Signal(15));
    assert_eq!(service.stop.timeout, Duration::from_secs(10));
    assert_eq!(service.restart.policy, Policy::OnFailure);
    assert_eq!(service.restart.delay, Duration::from_secs(1));
    assert_eq!(service.restart.max_delay, Duration::from_secs(60));
    assert_eq!(service.restart.max_failures, Some(10));
    assert_eq!(service.log.max_size, 10 << 20);
    assert_eq!(service.log.keep, 5);
    assert_eq!(service.env.base["HOME"], "/home/someone");
    assert!(!service.env.base.contains_key("EDITOR"));
}

#[test]
fn a_task_is_not_restarted_unless_it_says_so() {
    let service = Scene::new("version: 1\nservices: {a: {type: task, command: x}}").service("a");
    assert_eq!(service.restart.policy, Policy::Never);
}

#[test]
fn the_environment_is_layered_and_expansion_sees_the_layers_below() {
    let scene = Scene::new(
        "version: 1\nenv: {A: top, B: top}\nenv_files: [some.env]\nservices:\n  a:\n    command: [x, '${A}', '${B}', '${FROM_FILE}', '${MISSING:-none}', '$${LEFT} $ALONE']\n    env: {B: own, PATH: '/opt:${PATH}'}\n    env_inherit: [AWS_*, 'NOT_SET?']\n",
    )
    .file("some.env", "export FROM_FILE='in the file' # comment\nA=file\n");
    let service = scene.service("a");
    let argv = service.command.argv();
    assert_eq!(
        argv,
        ["x", "top", "own", "in the file", "none", "${LEFT} $ALONE"]
    );
    assert_eq!(service.env.set["PATH"], "/opt:/usr/bin:/bin");
    assert_eq!(service.env.inherited["AWS_SECRET"], "hidden");
    assert!(!service.env.inherited.contains_key("EDITOR"));
}

#[test]
fn an_env_file_is_read_at_each_start_and_env_wins_over_it() {
    let scene = Scene::new(
        "version: 1\nservices: {a: {command: x, env_files: [some.env, 'other.env?'], env: {B: env}, env_unset: [C]}}",
    )
    .file("some.env", "A=\"two\\nlines\"\nB=file\nC=file\n");
    let built = baudbot::manifest::load::environment(&scene.service("a").env, None).unwrap();
    assert_eq!(built["A"], "two\nlines");
    assert_eq!(built["B"], "env");
    assert!(!built.contains_key("C"));
    assert_eq!(built["USER"], "someone");
}

#[test]
fn a_group_in_depends_on_is_its_members() {
    let scene = Scene::new(
        "version: 1\ngroups: {g: {}}\nservices: {a: {command: x, groups: [g]}, b: {command: x, groups: [g]}, c: {command: x, depends_on: {'@g': {condition: started}}}}",
    );
    let needs = scene.service("c").depends_on;
    assert_eq!(needs.len(), 2);
    assert!(
        needs
            .values()
            .all(|edge| edge.condition == Condition::Started)
    );
}

#[test]
fn a_session_has_the_prefix_and_its_cleanup_takes_that_session_alone() {
    let scene = Scene::new(
        "version: 1\ntmux: {prefix: b-}\nservices: {web: {type: tmux, command: x}, web-admin: {type: tmux, command: x}}",
    );
    let service = scene.service("web");
    assert_eq!(service.session(), Some("b-web"));
    assert!(service.cleanup.owns_session("b-web"));
    assert!(!service.cleanup.owns_session("b-web-admin"));
}

#[test]
fn an_include_brings_its_services_with_its_own_paths() {
    let scene =
        Scene::new("version: 1\ninclude: [more/services.yaml]\nservices: {a: {command: x}}").file(
            "more/services.yaml",
            "version: 1\nservices: {b: {command: x}}",
        );
    let manifest = scene.manifest();
    assert_eq!(manifest.services.len(), 2);
    assert!(manifest.services["b"].working_dir.ends_with("more"));
}

#[test]
fn a_pattern_picks_up_what_lies_there_in_order() {
    let fragment = |name: &str| format!("version: 1\nservices: {{{name}: {{command: x}}}}");
    let scene = Scene::new("version: 1\ninclude: 'services.d/*.yaml'\nservices: {a: {command: x}}")
        .file("services.d/20-c.yaml", fragment("c"))
        .file("services.d/10-b.yaml", fragment("b"))
        .file("services.d/.30-hidden.yaml", fragment("hidden"))
        .file("services.d/10-b.yaml~", fragment("b"))
        .file("services.d/deeper.yaml/x.yaml", fragment("deeper"));
    let names: Vec<String> = scene
        .manifest()
        .services
        .keys()
        .map(ToString::to_string)
        .collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(
        scene
            .load()
            .from
            .directories
            .into_iter()
            .collect::<Vec<_>>(),
        [scene.path("services.d")]
    );
    // A broken fragment is named; nothing is left of the whole.
    let broken = scene.file(
        "services.d/15-broken.yaml",
        "version: 1\nservices: {x: {comand: x}}",
    );
    let loaded = broken.load();
    assert!(loaded.manifest.is_none());
    let label = &loaded.diagnostics[0].labels[0];
    assert_eq!(
        loaded.sources.path(label.span.file),
        broken.path("services.d/15-broken.yaml")
    );
}

#[test]
fn a_pattern_may_find_nothing_and_never_its_own_file() {
    let scene = Scene::new("version: 1\ninclude: '*.yaml'\nservices: {a: {command: x}}");
    assert_eq!(scene.manifest().services.len(), 1);
    let scene = Scene::new("version: 1\ninclude: 'empty/[a-z]*.yaml'").file("empty/.keep", "");
    assert_eq!(scene.manifest().services.len(), 0);
}

#[test]
fn a_name_that_exists_is_no_pattern() {
    let scene = Scene::new("version: 1\ninclude: ['[b].yaml', 'd[1]/*.yaml']")
        .file("[b].yaml", "version: 1\nservices: {b: {command: x}}")
        .file("b.yaml", "version: 1\nservices: {other: {command: x}}")
        .file("d[1]/c.yaml", "version: 1\nservices: {c: {command: x}}");
    let manifest = scene.manifest();
    let names: Vec<&str> = manifest
        .services
        .keys()
        .map(baudbot::id::ServiceName::as_str)
        .collect();
    assert_eq!(names, ["b", "c"]);
}

#[test]
fn a_diagnostic_stands_at_its_place_and_says_how_to_mend_it() {
    let scene = Scene::new("version: 1\nservices:\n  web: {comand: x}\n");
    assert!(scene.codes().contains(&"unknown_field"));
    let scene = Scene::new("version: 1\nservices:\n  web: {command: x, umsk: '077'}\n");
    let diagnostic = scene.diagnostic();
    assert_style(&diagnostic);
    assert!(diagnostic.help.unwrap().contains("`umask`"));
}

#[test]
fn what_is_no_text_or_much_too_large_is_refused_in_bounded_time() {
    let bomb = format!(
        "version: 1\nx-0: &a0 [a, a, a, a, a, a, a, a, a, a]\n{}services: {{a: {{command: *a9}}}}\n",
        (1..10)
            .map(|n| format!(
                "x-{n}: &a{n} [{}]\n",
                vec![format!("*a{}", n - 1); 10].join(", ")
            ))
            .collect::<String>()
    );
    let deep = format!(
        "version: 1\nx-deep: {}{}\n",
        "[".repeat(5000),
        "]".repeat(5000)
    );
    let manifests: [Vec<u8>; 5] = [
        bomb.into_bytes(),
        deep.into_bytes(),
        b"version: 1\nservices: {a: {command: \"\xff\"}}".to_vec(),
        b"version: 1\n---\nversion: 1\n".to_vec(),
        vec![b' '; 40 << 20],
    ];
    for manifest in manifests {
        let start: Vec<u8> = manifest.iter().take(60).copied().collect();
        let scene = Scene::new("").file("baudbot.yaml", manifest);
        let loaded = scene.load();
        assert!(
            loaded.manifest.is_none(),
            "{}",
            String::from_utf8_lossy(&start)
        );
        assert!(!codes(&loaded).is_empty());
    }
}

#[test]
fn root_refuses_a_manifest_that_others_may_write() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new("version: 1\nservices: {a: {command: x}}");
    let file = scene.path("baudbot.yaml");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert!(load_with(&file, environment(), true).manifest.is_none());
    let loaded = load_with(&file, environment(), false);
    assert!(loaded.manifest.is_some() && !loaded.diagnostics.is_empty());
}

#[test]
fn a_skipped_service_does_without_what_it_would_need() {
    let scene = Scene::new(
        r#"
version: 1
services:
  broker:
    command: [x, "${TOKEN}", "${SECRET:?}"]
    env_files: not-there.env
    env_inherit: [NOT_SET]
    when: { env: TOKEN }
"#,
    );
    let broker = scene.service("broker");
    assert_eq!(broker.when.unmet.as_deref(), Some("TOKEN is not set"));
}

#[test]
fn conditions_see_the_services_environment_and_the_orders() {
    let scene = Scene::new(
        r#"
version: 1
services:
  a: { command: x, env_files: a.env, when: { env: [OF_FILE, EDITOR], no_env: [EMPTY, NOWHERE] } }
  b: { command: x, env: { EMPTY: "" }, when: { env: [EMPTY], no_env: EDITOR, file: not/there, executable: ./a.env } }
"#,
    )
    .file("a.env", "OF_FILE=1\nEMPTY=\n");
    assert_eq!(scene.service("a").when.unmet, None);
    let missing = scene.path("not/there");
    assert_eq!(
        scene.service("b").when.unmet.unwrap(),
        format!(
            "EMPTY is not set, EDITOR is set, {} does not exist",
            missing.display()
        )
    );
    let read = scene.load().from;
    assert!(read.files.contains(&missing), "its coming is waited for");
}
