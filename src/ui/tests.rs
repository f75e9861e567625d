//! Screens and keys, as values.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::json;

use super::*;
use crate::control::protocol::{ServiceStatus, Status, SupervisorStatus, VERSION};
use crate::id::{ProjectName, ServiceName};

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn name(text: &str) -> ServiceName {
    ServiceName::new(text).unwrap()
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "tests read better without borrows"
)]
fn service(goal: &str, state: &str, more: serde_json::Value) -> ServiceStatus {
    let mut value = json!({
        "type": "process", "goal": goal, "state": state, "restarts": 0, "groups": [], "ports": [],
        "survivors": [], "waits_for": [], "is_stuck": false, "since": "2026-03-01T11:57:00Z",
    });
    let fields = value.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    serde_json::from_value(value).unwrap()
}

fn status(services: Vec<(&str, ServiceStatus)>) -> Status {
    Status {
        version: VERSION,
        project: ProjectName::new("shop").unwrap(),
        supervisor: Some(SupervisorStatus {
            pid: 4711,
            guardian_pid: None,
            program_version: None,
            began: None,
            manifest: None,
            layers: None,
            usage: None,
        }),
        services: services
            .into_iter()
            .map(|(text, status)| (name(text), status))
            .collect(),
    }
}

fn shop() -> Status {
    status(vec![
        (
            "migrate",
            service("up", "completed", json!({"type": "task"})),
        ),
        (
            "db",
            service(
                "up",
                "ready",
                json!({"pid": 4242, "groups": ["core"], "ports": [5432]}),
            ),
        ),
        (
            "web",
            service(
                "up",
                "failed",
                json!({"restarts": 2, "reason": "exited with 1; gave up after 10 failures in a row"}),
            ),
        ),
        (
            "worker",
            service("up", "waiting", json!({"waits_for": ["web"]})),
        ),
        (
            "agent",
            service(
                "down",
                "inactive",
                json!({"type": "tmux", "session": "baudbot-agent", "since": null}),
            ),
        ),
    ])
}

fn model() -> Model {
    Model::new(ProjectName::new("shop").unwrap(), now(), true, true)
}

/// A model that shows these services, on a screen of this size.
fn with(status: Status, width: u16, height: u16) -> Model {
    let mut model = model();
    update(&mut model, Event::Resized(width, height));
    update(&mut model, Event::Status(status));
    model
}

fn press(model: &mut Model, keys: &str) -> Vec<Effect> {
    let mut effects = Vec::new();
    for word in keys.split(' ').filter(|word| !word.is_empty()) {
        let (code, modifiers) = match word {
            "Up" => (KeyCode::Up, KeyModifiers::NONE),
            "Down" => (KeyCode::Down, KeyModifiers::NONE),
            "PgUp" => (KeyCode::PageUp, KeyModifiers::NONE),
            "PgDn" => (KeyCode::PageDown, KeyModifiers::NONE),
            "Home" => (KeyCode::Home, KeyModifiers::NONE),
            "End" => (KeyCode::End, KeyModifiers::NONE),
            "Tab" => (KeyCode::Tab, KeyModifiers::NONE),
            "Enter" => (KeyCode::Enter, KeyModifiers::NONE),
            "Esc" => (KeyCode::Esc, KeyModifiers::NONE),
            "Backspace" => (KeyCode::Backspace, KeyModifiers::NONE),
            "^C" => (KeyCode::Char('c'), KeyModifiers::CONTROL),
            "^Z" => (KeyCode::Char('z'), KeyModifiers::CONTROL),
            text => {
                for character in text.chars() {
                    let key = KeyEvent::new(KeyCode::Char(character), KeyModifiers::NONE);
                    effects.extend(update(model, Event::Key(key)));
                }
                continue;
            }
        };
        effects.extend(update(model, Event::Key(KeyEvent::new(code, modifiers))));
    }
    effects
}

fn lines(texts: impl IntoIterator<Item = impl Into<String>>) -> Vec<LogLine> {
    texts
        .into_iter()
        .map(|text| LogLine {
            clock: "11:59:30".into(),
            text: text.into(),
            is_note: false,
        })
        .collect()
}

fn screen(model: &Model, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view(model, frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let rows: Vec<String> = (0..height)
        .map(|y| {
            let row: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
            row.trim_end().to_owned()
        })
        .collect();
    rows.join("\n")
}

fn run(words: &[&str]) -> Effect {
    Effect::Run {
        words: words.iter().map(|word| (*word).to_owned()).collect(),
        shows_page: words[0] == "why",
    }
}

fn show(text: &str) -> Effect {
    Effect::ShowLog(name(text))
}

#[test]
fn all_is_to_be_seen_on_the_smallest_terminal() {
    let mut model = with(shop(), 80, 24);
    press(&mut model, "Down Down");
    update(
        &mut model,
        Event::Lines(
            name("web"),
            lines([
                "listening on 8080",
                "GET / 200",
                "cannot reach the database at 127.0.0.1:5432: connection refused",
            ]),
        ),
    );
    insta::assert_snapshot!(screen(&model, 80, 24));
}

#[test]
fn there_is_more_to_be_seen_on_a_wide_one() {
    let mut model = with(shop(), 130, 16);
    press(&mut model, "Down Tab t");
    let printed = (0..40).map(|number| format!("checkpoint {number} complete"));
    update(&mut model, Event::Lines(name("db"), lines(printed)));
    press(&mut model, "/ 3 7 Enter");
    insta::assert_snapshot!(screen(&model, 130, 16));
}

#[test]
fn a_plain_terminal_gets_plain_characters() {
    let mut model = Model::new(ProjectName::new("shop").unwrap(), now(), false, false);
    update(&mut model, Event::Status(shop()));
    assert!(screen(&model, 80, 24).replace('…', "").is_ascii());
}

#[test]
fn the_first_service_is_selected_and_its_log_shown() {
    let mut model = model();
    let effects = update(&mut model, Event::Status(shop()));
    assert_eq!(effects, [show("migrate")]);
    assert_eq!(press(&mut model, "Down"), [show("db")]);
    assert_eq!(press(&mut model, "End"), [show("agent")]);
    assert_eq!(press(&mut model, "End"), []);
    // News of a service do not move the selection.
    assert_eq!(update(&mut model, Event::Status(shop())), []);
    // One that is gone is not selected any more.
    let gone = update(&mut model, Event::Service(name("agent"), None));
    assert_eq!(gone, [show("migrate")]);
}

#[test]
fn keys_stand_for_commands() {
    let mut model = with(shop(), 80, 24);
    press(&mut model, "Down");
    assert_eq!(press(&mut model, "s"), [run(&["start", "db"])]);
    assert_eq!(press(&mut model, "x"), [run(&["stop", "db"])]);
    assert_eq!(press(&mut model, "r"), [run(&["restart", "db"])]);
    assert_eq!(press(&mut model, "w"), [run(&["why", "db"])]);
    assert_eq!(press(&mut model, "u"), [run(&["up"])]);
    // The same again would do nothing new.
    assert_eq!(press(&mut model, "r"), []);
    assert!(screen(&model, 80, 24).contains("`restart db` is under way already"));
    update(
        &mut model,
        Event::Ended {
            command: "restart db".into(),
            outcome: Outcome {
                text: "restart db: 1 service up".into(),
                is_bad: false,
            },
            page: None,
        },
    );
    assert!(screen(&model, 80, 24).contains("restart db: 1 service up"));
    assert_eq!(press(&mut model, "r"), [run(&["restart", "db"])]);
    assert_eq!(press(&mut model, "q"), [Effect::Quit]);
    assert_eq!(press(&mut model, "^C"), [Effect::Quit]);
    assert_eq!(press(&mut model, "^Z"), [Effect::Suspend]);
}

#[test]
fn everything_goes_down_only_when_that_is_confirmed() {
    let mut model = with(shop(), 80, 24);
    assert_eq!(press(&mut model, "d"), []);
    assert!(screen(&model, 80, 24).contains("take the whole project down?"));
    assert_eq!(press(&mut model, "d"), []);
    assert_eq!(press(&mut model, "d y"), [run(&["down"])]);
}

#[test]
fn only_a_live_session_is_attached_to() {
    let mut model = with(shop(), 80, 24);
    press(&mut model, "End");
    assert_eq!(press(&mut model, "a"), []);
    assert!(screen(&model, 80, 24).contains("`agent` has no session now; s starts it"));
    let live = service(
        "up",
        "ready",
        json!({"type": "tmux", "session": "baudbot-agent"}),
    );
    update(
        &mut model,
        Event::Service(name("agent"), Some(Box::new(live))),
    );
    let words = vec!["attach".to_owned(), "agent".to_owned()];
    assert_eq!(press(&mut model, "a"), [Effect::HandOver(words)]);
    // Of others the output is all there is.
    press(&mut model, "Home");
    assert_eq!(press(&mut model, "a"), []);
    assert!(screen(&model, 80, 24).contains("`migrate` is no tmux session"));
}

#[test]
fn what_commands_print_is_read_on_a_page() {
    let mut model = with(shop(), 80, 10);
    press(&mut model, "w");
    update(
        &mut model,
        Event::Ended {
            command: "why migrate".into(),
            outcome: Outcome {
                text: String::new(),
                is_bad: false,
            },
            page: Some((0..30).map(|number| format!("line {number}")).collect()),
        },
    );
    assert!(screen(&model, 80, 10).contains("\n why migrate\n line 0\n"));
    press(&mut model, "PgDn");
    assert!(screen(&model, 80, 10).contains("\n why migrate\n line 6\n"));
    press(&mut model, "End");
    assert!(screen(&model, 80, 10).contains("line 29"));
    press(&mut model, "Esc");
    assert!(screen(&model, 80, 10).contains("migrate completed"));
}

#[test]
fn two_hundred_services_are_filtered_and_paged() {
    let names: Vec<String> = (0..200)
        .map(|number| format!("service-{number:03}"))
        .collect();
    let services = names
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let state = if number == 150 { "failed" } else { "ready" };
            (name.as_str(), service("up", state, json!({})))
        })
        .collect();
    let mut model = with(status(services), 80, 24);
    assert_eq!(press(&mut model, "PgDn"), [show("service-020")]);
    assert_eq!(press(&mut model, "End"), [show("service-199")]);
    let last = screen(&model, 80, 24);
    assert!(
        last.contains("service-199") && last.contains("service-179"),
        "{last}"
    );
    assert!(!last.contains("service-178"), "{last}");
    // By state.
    assert_eq!(press(&mut model, "/ f a i l e d"), [show("service-150")]);
    let filtered = screen(&model, 80, 24);
    assert!(!filtered.contains("service-199"), "{filtered}");
    assert!(filtered.contains("services: /failed"), "{filtered}");
    press(&mut model, "Enter");
    assert!(screen(&model, 80, 24).contains("1 of 200 services match `failed`; Esc shows all"));
    // What was selected stays so.
    assert_eq!(press(&mut model, "Esc"), []);
    assert!(screen(&model, 80, 24).contains("service-150 failed"));
}

#[test]
fn a_log_is_scrolled_and_followed() {
    let mut model = with(shop(), 80, 14);
    let printed = (0..30).map(|number| format!("line {number}."));
    update(&mut model, Event::Lines(name("migrate"), lines(printed)));
    let has = |model: &Model, text: &str| screen(model, 80, 14).contains(text);
    assert!(has(&model, "line 29.") && has(&model, "following"));
    press(&mut model, "Tab PgUp");
    assert!(!has(&model, "line 29.") && has(&model, "line 18 of 30"));
    // What comes does not move what is read.
    update(
        &mut model,
        Event::Lines(name("migrate"), lines(["line 30."])),
    );
    assert!(!has(&model, "line 30.") && has(&model, "line 18 of 31"));
    press(&mut model, "Home");
    assert!(has(&model, "line 0."));
    press(&mut model, "End");
    assert!(has(&model, "line 30.") && has(&model, "following"));
    // Lines of a service that is not looked at any more.
    update(&mut model, Event::Lines(name("db"), lines(["stray"])));
    assert!(!has(&model, "stray"));
}

#[test]
fn a_log_is_searched_back_and_forth() {
    let mut model = with(shop(), 80, 14);
    let printed = (0..100).map(|number| match number % 40 {
        7 => format!("Error {number}"),
        _ => format!("line {number}"),
    });
    update(&mut model, Event::Lines(name("migrate"), lines(printed)));
    let has = |model: &Model, text: &str| screen(model, 80, 14).contains(text);
    press(&mut model, "Tab / e r r Enter");
    assert!(has(&model, "Error 87") && has(&model, "`err`: 3 matches"));
    press(&mut model, "n");
    assert!(has(&model, "Error 47"));
    press(&mut model, "n n");
    assert!(has(&model, "Error 7") && has(&model, "no older line has `err`"));
    press(&mut model, "N");
    assert!(has(&model, "Error 47"));
    // Capitals count when there are any.
    press(&mut model, "/ E R R Enter");
    assert!(has(&model, "no older line has `ERR`"));
}

#[test]
fn a_long_line_is_wrapped_and_none_of_it_lost() {
    let mut model = with(shop(), 80, 24);
    let long = "0123456789".repeat(12);
    update(
        &mut model,
        Event::Lines(name("migrate"), lines([long.clone()])),
    );
    let joined: String = screen(&model, 80, 24)
        .lines()
        .filter_map(|line| Some(line.rsplit_once("│ ")?.1.to_owned()))
        .collect();
    assert!(joined.contains(&long), "{joined}");
}

#[test]
fn a_supervisor_that_goes_is_told_of_and_so_is_one_that_comes_back() {
    let mut model = with(shop(), 80, 24);
    update(&mut model, Event::Link(Link::Lost));
    let lost = screen(&model, 80, 24);
    assert!(
        lost.contains("the supervisor is gone; looking for it"),
        "{lost}"
    );
    assert!(lost.contains("u takes it over"), "{lost}");
    update(&mut model, Event::Status(shop()));
    assert!(screen(&model, 80, 24).contains("supervisor 4711"));
}

#[test]
fn where_nothing_runs_the_way_up_is_offered() {
    let mut nothing = shop();
    nothing.supervisor = None;
    for service in nothing.services.values_mut() {
        *service = serde_json::from_value(json!({
            "type": "process", "goal": "down", "state": "inactive", "restarts": 0, "groups": [],
            "ports": [], "survivors": [], "waits_for": [], "is_stuck": false,
        }))
        .unwrap();
    }
    let mut model = with(nothing, 80, 24);
    let shown = screen(&model, 80, 24);
    assert!(shown.contains("not running"), "{shown}");
    assert!(
        shown.contains("nothing runs: u brings everything up"),
        "{shown}"
    );
    assert_eq!(press(&mut model, "u"), [run(&["up"])]);
}

#[test]
fn the_keys_are_always_there_and_so_is_help() {
    for width in [40, 60, 80, 200] {
        let mut model = with(shop(), width, 24);
        for keys in ["", "Tab", "z"] {
            press(&mut model, keys);
            let shown = screen(&model, width, 24);
            let last = shown.lines().last().unwrap_or_default();
            assert!(
                last.contains("? help") && last.contains("q quit"),
                "{width}: {last}"
            );
        }
    }
    let mut model = with(shop(), 80, 24);
    press(&mut model, "?");
    insta::assert_snapshot!(screen(&model, 80, 24));
}

#[test]
fn a_narrow_screen_keeps_the_names_and_breaks_no_word() {
    let mut model = with(shop(), 40, 24);
    for _ in 0..2 {
        let shown = screen(&model, 40, 24);
        for name in model.services.keys() {
            assert!(shown.contains(name.as_str()), "{name}\n{shown}");
        }
        press(&mut model, "Down");
    }
    insta::assert_snapshot!(screen(&model, 40, 24));
}

#[test]
fn ages_go_on() {
    let mut model = with(shop(), 80, 24);
    update(
        &mut model,
        Event::Now(now() + SignedDuration::from_hours(2)),
    );
    assert!(screen(&model, 80, 24).contains("2h"));
}

fn any_event() -> impl Strategy<Value = Event> {
    let key = prop_oneof![
        "[a-zA-Z/?é]".prop_map(|text| KeyCode::Char(text.chars().next().unwrap())),
        Just(KeyCode::Up),
        Just(KeyCode::Down),
        Just(KeyCode::PageUp),
        Just(KeyCode::PageDown),
        Just(KeyCode::Home),
        Just(KeyCode::End),
        Just(KeyCode::Tab),
        Just(KeyCode::Enter),
        Just(KeyCode::Esc),
        Just(KeyCode::Backspace),
    ];
    prop_oneof![
        6 => key.prop_map(|code| Event::Key(KeyEvent::new(code, KeyModifiers::NONE))),
        1 => (0..140_u16, 0..50_u16).prop_map(|(width, height)| Event::Resized(width, height)),
        1 => proptest::collection::vec("[a-zé漢\u{301} ]{0,120}", 0..30)
            .prop_map(|texts| Event::Lines(name("migrate"), lines(texts))),
        1 => Just(Event::Status(shop())),
        1 => Just(Event::Service(name("db"), None)),
        1 => Just(Event::Link(Link::Lost)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever comes, and however small the terminal is, there is a screen.
    #[test]
    fn there_is_always_a_screen(events in proptest::collection::vec(any_event(), 0..40)) {
        let mut model = with(shop(), 80, 24);
        for event in events {
            update(&mut model, event);
            let _ = screen(&model, model.width, model.height);
            // A resize is told of a little later than it happens.
            let _ = screen(&model, model.width / 2, model.height / 2);
        }
    }
}
