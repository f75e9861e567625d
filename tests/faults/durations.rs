//! Durations and sizes have one form and one bound, wherever they are written.

use super::scene::Scene;

#[test]
fn a_duration_is_read_alike_in_the_manifest_and_on_the_command_line() {
    let manifest = |value: &str| {
        format!("services: {{a: {{command: [sleep, '1000'], stop: {{timeout: {value}}}}}}}")
    };
    let scene = Scene::new(&manifest("1s"));
    for (value, is_good) in [
        ("5M", false),
        ("1w", false),
        ("1year", false),
        ("soon", false),
        ("-1s", false),
        ("366d", false),
        ("18446744073709551615s", false),
        ("99999999999999999999s", false),
        ("1.5s", true),
        ("1m 30s", true),
        ("500ms", true),
        ("90", true),
    ] {
        scene.edit(&manifest(value));
        let written = scene.run(["validate"]);
        assert_eq!(written.code, Some(if is_good { 0 } else { 78 }), "{value}");
        for command in ["up", "down", "status"] {
            let option = format!("--timeout={value}");
            let typed = match command {
                "status" => scene.run([command, "--wait", &option]),
                _ => scene.run([command, &option]),
            };
            let is_refused = typed.stderr.contains("invalid value");
            assert_eq!(is_refused, !is_good, "{command} {value}: {}", typed.stderr);
            if !is_good {
                assert_eq!(typed.code, Some(2), "{value}");
                assert!(
                    typed.stderr.contains("as in `500ms`") || typed.stderr.contains("`365d`"),
                    "{}",
                    typed.stderr
                );
            }
        }
    }
    scene.close();
}

#[test]
fn no_time_at_all_is_refused_where_it_would_kill_at_once() {
    for (service, help) in [
        (
            "hooks: {before_start: [x], timeout: 0}",
            "give a hook some time",
        ),
        ("ready: {tcp: 1, timeout: 0s}", "`never` waits for ever"),
        ("health: {tcp: 1, timeout: 0ms}", "give a check some time"),
        (
            "stop: {command: [x], timeout: 0}",
            "give the command some time",
        ),
        (
            "ready: {file: {path: x, max_age: 0}}",
            "no file is younger than that",
        ),
        ("log: {keep: 4294967295}", "1 to 10000"),
        (
            "log: {max_size: 99999999999999999999GiB}",
            "the largest size is `1024TiB`",
        ),
        (
            "log: {max_size: 18446744073709551615}",
            "the largest size is `1024TiB`",
        ),
        ("limits: {as: 99999999999999999999GiB}", "unlimited"),
    ] {
        let scene = Scene::new(&format!(
            "services: {{a: {{command: [sleep, '1000'], {service}}}}}"
        ));
        let refused = scene.run(["validate"]).code(78);
        assert!(
            refused.stdout.contains(help),
            "{service}\n{}",
            refused.stdout
        );
        scene.close();
    }
    // Without a command, a stop without time is a KILL.
    let scene = Scene::new("services: {a: {command: [sleep, '1000'], stop: {timeout: 0}}}");
    scene.run(["validate"]).success();
    scene.close();
}
