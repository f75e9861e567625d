//! What a plan says, and that what it says is what happens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use baudbot::graph::Graph;
use baudbot::id::ServiceName;
use baudbot::machine::StateWord;
use baudbot::manifest::model::{Command, Condition, Kind, Manifest, Service};
use baudbot::plan::{self, Action, Observed, Order, Plan, Selector};

use crate::declare::{in_group, manifest, name, needs, process, task};
use crate::fake::Script;
use crate::life::{Draft, Edit, edit, life_without_scripts};
use crate::oracle::Verdict;
use crate::world::World;

fn selectors(texts: &[&str]) -> Vec<Selector> {
    let parsed = texts.iter().map(|text| text.parse());
    parsed
        .map(|selector| selector.expect("a selector"))
        .collect()
}

/// One line a wave: `start db (new); start web (new)`.
fn lines(plan: &Plan) -> Vec<String> {
    let waves = plan.waves.iter().map(|wave| {
        let steps = wave.iter().map(|step| {
            let action = format!("{:?}", step.action).to_lowercase();
            format!("{action} {} ({})", step.service, step.reason)
        });
        steps.collect::<Vec<_>>().join("; ")
    });
    waves.collect()
}

/// What is planned before anything runs.
fn first_plan(order: Order, selection: &[&str], manifest: &Manifest) -> Vec<String> {
    let graph = Graph::new(manifest).expect("no cycle");
    let observed = Observed::default();
    let selection = selectors(selection);
    lines(&plan::plan(order, &selection, manifest, &graph, &observed).expect("known names"))
}

/// Brings `before` up and plans for `after`.
fn next_plan(
    before: &Manifest,
    scripts: &[(&str, Script)],
    order: Order,
    selection: &[&str],
    after: &Manifest,
) -> Vec<String> {
    let mut world = settled(before, scripts);
    let graph = Graph::new(after).expect("no cycle");
    let observed = world.project.observed();
    let selection = selectors(selection);
    let plan = plan::plan(order, &selection, after, &graph, &observed).expect("known names");
    world.down().expect("an ordinary life");
    lines(&plan)
}

fn settled(manifest: &Manifest, scripts: &[(&str, Script)]) -> World {
    let scripts: BTreeMap<ServiceName, Vec<Script>> = scripts
        .iter()
        .map(|(service, script)| (name(service), vec![script.clone()]))
        .collect();
    let mut world = World::new(manifest.clone(), scripts, Duration::ZERO, 1);
    world
        .order(Order::Up, &[], manifest)
        .expect("an ordinary life");
    world.rest().expect("an ordinary life");
    world
}

/// `web` and `jobs` need `db`; `web` needs `migrate`, which needs `db`; `lone` needs nothing.
fn shop() -> Manifest {
    manifest([
        needs(
            needs(in_group(process("web"), "front"), "db", Condition::Ready),
            "migrate",
            Condition::Completed,
        ),
        needs(task("migrate"), "db", Condition::Ready),
        process("db"),
        needs(process("jobs"), "db", Condition::Started),
        process("lone"),
    ])
}

fn with(mut manifest: Manifest, service: &str, edit: impl FnOnce(&mut Service)) -> Manifest {
    edit(&mut manifest.services[&name(service)]);
    manifest
}

#[test]
fn everything_is_new_at_first() {
    assert_eq!(
        first_plan(Order::Up, &[], &shop()),
        [
            "start db (new); start lone (new)",
            "start migrate (new); start jobs (new)",
            "start web (new)",
        ]
    );
    assert!(first_plan(Order::Down, &[], &shop()).is_empty());
}

#[test]
fn a_selection_brings_along_what_it_needs_and_says_for_whom() {
    assert_eq!(
        first_plan(Order::Up, &["@front"], &shop()),
        [
            "start db (needed by `web`, `migrate`)",
            "start migrate (needed by `web`)",
            "start web (new)",
        ]
    );
}

#[test]
fn an_edit_touches_what_it_changes_and_says_which_fields_but_never_their_values() {
    let after = with(shop(), "web", |web| {
        web.command = Command::Shell("other".into());
        web.env.set.insert("TOKEN".into(), "secret".into());
        web.restart.delay = Duration::from_secs(9);
    });
    let after = with(after, "jobs", |jobs| {
        jobs.stop.timeout = Duration::from_secs(1);
        jobs.description = Some("does the jobs".into());
    });
    let after = with(after, "lone", |lone| {
        lone.description = Some("alone".into());
    });
    assert_eq!(
        next_plan(&shop(), &[], Order::Up, &[], &after),
        [
            "keep db (unchanged); keep lone (unchanged)",
            "keep migrate (unchanged, completed); \
             keep jobs (updated without restart: stop.timeout)",
            "restart web (changed: command, env.TOKEN, restart.delay)",
        ]
    );
}

#[test]
fn what_left_the_manifest_is_stopped_first_unless_there_is_a_selection() {
    let after = manifest([process("db"), process("new")]);
    assert_eq!(
        next_plan(&shop(), &[], Order::Up, &[], &after),
        [
            "stop web (no longer in the manifest)",
            "stop jobs (no longer in the manifest); \
             stop lone (no longer in the manifest); stop migrate (no longer in the manifest)",
            "keep db (unchanged); start new (new)",
        ]
    );
    assert_eq!(
        next_plan(&shop(), &[], Order::Up, &["new"], &after),
        ["start new (new)"]
    );
}

#[test]
fn what_failed_is_tried_again_and_says_what_failed() {
    let mut failing = Script::ends(3);
    failing.stragglers = crate::fake::Stragglers::None;
    let shop = with(shop(), "migrate", |migrate| migrate.depends_on.clear());
    assert_eq!(
        next_plan(&shop, &[("migrate", failing)], Order::Up, &["web"], &shop),
        [
            "start migrate (failed before: exited with 3); keep db (unchanged)",
            "start web (was blocked: dependency `migrate` failed: exited with 3)",
        ]
    );
}

#[test]
fn down_takes_along_what_needs_it() {
    assert_eq!(
        next_plan(&shop(), &[], Order::Down, &["migrate"], &shop()),
        ["stop web (needs `migrate`)", "stop migrate (asked)"]
    );
    assert_eq!(
        next_plan(&shop(), &[], Order::Down, &["@front"], &shop()),
        ["stop web (asked)"]
    );
    assert_eq!(
        next_plan(&shop(), &[], Order::Down, &[], &shop()),
        [
            "stop web (asked)",
            "stop jobs (asked); stop migrate (asked)",
            "stop db (asked); stop lone (asked)",
        ]
    );
}

#[test]
fn down_follows_what_runs_and_not_what_the_manifest_says_now() {
    let after = with(shop(), "web", |web| web.depends_on.clear());
    assert_eq!(
        next_plan(&shop(), &[], Order::Down, &["migrate"], &after),
        ["stop web (needs `migrate`)", "stop migrate (asked)"]
    );
}

#[test]
fn down_of_what_does_not_run_says_so() {
    assert_eq!(
        first_plan(Order::Down, &["web"], &shop()),
        ["keep web (not running)"]
    );
}

#[test]
fn restart_is_about_what_is_asked_and_starts_what_that_needs() {
    let after = with(shop(), "db", |db| {
        db.command = Command::Shell("other".into());
        db.log.keep = 2;
    });
    assert_eq!(
        next_plan(&shop(), &[], Order::Restart, &["web"], &after),
        [
            "keep db (not asked, though changed: command, log.keep)",
            "keep migrate (unchanged, completed)",
            "restart web (asked)",
        ]
    );
    assert_eq!(
        next_plan(&shop(), &[], Order::Restart, &["db"], &after),
        ["restart db (asked; changed: command, log.keep)"]
    );
    assert_eq!(
        first_plan(Order::Restart, &["jobs"], &shop()),
        ["start db (needed by `jobs`)", "start jobs (asked)"]
    );
}

/// Found by a random plan: the dependency was kept as a process, and whoever needs its completion
/// was blocked.
#[test]
fn restart_brings_along_what_has_become_a_task() {
    let after = with(shop(), "db", |db| db.kind = Kind::Task);
    let after = with(after, "jobs", |jobs| {
        jobs.depends_on[&name("db")].condition = Condition::Completed;
    });
    assert_eq!(
        next_plan(&shop(), &[], Order::Restart, &["jobs"], &after),
        [
            "restart db (changed: type)",
            "restart jobs (asked; changed: depends_on.db)"
        ]
    );
}

#[test]
fn all_unknown_names_are_told_at_once_with_what_was_meant() {
    let shop = shop();
    let graph = Graph::new(&shop).expect("no cycle");
    let selection = selectors(&["wbe", "db", "@frnt", "front", "nothing-like-it", "wbe"]);
    let unknown = plan::plan(Order::Up, &selection, &shop, &graph, &Observed::default())
        .expect_err("unknown names");
    let told: Vec<(&str, Option<&str>)> = unknown
        .iter()
        .map(|unknown| (unknown.selector.as_str(), unknown.similar.as_deref()))
        .collect();
    assert_eq!(
        told,
        [
            ("wbe", Some("web")),
            ("@frnt", Some("@front")),
            ("front", Some("@front")),
            ("nothing-like-it", None),
        ]
    );
}

#[test]
fn a_group_without_members_is_known() {
    let mut shop = shop();
    let agents = crate::declare::group("agents");
    shop.groups.insert(
        agents.clone(),
        baudbot::manifest::model::Group {
            name: agents,
            description: None,
            cleanup: None,
        },
    );
    assert!(first_plan(Order::Up, &["@agents"], &shop).is_empty());
}

#[test]
fn a_plan_has_the_shape_that_others_rely_on() {
    let shop = manifest([process("db")]);
    let graph = Graph::new(&shop).expect("no cycle");
    let plan = plan::plan(Order::Up, &[], &shop, &graph, &Observed::default());
    let json = serde_json::to_string(&plan.expect("known names")).expect("JSON");
    assert_eq!(
        json,
        r#"{"version":1,"waves":[[{"action":"start","service":"db","reason":"new"}]]}"#
    );
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(150)
    })]

    /// Where nothing fails, what is spawned and signalled is what the plan says, in an order that
    /// the plan allows.
    #[test]
    fn what_the_plan_says_is_what_happens(
        life in life_without_scripts(),
        edits in prop::collection::vec(edit(), 0..4),
        order in prop::sample::select(vec![Order::Up, Order::Restart, Order::Down]),
        picks in prop::collection::vec(0..7_usize, 0..3),
    ) {
        let mut draft = Draft::new(&life);
        let mut world = World::new(draft.manifest(), BTreeMap::new(), Duration::ZERO, life.noise);
        let outcome = first_all_then(&mut world, &mut draft, &edits, order, &picks);
        if let Err(objection) = outcome {
            prop_assert!(false, "{objection}\n{}", world.trace.join("\n"));
        }
    }
}

fn first_all_then(
    world: &mut World,
    draft: &mut Draft,
    edits: &[Edit],
    order: Order,
    picks: &[usize],
) -> Verdict {
    compare(world, Order::Up, &[], &draft.manifest())?;
    let selection = match order {
        Order::Down => world.held(picks),
        Order::Up | Order::Restart => {
            for edit in edits {
                draft.edit(edit);
            }
            draft.selection(picks)
        }
    };
    if selection.is_empty() && !picks.is_empty() {
        return Ok(());
    }
    compare(world, order, &selection, &draft.manifest())
}

/// Carries the order out and compares what happened with what was planned.
fn compare(
    world: &mut World,
    order: Order,
    selection: &[Selector],
    manifest: &Manifest,
) -> Verdict {
    let held = held_declarations(world);
    let live: BTreeSet<ServiceName> = held
        .keys()
        .filter(|name| {
            world
                .project
                .view(name)
                .is_some_and(|view| view.run.is_some())
        })
        .cloned()
        .collect();
    let graph = Graph::new(manifest).map_err(|cycle| cycle.to_string())?;
    let plan = match order {
        Order::Down => world.plan(order, selection)?,
        Order::Up | Order::Restart => {
            let observed = world.project.observed();
            plan::plan(order, selection, manifest, &graph, &observed)
                .map_err(|unknown| format!("{unknown:?}"))?
        }
    };
    let of = |actions: &[Action]| -> BTreeSet<ServiceName> {
        let steps = plan.waves.iter().flatten();
        let steps = steps.filter(|step| actions.contains(&step.action));
        steps.map(|step| step.service.clone()).collect()
    };
    world.spawned.clear();
    world.signalled.clear();
    world.order(order, selection, manifest)?;
    world.rest()?;

    let spawned: BTreeSet<ServiceName> = world.spawned.iter().cloned().collect();
    let mut planned = of(&[Action::Start, Action::Restart]);
    // What needs something that is not to run here is wanted, and blocked.
    planned.retain(|name| {
        let view = world.project.view(name);
        !view.is_some_and(|view| {
            let reason = view.reason.unwrap_or_default();
            view.state == StateWord::Blocked && reason.contains("is skipped")
        })
    });
    if spawned != planned || spawned.len() != world.spawned.len() {
        return Err(format!("spawned {:?}, planned {planned:?}", world.spawned));
    }
    // What ends by itself afterwards, as tasks do, is told to end its stragglers too.
    let ended = of(&[Action::Stop, Action::Restart]);
    let mut stopped: Vec<&ServiceName> = Vec::new();
    for name in &world.signalled {
        if live.contains(name) && !stopped.contains(&name) {
            stopped.push(name);
        }
    }
    let planned: BTreeSet<&ServiceName> = ended.intersection(&live).collect();
    if planned != stopped.iter().copied().collect() {
        return Err(format!("signalled {stopped:?}, planned {planned:?}"));
    }

    let position =
        |names: &[&ServiceName], name: &ServiceName| names.iter().position(|other| *other == name);
    let spawns: Vec<&ServiceName> = world.spawned.iter().collect();
    for dependent in &spawns {
        // What is kept in between holds nothing up: its own condition holds.
        for needed in graph.direct_dependencies(dependent) {
            if position(&spawns, needed) > position(&spawns, dependent) {
                return Err(format!("`{dependent}` was spawned before `{needed}`"));
            }
        }
    }
    let held_now = held_declarations(world);
    let declarations = held.into_iter().chain(held_now).collect::<BTreeMap<_, _>>();
    let graph = Graph::of_declarations(declarations.values());
    for dependent in &stopped {
        for needed in graph.dependencies_of([*dependent]) {
            let needed_at = position(&stopped, &needed);
            if needed_at.is_some_and(|at| Some(at) < position(&stopped, dependent)) {
                return Err(format!("`{needed}` was stopped before `{dependent}`"));
            }
        }
    }
    let waves = || plan.waves.iter().enumerate();
    let wave_of = |name: &ServiceName| {
        let mut waves = waves();
        waves.find_map(|(at, wave)| wave.iter().any(|step| step.service == *name).then_some(at))
    };
    for step in plan.waves.iter().flatten() {
        for needed in graph.dependencies_of([&step.service]) {
            let (Some(at), Some(needed_at)) = (wave_of(&step.service), wave_of(&needed)) else {
                continue;
            };
            let is_right = match step.action {
                _ if needed == step.service => true,
                Action::Stop => at < needed_at,
                Action::Start | Action::Restart | Action::Keep => needed_at < at,
            };
            if order != Order::Down && !is_right {
                return Err(format!(
                    "{step:?} is not in the wave that `{needed}` asks for"
                ));
            }
        }
    }
    Ok(())
}

fn held_declarations(world: &World) -> BTreeMap<ServiceName, Service> {
    let held = world.project.observed().services.into_iter();
    held.map(|(name, held)| (name, Service::clone(&held.service)))
        .collect()
}
