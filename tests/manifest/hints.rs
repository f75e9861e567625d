//! What is told to people who write what other tools take.

use crate::scene::{Scene, assert_style};

#[track_caller]
fn expect_help(services: &str, help: &str) {
    let scene = Scene::new(&format!("version: 1\nservices:\n{services}"));
    let diagnostic = scene.diagnostic();
    assert_style(&diagnostic);
    let told = diagnostic.help.unwrap();
    assert!(told.contains(help), "{services}\n{told}");
}

#[test]
fn a_key_that_yaml_takes_for_nothing_wants_quotes() {
    expect_help("  null: {command: x}", "`\"null\"`");
    expect_help("  ~: {command: x}", "`\"~\"`");
}

#[test]
fn a_variable_without_a_value_may_be_meant_to_be_taken_over() {
    expect_help(
        "  a: {command: x, env: {NAME: }}",
        "`env_inherit: [NAME]` takes it over",
    );
}

#[test]
fn dependencies_with_conditions_stand_in_a_map() {
    for list in [
        "[{a: {condition: ready}}]",
        "\n      - a: {condition: ready}",
    ] {
        let services = format!("  a: {{command: x}}\n  b:\n    command: x\n    depends_on: {list}");
        expect_help(&services, "`depends_on: {db: {condition: ready}}`");
    }
    expect_help(
        "  a: {command: x}\n  b: {command: x, depends_on: a}",
        "a list is written `[a]`",
    );
}

#[test]
fn words_of_other_tools_are_translated() {
    for (service, help) in [
        ("working_directory: /x", "`working_dir`"),
        ("restart: no", "`never`"),
        ("restart: unless-stopped", "`always`"),
        ("restart: {policy: no}", "`never`"),
        ("type: oneshot", "`task`"),
        ("depends_on: {b: {condition: service_healthy}}", "`ready`"),
        (
            "depends_on: {b: {condition: service_completed_successfully}}",
            "`completed`",
        ),
    ] {
        let services = format!("  a: {{command: x, {service}}}\n  b: {{type: task, command: x}}");
        expect_help(&services, &format!("this is called {help} here"));
    }
}

#[test]
fn a_mistake_in_a_very_long_line_is_shown_and_the_line_is_not() {
    let many: String = (0..4000)
        .map(|number| format!("s{number}: {{command: x}}, "))
        .collect();
    let text = format!("version: 1\nservices: {{{many}bad: {{comand: x}}}}\n");
    let column = text.lines().nth(1).unwrap().find("comand").unwrap() + 1;
    let loaded = Scene::new(&text).load();
    let look = baudbot::render::Look::PLAIN;
    let shown = baudbot::render::diagnostics::diagnostics(&loaded, &look);
    assert!(shown.len() < 1000, "{}", shown.len());
    assert!(shown.contains("bad: {comand: x}"), "{shown}");
    assert!(shown.contains(&format!(":2:{column}]")), "{shown}");
}
