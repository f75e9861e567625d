//! Every input in every sort of state, written down: `snapshots/` holds the whole table for people
//! to read, and a change of any entry shows in review.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::backoff::Jitter;
use super::service::{Cause, Checks, Given, Hopeless, Node, Run, Stage, State, Why};
use super::step::{Context, Finding, Input, Order};
use super::{Effect, Ended, Goal, LeftBehind, LeftProcess, RunEvent, StartFailure, Survivor};
use crate::declare::{checked, name, probed, process, task};
use crate::id::RunId;
use crate::manifest::model::{Command, Exit, HealthAction, Policy, Service};
use crate::time::Moment;

const NOW: Moment = Moment::from_origin(Duration::from_secs(1_000));

fn later() -> Moment {
    NOW + Duration::from_secs(5)
}

fn node(declaration: Service, goal: Goal, state: State) -> Node {
    let mut node = Node::new(Arc::new(declaration), Moment::ORIGIN);
    node.generation = node.generation.next();
    node.goal = goal;
    node.state = state;
    node
}

/// A run of the present generation of what [`node`] makes.
fn run(declaration: Service) -> Run {
    Run {
        id: RunId(7),
        generation: node(process("a"), Goal::Up, State::Waiting).generation,
        service: Arc::new(declaration),
        given: Given::default(),
        renewal: None,
    }
}

fn ready(service: Service, since: Moment, failed: u32) -> State {
    State::Ready {
        run: run(service),
        since,
        settles: None,
        checks: Checks {
            failed,
            found: "HTTP 503".into(),
        },
    }
}

/// Each sort of state, under each goal that makes a difference to it.
fn states() -> Vec<(&'static str, Node)> {
    let mut states = Vec::new();
    let mut add = |title, declaration: Service, goal, state| {
        states.push((title, node(declaration, goal, state)));
    };

    let whys = [
        ("not started", Goal::Down, Why::NotStarted),
        ("stopped", Goal::Down, Why::Stopped),
        (
            "ended well",
            Goal::Up,
            Why::EndedWell("exited with 0".into()),
        ),
        ("failed", Goal::Up, Why::Failed("exited with 1".into())),
        ("blocked", Goal::Up, Why::Blocked("no such file".into())),
        (
            "blocked by a dependency",
            Goal::Up,
            Why::Dependency(hopeless("db")),
        ),
    ];
    for (title, goal, why) in whys {
        add(title, process("a"), goal, State::Down(why));
    }
    add(
        "completed",
        task("a"),
        Goal::Up,
        State::Down(Why::Completed),
    );
    let not_here = || {
        let mut service = process("a");
        service.when.unmet = Some("X is not set".into());
        service
    };
    add("skipped", not_here(), Goal::Up, State::Down(Why::Skipped));
    add(
        "ready, to be skipped",
        not_here(),
        Goal::Up,
        ready(process("a"), NOW, 0),
    );
    add(
        "stopping, to be skipped",
        not_here(),
        Goal::Up,
        State::Stopping {
            run: run(process("a")),
            stage: Stage::Grace { until: later() },
            cause: Cause::Ordered,
        },
    );
    add("waiting", process("a"), Goal::Up, State::Waiting);

    let spawning = |service| State::Spawning { run: run(service) };
    add("spawning", process("a"), Goal::Up, spawning(process("a")));
    add(
        "spawning, with a probe",
        probed("a"),
        Goal::Up,
        spawning(probed("a")),
    );
    add("spawning a task", task("a"), Goal::Up, spawning(task("a")));
    add(
        "spawning, has to go",
        process("a"),
        Goal::Down,
        spawning(process("a")),
    );

    let starting = |service, give_up| State::Starting {
        run: run(service),
        give_up,
        last: Some("connection refused".into()),
    };
    add(
        "starting",
        probed("a"),
        Goal::Up,
        starting(probed("a"), Some(later())),
    );
    add(
        "starting, deadline passed",
        probed("a"),
        Goal::Up,
        starting(probed("a"), Some(NOW)),
    );
    add(
        "starting, deadline passed, has to go",
        probed("a"),
        Goal::Down,
        starting(probed("a"), Some(NOW)),
    );
    add(
        "starting a task",
        task("a"),
        Goal::Up,
        starting(task("a"), None),
    );

    let a = || process("a");
    let long = Moment::ORIGIN;
    add("ready", a(), Goal::Up, ready(a(), NOW, 0));
    add("ready for long", a(), Goal::Up, ready(a(), long, 0));
    add("ready, has to go", a(), Goal::Down, ready(a(), NOW, 0));
    let patient = || Service {
        settle: Duration::from_secs(5),
        ..a()
    };
    let settling = |settles| State::Ready {
        run: run(patient()),
        since: NOW,
        settles: Some(settles),
        checks: Checks::default(),
    };
    let spawned = State::Spawning {
        run: run(patient()),
    };
    add("spawning, settles later", patient(), Goal::Up, spawned);
    add("settling", patient(), Goal::Up, settling(later()));
    add(
        "settling, lived long enough",
        patient(),
        Goal::Up,
        settling(NOW),
    );
    add(
        "settling, has to go",
        patient(),
        Goal::Down,
        settling(later()),
    );
    let always = || {
        let mut service = patient();
        service.restart.policy = Policy::Always;
        service
    };
    add(
        "settling, always restarted",
        always(),
        Goal::Up,
        settling(later()),
    );
    let early = |service: Service, code| {
        let state = State::Stopping {
            run: run(service.clone()),
            stage: Stage::Grace { until: later() },
            cause: Cause::EndedEarly(Ended::Exit(Exit::Code(code))),
        };
        (service, Goal::Up, state)
    };
    let (service, goal, state) = early(patient(), 0);
    add("stopping: ended early and well", service, goal, state);
    let (service, goal, state) = early(patient(), 1);
    add("stopping: ended early", service, goal, state);
    let (service, goal, state) = early(always(), 0);
    add(
        "stopping: ended early and well, always restarted",
        service,
        goal,
        state,
    );
    let strict = || checked(process("a"), HealthAction::Restart);
    let lenient = || checked(process("a"), HealthAction::Report);
    for (title, service, goal, since, failed) in [
        ("ready, checked", strict(), Goal::Up, NOW, 0),
        ("ready, at the last check", strict(), Goal::Up, NOW, 2),
        (
            "ready, at the last check, has to go",
            strict(),
            Goal::Down,
            NOW,
            2,
        ),
        (
            "ready for long, at the last check",
            strict(),
            Goal::Up,
            long,
            2,
        ),
        (
            "ready, reported at the next check",
            lenient(),
            Goal::Up,
            NOW,
            2,
        ),
        ("unhealthy", lenient(), Goal::Up, NOW, 3),
    ] {
        add(title, service.clone(), goal, ready(service, since, failed));
    }

    let stopping = |stage, cause| State::Stopping {
        run: run(process("a")),
        stage,
        cause,
    };
    let grace = |until| Stage::Grace { until };
    let failed = || Cause::Ended(Ended::Exit(Exit::Code(1)));
    let timeout = || Cause::StartTimeout("not ready after 30s".into());
    add(
        "stopping: ordered, in grace",
        process("a"),
        Goal::Down,
        stopping(grace(later()), Cause::Ordered),
    );
    add(
        "stopping: ordered, grace passed",
        process("a"),
        Goal::Down,
        stopping(grace(NOW), Cause::Ordered),
    );
    add(
        "stopping: it failed",
        process("a"),
        Goal::Up,
        stopping(grace(later()), failed()),
    );
    add(
        "stopping: start timeout",
        process("a"),
        Goal::Up,
        stopping(grace(later()), timeout()),
    );
    add(
        "stopping: it failed, killed, bound passed",
        process("a"),
        Goal::Up,
        stopping(Stage::Killed { until: NOW }, failed()),
    );
    let stuck = || Stage::Stuck {
        survivors: vec![survivor()],
    };
    add(
        "stuck, down",
        process("a"),
        Goal::Down,
        stopping(stuck(), Cause::Ordered),
    );
    add(
        "stuck, up",
        process("a"),
        Goal::Up,
        stopping(stuck(), failed()),
    );

    let backoff = |until| State::Backoff {
        until,
        why: "exited with 1; failure 1 of 10".into(),
    };
    add("backing off", process("a"), Goal::Up, backoff(later()));
    add(
        "backing off, delay passed",
        process("a"),
        Goal::Up,
        backoff(NOW),
    );

    let with_runs: Vec<(&'static str, Node)> = states
        .iter()
        .filter_map(|(title, node)| Some((replaced(title)?, node.clone())))
        .map(|(title, mut node)| {
            node.generation = node.generation.next();
            (title, node)
        })
        .collect();
    states.extend(with_runs);
    states
}

/// What a state is called when its run is of an older generation.
fn replaced(title: &str) -> Option<&'static str> {
    Some(match title {
        "spawning" => "spawning, to be replaced",
        "starting, deadline passed" => "starting, deadline passed, to be replaced",
        "ready" => "ready, to be replaced",
        "ready, at the last check" => "ready, at the last check, to be replaced",
        "ready, to be skipped" => "ready, to be replaced by nothing",
        "stopping, to be skipped" => "stopping, to be replaced by nothing",
        "stopping: it failed" => "stopping: it failed, to be replaced",
        _ => return None,
    })
}

fn hopeless(dependency: &str) -> Hopeless {
    Hopeless {
        through: name(dependency),
        root: name(dependency),
        what: "failed: exited with 1".into(),
    }
}

fn survivor() -> Survivor {
    Survivor {
        pid: 812,
        command: "node".into(),
        user: "root".into(),
        reason: "in uninterruptible sleep".into(),
        is_killed: true,
    }
}

fn inputs(node: &Node) -> Vec<(&'static str, Input)> {
    let same = || Arc::clone(&node.declaration);
    let changed = || {
        let mut service = Service::clone(&node.declaration);
        service.command = Command::Shell("other".into());
        Arc::new(service)
    };
    let updated = || {
        let mut service = Service::clone(&node.declaration);
        service.stop.timeout = Duration::from_secs(3);
        Arc::new(service)
    };
    let skipped = || {
        let mut service = Service::clone(&node.declaration);
        service.when.unmet = Some("X is not set".into());
        Arc::new(service)
    };
    let up = |service, is_restart| {
        Input::Order(Order::Up {
            service,
            is_restart,
        })
    };
    let failure = |is_blocked| {
        Input::Run(RunEvent::SpawnFailed(StartFailure {
            stage: "finding the executable".into(),
            message: "no such file".into(),
            is_blocked,
        }))
    };
    let exited = |code| Input::Run(RunEvent::Exited(Ended::Exit(Exit::Code(code))));
    vec![
        ("up", up(same(), false)),
        ("up, changed", up(changed(), false)),
        ("up, updated", up(updated(), false)),
        ("restart", up(same(), true)),
        ("skip", Input::Order(Order::Skip(skipped()))),
        ("down", Input::Order(Order::Down)),
        ("declare", Input::Order(Order::Declare(updated()))),
        ("hurry", Input::Order(Order::Hurry)),
        (
            "may spawn",
            Input::Finding(Finding::MaySpawn {
                run: RunId(8),
                given: Given::default(),
            }),
        ),
        (
            "is out of date",
            Input::Finding(Finding::IsOutOfDate {
                why: "`db` was restarted".into(),
                given: Given::default(),
            }),
        ),
        ("is up to date", Input::Finding(Finding::IsUpToDate)),
        (
            "must go",
            Input::Finding(Finding::MustGo("its supervisor was killed".into())),
        ),
        (
            "is hopeless",
            Input::Finding(Finding::IsHopeless(hopeless("db"))),
        ),
        (
            "is hopeless otherwise",
            Input::Finding(Finding::IsHopeless(hopeless("cache"))),
        ),
        ("may hope", Input::Finding(Finding::MayHope)),
        ("may stop", Input::Finding(Finding::MayStop)),
        ("was cut short", Input::Finding(Finding::WasCutShort)),
        ("deadline", Input::Deadline),
        ("Spawned", Input::Run(RunEvent::Spawned)),
        ("SpawnFailed", failure(false)),
        ("SpawnFailed, blocked", failure(true)),
        ("Ready", Input::Run(RunEvent::Ready)),
        (
            "NotReady",
            Input::Run(RunEvent::NotReady("HTTP 503".into())),
        ),
        (
            "Extended",
            Input::Run(RunEvent::Extended(Duration::from_secs(100))),
        ),
        (
            "Exported",
            Input::Run(RunEvent::Exported([("id".into(), "1".into())].into())),
        ),
        ("Healthy", Input::Run(RunEvent::Healthy)),
        (
            "Unwell",
            Input::Run(RunEvent::Unwell("connection refused".into())),
        ),
        ("Exited(0)", exited(0)),
        ("Exited(1)", exited(1)),
        (
            "Exited(unknown)",
            Input::Run(RunEvent::Exited(Ended::Unknown)),
        ),
        ("Gone", Input::Run(RunEvent::Gone)),
        ("Examined", Input::Run(RunEvent::Examined(Vec::new()))),
        (
            "Examined, lacks",
            Input::Run(RunEvent::Examined(vec!["no such program".into()])),
        ),
        (
            "Left",
            Input::Run(RunEvent::Left(LeftBehind {
                count: 1,
                processes: vec![LeftProcess {
                    pid: 813,
                    command: "postgres".into(),
                }],
            })),
        ),
        ("Survived", Input::Run(RunEvent::Survived(vec![survivor()]))),
    ]
}

struct Transition {
    before: Node,
    after: Node,
    input: Input,
    effects: Vec<Effect>,
    is_changed: bool,
}

fn take(before: &Node, input: &Input) -> Transition {
    let mut after = before.clone();
    let mut effects = Vec::new();
    let is_changed = after.step(
        input.clone(),
        &mut Context {
            now: NOW,
            is_hurried: false,
            jitter: &mut Jitter::new(1),
            effects: &mut effects,
            transitions: &mut Vec::new(),
        },
    );
    Transition {
        before: before.clone(),
        after,
        input: input.clone(),
        effects,
        is_changed,
    }
}

#[test]
fn the_table() {
    let mut table = String::new();
    for (title, node) in states() {
        let _ = writeln!(table, "{title}");
        let mut nothing = Vec::new();
        for (input, what) in inputs(&node) {
            let transition = take(&node, &what);
            if transition.is_changed {
                let _ = writeln!(table, "  {input:<22} {}", describe(&transition));
            } else {
                nothing.push(input);
            }
        }
        let _ = writeln!(table, "  nothing: {}\n", nothing.join(", "));
    }
    insta::assert_snapshot!(table);
}

fn every_transition() -> impl Iterator<Item = Transition> {
    states().into_iter().flat_map(|(_, node)| {
        let inputs = inputs(&node).into_iter();
        inputs.map(move |(_, input)| take(&node, &input))
    })
}

#[test]
fn nothing_means_nothing() {
    for transition in every_transition().filter(|transition| !transition.is_changed) {
        assert_eq!(
            transition.before, transition.after,
            "{:?}",
            transition.input
        );
        assert_eq!(transition.effects, [], "{:?}", transition.input);
    }
}

#[test]
fn only_gone_or_a_failed_spawn_ends_a_run() {
    for transition in every_transition() {
        let had = transition.before.run().map(|run| run.id);
        let has = transition.after.run().map(|run| run.id);
        let ends = matches!(
            transition.input,
            Input::Run(RunEvent::Gone | RunEvent::SpawnFailed(_))
                | Input::Finding(Finding::WasCutShort)
        );
        assert!(
            had.is_none() || had == has || ends,
            "{:?} after {:?}",
            transition.after.state,
            transition.input
        );
    }
}

#[test]
fn a_run_begins_in_waiting_only_and_with_one_spawn() {
    for transition in every_transition() {
        let begins = transition.before.run().is_none() && transition.after.run().is_some();
        let spawns = transition.effects.iter();
        let spawns = spawns.filter(|effect| matches!(effect, Effect::Spawn { .. }));
        assert_eq!(spawns.count(), usize::from(begins));
        assert!(!begins || transition.before.state == State::Waiting);
    }
}

#[test]
fn a_run_that_ends_by_itself_leaves_through_stopping_with_a_signal_to_the_rest() {
    for transition in every_transition() {
        let exits = matches!(transition.input, Input::Run(RunEvent::Exited(_)));
        if exits && transition.before.is_running() {
            assert!(matches!(transition.after.state, State::Stopping { .. }));
            assert!(matches!(transition.effects[..], [Effect::Terminate { .. }]));
        }
    }
}

fn describe(transition: &Transition) -> String {
    let Transition {
        before,
        after,
        effects,
        ..
    } = transition;
    let mut text = state(&after.state);
    if before.state == after.state {
        text = "same".into();
    }
    if before.goal != after.goal {
        let _ = write!(text, ", goal {:?}", after.goal);
    }
    if before.generation != after.generation {
        text += ", next generation";
    }
    if before.declaration != after.declaration {
        text += ", declaration";
    }
    if before.exports != after.exports {
        text += ", exports";
    }
    if before.has_been_ready != after.has_been_ready {
        text += ", has been ready";
    }
    if before.left_behind != after.left_behind {
        text += ", left behind";
    }
    if before.restarts != after.restarts {
        let _ = write!(text, ", restarts {}", after.restarts);
    }
    for effect in effects {
        text += match effect {
            Effect::Spawn { .. } => " => Spawn",
            Effect::Adopt { .. } => " => Adopt",
            Effect::Redeclare { .. } => " => Redeclare",
            Effect::Examine { .. } => " => Examine",
            Effect::Terminate { .. } => " => Terminate",
            Effect::Kill { .. } => " => Kill",
            Effect::Announce(_) => " => Announce",
            Effect::Note(_) => " => Note",
        };
    }
    text
}

fn state(state: &State) -> String {
    match state {
        State::Down(Why::NotStarted) => "down: not started".into(),
        State::Down(Why::Stopped) => "down: stopped".into(),
        State::Down(Why::Skipped) => "down: skipped".into(),
        State::Down(Why::Completed) => "down: completed".into(),
        State::Down(Why::EndedWell(why)) => format!("down: ended well ({why})"),
        State::Down(Why::Failed(why)) => format!("down: failed ({why})"),
        State::Down(Why::Blocked(why)) => format!("down: blocked ({why})"),
        State::Down(Why::Dependency(on)) => format!("down: `{}` {}", on.root, on.what),
        State::Waiting => "waiting".into(),
        State::Spawning { .. } => "spawning".into(),
        State::Starting { give_up, last, .. } => {
            format!("starting, {}, last {last:?}", until(*give_up))
        }
        State::Ready {
            since,
            settles: Some(settles),
            ..
        } => format!(
            "ready since {}, settles {}",
            until(Some(*since)),
            until(Some(*settles))
        ),
        State::Ready { since, checks, .. } if checks.failed == 0 => {
            format!("ready since {}", until(Some(*since)))
        }
        State::Ready { since, checks, .. } => format!(
            "ready since {}, {} failed checks",
            until(Some(*since)),
            checks.failed
        ),
        State::Stopping { stage, cause, .. } => {
            let stage = match stage {
                Stage::Grace { until: end } => format!("grace {}", until(Some(*end))),
                Stage::Killed { until: end } => format!("killed {}", until(Some(*end))),
                Stage::Stuck { survivors } => format!("stuck with {}", survivors.len()),
            };
            format!("stopping, {stage}, {cause:?}")
        }
        State::Backoff { until: end, why } => format!("backoff {}, {why}", until(Some(*end))),
    }
}

fn until(moment: Option<Moment>) -> String {
    match moment {
        None => "no deadline".into(),
        Some(moment) if moment < NOW => format!("-{:?}", NOW.since(moment)),
        Some(moment) => format!("+{:?}", moment.since(NOW)),
    }
}
