//! Lives by hand: what the design promises, told one promise at a time, and what random lives broke
//! once. The oracle looks on here too.

use std::collections::BTreeMap;
use std::time::Duration;

use baudbot::id::ServiceName;
use baudbot::machine::{Goal, StateWord, View};
use baudbot::manifest::model::{Command, Condition, Exit, Manifest, Policy, Service};
use baudbot::plan::{Order, Selector};

use crate::declare::{manifest, name, needs, probed, process, task};
use crate::fake::{Answer, OnKill, Script, Stragglers};
use crate::oracle::Verdict;
use crate::world::World;

fn world(manifest: &Manifest, scripts: &[(&str, &[Script])]) -> World {
    let scripts: BTreeMap<ServiceName, Vec<Script>> = scripts
        .iter()
        .map(|(service, scripts)| (name(service), scripts.to_vec()))
        .collect();
    World::new(manifest.clone(), scripts, Duration::ZERO, 1)
}

fn up(world: &mut World, manifest: &Manifest) -> Verdict {
    world.order(Order::Up, &[], manifest)
}

fn only(service: &str) -> [Selector; 1] {
    [Selector::Service(name(service))]
}

fn view(world: &World, service: &str) -> View {
    world.project.view(&name(service)).expect("a held service")
}

fn state(world: &World, service: &str) -> StateWord {
    view(world, service).state
}

fn reason(world: &World, service: &str) -> String {
    view(world, service).reason.unwrap_or_default()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// `web` needs `api` needs `db`.
fn chain() -> Manifest {
    manifest([
        needs(process("web"), "api", Condition::Ready),
        needs(process("api"), "db", Condition::Ready),
        process("db"),
    ])
}

fn changed(mut service: Service) -> Service {
    service.command = Command::Shell("other".into());
    service
}

fn names(names: &[ServiceName]) -> Vec<&str> {
    names.iter().map(ServiceName::as_str).collect()
}

#[test]
fn starts_go_up_the_chain_and_stops_down() -> Verdict {
    let mut world = world(&chain(), &[]);
    up(&mut world, &chain())?;
    assert_eq!(reason(&world, "web"), "waits for `api` (ready)");
    world.rest()?;
    assert_eq!(names(&world.spawned), ["db", "api", "web"]);
    world.order(Order::Down, &[], &chain())?;
    assert_eq!(reason(&world, "db"), "is stopped after `api`");
    world.down()?;
    assert_eq!(names(&world.signalled), ["web", "api", "db"]);
    Ok(())
}

#[test]
fn a_start_timeout_names_the_limit_and_what_the_probe_found_last() -> Verdict {
    let never_ready = Script {
        ready_after: None,
        ..Script::well()
    };
    let mut db = probed("db");
    db.restart.policy = Policy::Never;
    let web = needs(process("web"), "db", Condition::Ready);
    let manifest = manifest([db, web]);
    let mut world = world(&manifest, &[("db", &[never_ready])]);
    up(&mut world, &manifest)?;
    world.rest()?;
    let why = "not ready after 30s: connection refused";
    assert_eq!(
        (state(&world, "db"), reason(&world, "db")),
        (StateWord::Failed, why.into())
    );
    assert_eq!(state(&world, "web"), StateWord::Blocked);
    assert_eq!(
        reason(&world, "web"),
        format!("dependency `db` failed: {why}")
    );
    Ok(())
}

#[test]
fn a_goal_of_down_suspends_the_start_deadline() -> Verdict {
    // `db` is being started again while `web`, which once needed it, still stops.
    let db = Script {
        ends_after: Some((1_000, baudbot::machine::Ended::Unknown)),
        ..Script::well()
    };
    let never_ready = Script {
        ready_after: None,
        ..Script::well()
    };
    let slow = Script {
        heeds_term_after: Some(9_000),
        ..Script::well()
    };
    let mut database = probed("db");
    database.ready.as_mut().expect("a probe").timeout = Some(seconds(5));
    let manifest = manifest([database, needs(process("web"), "db", Condition::Ready)]);
    let mut world = world(&manifest, &[("db", &[db, never_ready]), ("web", &[slow])]);
    up(&mut world, &manifest)?;
    world.pass(seconds(4))?;
    assert_eq!(state(&world, "db"), StateWord::Starting);
    world.order(Order::Down, &[], &manifest)?;
    world.pass(seconds(8))?;
    assert_eq!(
        state(&world, "db"),
        StateWord::Starting,
        "past its start deadline"
    );
    assert_eq!(names(&world.signalled), ["db", "web"]);
    world.down()
}

#[test]
fn a_root_that_failed_is_named_through_the_whole_chain_and_retried_by_up() -> Verdict {
    let blocked = Script {
        answer: Answer::Blocked,
        ..Script::well()
    };
    let mut world = world(&chain(), &[("db", &[blocked])]);
    up(&mut world, &chain())?;
    world.rest()?;
    assert_eq!(
        reason(&world, "api"),
        "dependency `db` is blocked: finding the executable: no such file"
    );
    assert_eq!(
        reason(&world, "web"),
        "dependency `api` is blocked: `db` is blocked: finding the executable: no such file"
    );
    // Only `db` is asked for; who was blocked by it gets another chance all the same.
    world.order(Order::Up, &only("db"), &chain())?;
    assert_eq!(state(&world, "web"), StateWord::Waiting);
    world.rest()?;
    assert_eq!(state(&world, "web"), StateWord::Ready);
    Ok(())
}

#[test]
fn a_dependency_in_backoff_keeps_its_waiters_waiting() -> Verdict {
    let mut manifest = chain();
    manifest.services[&name("api")].ready = probed("api").ready;
    let fails_early = Script {
        ready_after: Some(300),
        ..Script::ends(1)
    };
    let mut world = world(&manifest, &[("api", &[fails_early.clone(), fails_early])]);
    up(&mut world, &manifest)?;
    world.pass(Duration::from_millis(500))?;
    assert_eq!(reason(&world, "api"), "exited with 1; failure 1 of 10");
    assert_eq!(state(&world, "web"), StateWord::Waiting);
    world.rest()?;
    assert_eq!(state(&world, "web"), StateWord::Ready);
    assert_eq!(view(&world, "api").restarts, 2);
    Ok(())
}

#[test]
fn failures_in_a_row_have_a_limit_and_a_stable_run_forgets_them() -> Verdict {
    let mut a = process("a");
    a.restart.max_failures = Some(3);
    let manifest = manifest([a]);
    let stable = Script {
        ends_after: Some((61_000, baudbot::machine::Ended::Exit(Exit::Code(1)))),
        ..Script::well()
    };
    let fails = Script::ends(1);
    let scripts = [fails.clone(), fails.clone(), stable, fails.clone(), fails];
    let mut world = world(&manifest, &[("a", &scripts)]);
    up(&mut world, &manifest)?;
    world.rest()?;
    assert_eq!(world.spawned.len(), 5);
    assert_eq!(state(&world, "a"), StateWord::Failed);
    assert_eq!(
        reason(&world, "a"),
        "exited with 1; gave up after 3 failures in a row"
    );
    Ok(())
}

#[test]
fn a_task_counts_until_down_or_a_change() -> Verdict {
    let before = manifest([
        task("migrate"),
        needs(process("web"), "migrate", Condition::Completed),
    ]);
    let mut world = world(&before, &[]);
    up(&mut world, &before)?;
    world.rest()?;
    up(&mut world, &before)?;
    world.rest()?;
    assert_eq!(names(&world.spawned), ["migrate", "web"]);

    let after = manifest([
        changed(task("migrate")),
        needs(process("web"), "migrate", Condition::Completed),
    ]);
    up(&mut world, &after)?;
    world.rest()?;
    assert_eq!(names(&world.spawned), ["migrate", "web", "migrate"]);

    world.down()?;
    up(&mut world, &after)?;
    world.rest()?;
    assert_eq!(world.spawned.len(), 5);
    Ok(())
}

#[test]
fn what_the_leader_leaves_behind_is_ended_before_the_next_run() -> Verdict {
    let leaves = Script {
        stragglers: Stragglers::Ignore,
        ..Script::ends(1)
    };
    let manifest = manifest([process("a")]);
    let mut world = world(&manifest, &[("a", &[leaves])]);
    up(&mut world, &manifest)?;
    world.pass(seconds(5))?;
    assert_eq!(state(&world, "a"), StateWord::Stopping);
    assert_eq!(reason(&world, "a"), "exited with 1; stop signal sent");
    world.rest()?;
    assert_eq!(world.spawned.len(), 2);
    assert_eq!(
        world.now.since_origin().as_secs(),
        11,
        "10 s of grace, 1 s of delay"
    );
    Ok(())
}

#[test]
fn what_outlives_kill_is_named_holds_up_nothing_and_is_killed_again_when_asked() -> Verdict {
    let survives = Script {
        heeds_term_after: None,
        on_kill: OnKill::Survives,
        ..Script::well()
    };
    let mut world = world(&chain(), &[("web", &[survives])]);
    up(&mut world, &chain())?;
    world.rest()?;
    world.down()?;
    assert_eq!(state(&world, "db"), StateWord::Inactive);
    let stuck = view(&world, "web");
    assert!(stuck.is_stuck);
    assert_eq!(stuck.reason.as_deref(), Some("1 process outlives KILL"));
    assert_eq!(stuck.survivors[0].reason, "in uninterruptible sleep");
    assert!(!world.project.is_down());

    // Asked for again, it cannot start; what waits for it would wait for ever and is told so.
    let kills = world.count("Kill web");
    up(&mut world, &chain())?;
    assert_eq!(world.count("Kill web"), kills + 1);
    world.rest()?;
    assert!(view(&world, "web").is_stuck);
    assert_eq!(state(&world, "api"), StateWord::Ready);
    Ok(())
}

#[test]
fn who_waits_for_what_is_stuck_is_blocked() -> Verdict {
    let silent = Script {
        heeds_term_after: None,
        on_kill: OnKill::Silence,
        ..Script::well()
    };
    let mut world = world(&chain(), &[("db", &[silent])]);
    up(&mut world, &chain())?;
    world.rest()?;
    world.order(Order::Restart, &[], &chain())?;
    world.rest()?;
    assert_eq!(
        reason(&world, "api"),
        "dependency `db` cannot be started: its last run outlives KILL"
    );
    Ok(())
}

#[test]
fn hurry_kills_at_once_whatever_the_order() -> Verdict {
    let ignores = Script {
        heeds_term_after: None,
        ..Script::well()
    };
    let mut world = world(&chain(), &[("web", &[ignores])]);
    up(&mut world, &chain())?;
    world.rest()?;
    world.order(Order::Down, &[], &chain())?;
    world.pass(seconds(1))?;
    let began = world.now;
    world.hurry()?;
    world.rest()?;
    assert!(world.project.is_down());
    assert!(world.now.since(began) < seconds(1));
    Ok(())
}

#[test]
fn hurry_lasts_until_the_next_order() -> Verdict {
    let mut world = world(&chain(), &[]);
    up(&mut world, &chain())?;
    world.rest()?;
    world.hurry()?;
    world.order(Order::Restart, &only("web"), &chain())?;
    world.rest()?;
    assert_eq!(world.count("-> Terminate web"), 1);
    assert_eq!(world.count("-> Kill"), 0);

    world.order(Order::Down, &[], &chain())?;
    world.hurry()?;
    world.rest()?;
    assert_eq!(
        world.count("-> Terminate"),
        2,
        "`web` again, before the hurry"
    );
    assert_eq!(world.count("-> Kill"), 3);
    Ok(())
}

#[test]
fn a_restart_leaves_dependents_alone_and_one_of_all_follows_the_order() -> Verdict {
    let mut world = world(&chain(), &[]);
    up(&mut world, &chain())?;
    world.rest()?;
    world.order(Order::Restart, &only("db"), &chain())?;
    world.rest()?;
    assert_eq!(names(&world.spawned), ["db", "api", "web", "db"]);

    world.order(Order::Restart, &[], &chain())?;
    world.rest()?;
    assert_eq!(names(&world.signalled), ["db", "web", "api", "db"]);
    assert_eq!(names(&world.spawned)[4..], ["db", "api", "web"]);
    Ok(())
}

#[test]
fn an_edit_replaces_what_changed_and_updates_the_rest_in_place() -> Verdict {
    let mut world = world(&chain(), &[]);
    up(&mut world, &chain())?;
    world.rest()?;
    let mut after = chain();
    after.services[&name("web")] = changed(after.services[&name("web")].clone());
    after.services[&name("api")].stop.timeout = seconds(1);
    up(&mut world, &after)?;
    world.rest()?;
    assert_eq!(names(&world.signalled), ["web"]);
    assert_eq!(world.count("Redeclare api"), 1);
    assert_eq!(view(&world, "api").service.stop.timeout, seconds(1));
    Ok(())
}

#[test]
fn what_left_the_manifest_is_stopped_and_forgotten() -> Verdict {
    let mut world = world(&chain(), &[]);
    up(&mut world, &chain())?;
    world.rest()?;
    let after = manifest([process("db"), process("new")]);
    up(&mut world, &after)?;
    assert_eq!(
        names(&world.project.services()),
        ["db", "new", "web", "api"]
    );
    world.rest()?;
    assert_eq!(names(&world.signalled), ["web", "api"]);
    assert_eq!(names(&world.project.services()), ["db", "new"]);
    Ok(())
}

#[test]
fn up_before_the_signal_keeps_the_run_and_after_it_makes_a_new_one() -> Verdict {
    let slow = Script {
        heeds_term_after: Some(2_000),
        ..Script::well()
    };
    let mut world = world(&chain(), &[("web", &[slow])]);
    up(&mut world, &chain())?;
    world.rest()?;
    world.order(Order::Down, &[], &chain())?;
    world.pass(seconds(1))?;
    up(&mut world, &chain())?;
    world.rest()?;
    assert_eq!(names(&world.signalled), ["web"]);
    assert_eq!(names(&world.spawned), ["db", "api", "web", "web"]);
    Ok(())
}

#[test]
fn a_stop_while_spawning_is_asked_for_at_once() -> Verdict {
    for answer in [Answer::Spawned, Answer::SpawnedStubbornly, Answer::Blocked] {
        let slow = Script {
            answer_after: 5_000,
            answer,
            ..Script::well()
        };
        let mut world = world(&chain(), &[("db", &[slow])]);
        up(&mut world, &chain())?;
        world.pass(seconds(1))?;
        world.order(Order::Down, &[], &chain())?;
        assert_eq!(names(&world.signalled), ["db"]);
        assert_eq!(state(&world, "web"), StateWord::Inactive);
        world.down()?;
        assert_eq!(world.spawned.len(), 1);
    }
    Ok(())
}

#[test]
fn many_services_are_spawned_a_few_at_a_time_and_nobody_is_forgotten() -> Verdict {
    let never_ready = Script {
        ready_after: None,
        answer_after: 100,
        ..Script::well()
    };
    let mut services: Vec<Service> = (0..20).map(|i| probed(&format!("stuck{i}"))).collect();
    for service in &mut services {
        service.ready.as_mut().expect("a probe").timeout = None;
    }
    services.extend((0..80).map(|i| process(&format!("well{i}"))));
    let manifest = manifest(services);
    let scripts: BTreeMap<ServiceName, Vec<Script>> = manifest
        .services
        .keys()
        .map(|service| (service.clone(), vec![never_ready.clone()]))
        .collect();
    let mut world = World::new(manifest.clone(), scripts, Duration::ZERO, 1);
    up(&mut world, &manifest)?;
    assert_eq!(world.spawned.len(), 16);
    world.rest()?;
    assert_eq!(world.spawned.len(), 100);
    Ok(())
}

#[test]
fn who_waited_longest_is_spawned_first() -> Verdict {
    // All turns are taken by services that take long to spawn. One comes back before any of the
    // others that wait had a turn; it stands before them in the manifest.
    let slow = Script {
        answer_after: 2_000,
        ..Script::well()
    };
    let mut restless = process("restless");
    restless.restart.policy = Policy::Always;
    restless.restart.delay = Duration::ZERO;
    let slow_ones: Vec<String> = (0..20).map(|i| format!("slow{i}")).collect();
    let others = slow_ones.iter().map(|service| process(service));
    let manifest = manifest([restless].into_iter().chain(others));
    let scripts = slow_ones
        .iter()
        .map(|service| (name(service), vec![slow.clone()]));
    let mut scripts: BTreeMap<ServiceName, Vec<Script>> = scripts.collect();
    scripts.insert(name("restless"), vec![Script::ends(0); 5]);
    let mut world = World::new(manifest.clone(), scripts, Duration::ZERO, 1);
    up(&mut world, &manifest)?;
    world.pass(seconds(3))?;
    let late = ["slow15", "slow16", "slow17", "slow18", "slow19", "restless"];
    assert_eq!(names(&world.spawned)[16..22], late);
    Ok(())
}

#[test]
fn a_manifest_that_turns_an_edge_around_does_not_tie_a_knot() -> Verdict {
    let before = manifest([process("a"), needs(process("b"), "a", Condition::Ready)]);
    let after = manifest([
        needs(process("a"), "b", Condition::Ready),
        changed(process("b")),
    ]);
    let mut world = world(&before, &[]);
    up(&mut world, &before)?;
    world.rest()?;
    up(&mut world, &after)?;
    world.down()?;
    assert!(world.project.is_down());
    Ok(())
}

/// Found by a random life: `task`, through which `web` needs `db`, was dropped as soon as it was
/// down, and `db` was signalled beside `web`.
#[test]
fn what_left_the_manifest_still_orders_stops_until_its_dependents_are_gone() -> Verdict {
    let before = manifest([
        process("db"),
        needs(task("migrate"), "db", Condition::Ready),
        needs(process("web"), "migrate", Condition::Completed),
    ]);
    let after = manifest([process("db"), process("other")]);
    let mut world = world(&before, &[]);
    up(&mut world, &before)?;
    world.rest()?;
    world.order(Order::Up, &only("other"), &after)?;
    world.rest()?;
    world.down()?;
    let web_and_db: Vec<&str> = names(&world.signalled)
        .into_iter()
        .filter(|service| ["web", "db"].contains(service))
        .collect();
    assert_eq!(web_and_db, ["web", "db"]);
    assert_eq!(names(&world.project.services()), ["db", "other"]);
    Ok(())
}

/// Found by a random life: nobody was told that `db` no longer waits for `old` when that was gone
/// and forgotten at once. (The oracle objects to such.)
#[test]
fn who_waits_for_what_is_forgotten_is_announced() -> Verdict {
    let db = || process("db");
    let api = || needs(process("api"), "db", Condition::Ready);
    let web = || needs(process("web"), "api", Condition::Ready);
    let old = needs(process("old"), "db", Condition::Ready);
    let before = manifest([db(), api(), web(), old]);
    let after = manifest([db(), api(), web()]);
    let mut world = world(&before, &[]);
    up(&mut world, &before)?;
    world.rest()?;
    world.order(Order::Up, &only("db"), &after)?;
    world.order(Order::Down, &[], &after)?;
    assert_eq!(reason(&world, "db"), "is stopped after `api`, `old`");
    world.down()
}

/// Found by a random life: what `restart` needed and was going down was started as if it had not
/// changed, and then replaced.
#[test]
fn what_a_restart_needs_is_restarted_if_it_was_going_down_and_has_changed() -> Verdict {
    let slow = Script {
        heeds_term_after: Some(5_000),
        ..Script::well()
    };
    let before = chain();
    let mut after = chain();
    after.services[&name("db")] = changed(process("db"));
    let mut world = world(&before, &[("api", &[slow])]);
    up(&mut world, &before)?;
    world.rest()?;
    world.order(Order::Down, &[], &before)?;
    world.pass(seconds(1))?;
    world.order(Order::Restart, &only("api"), &after)?;
    assert_eq!(view(&world, "db").goal, Goal::Up);
    world.rest()?;
    assert_eq!(names(&world.spawned), ["db", "api", "web", "db", "api"]);
    Ok(())
}

fn not_here(mut service: Service) -> Service {
    service.when.unmet = Some("X is not set".into());
    service
}

#[test]
fn what_needs_something_that_is_not_to_run_here_is_blocked_at_once() -> Verdict {
    let shop = manifest([
        needs(process("web"), "api", Condition::Ready),
        needs(process("api"), "db", Condition::Ready),
        not_here(process("db")),
        process("lone"),
    ]);
    let mut world = world(&shop, &[]);
    up(&mut world, &shop)?;
    assert_eq!(state(&world, "db"), StateWord::Skipped);
    assert_eq!(state(&world, "api"), StateWord::Blocked);
    assert_eq!(
        reason(&world, "web"),
        "dependency `api` is blocked: `db` is skipped: X is not set"
    );
    world.rest()?;
    assert_eq!(state(&world, "lone"), StateWord::Ready);
    assert!(!world.project.is_down());
    world.down()
}

#[test]
fn a_condition_that_turns_false_stops_and_one_that_turns_true_starts() -> Verdict {
    let chain = chain();
    let without_db = manifest(chain.services.values().cloned().map(|service| {
        if service.name == name("db") {
            not_here(service)
        } else {
            service
        }
    }));
    let mut world = world(&chain, &[]);
    up(&mut world, &chain)?;
    world.rest()?;
    up(&mut world, &without_db)?;
    assert_eq!(state(&world, "db"), StateWord::Stopping);
    world.rest()?;
    assert_eq!(state(&world, "db"), StateWord::Skipped);
    // What runs on without it does so, as with any dependency that is lost.
    assert_eq!(state(&world, "api"), StateWord::Ready);
    world.spawned.clear();
    up(&mut world, &chain)?;
    world.rest()?;
    assert_eq!(world.spawned, [name("db")]);
    world.down()
}

fn settling(text: &str, settle: Duration) -> Service {
    Service {
        settle,
        ..process(text)
    }
}

#[test]
fn who_has_no_probe_settles_after_its_time_and_holds_up_nobody() -> Verdict {
    let shop = manifest([
        settling("db", seconds(3)),
        needs(settling("web", seconds(1)), "db", Condition::Ready),
    ]);
    let mut world = world(&shop, &[]);
    up(&mut world, &shop)?;
    world.pass(seconds(2))?;
    let rest = |world: &World| ["db", "web"].map(|service| view(world, service).is_settled);
    assert_eq!(state(&world, "web"), StateWord::Ready);
    assert_eq!(rest(&world), [false, true]);
    world.pass(seconds(2))?;
    assert_eq!(rest(&world), [true, true]);
    // A longer time does not unsettle what has settled; a run that settles takes it over.
    let longer = manifest([settling("db", seconds(60)), settling("web", seconds(60))]);
    up(&mut world, &longer)?;
    assert_eq!(rest(&world), [true, true]);
    world.order(Order::Restart, &only("web"), &longer)?;
    world.pass(seconds(1))?;
    assert_eq!(rest(&world), [true, false]);
    up(&mut world, &shop)?;
    world.pass(seconds(1))?;
    assert_eq!(rest(&world), [true, true]);
    world.down()
}

#[test]
fn an_end_before_it_has_settled_is_a_failure_and_never_stable() -> Verdict {
    let mut always = settling("always", seconds(5));
    always.restart.policy = Policy::Always;
    always.restart.max_failures = Some(3);
    always.restart.stable_after = Duration::ZERO;
    let mut once = settling("once", seconds(5));
    once.restart.policy = Policy::OnFailure;
    let shop = manifest([always, once]);
    let ends = [Script::ends(0), Script::ends(0), Script::ends(0)];
    let mut world = world(&shop, &[("always", &ends), ("once", &ends[..1])]);
    up(&mut world, &shop)?;
    world.rest()?;
    assert_eq!(state(&world, "always"), StateWord::Failed);
    assert_eq!(
        reason(&world, "always"),
        "exited with 0 before it was ready; gave up after 3 failures in a row"
    );
    assert!(!view(&world, "always").has_been_ready);
    assert_eq!(state(&world, "once"), StateWord::Inactive);
    assert_eq!(reason(&world, "once"), "exited with 0 before it was ready");
    world.down()
}

#[test]
fn an_end_before_it_was_ready_is_a_failure_by_a_probe_too() -> Verdict {
    let mut db = probed("db");
    db.restart.policy = Policy::Always;
    db.restart.max_failures = Some(2);
    let ends = Script {
        ready_after: None,
        ..Script::ends(0)
    };
    let shop = manifest([db, needs(process("web"), "db", Condition::Ready)]);
    let mut world = world(&shop, &[("db", &[ends.clone(), ends])]);
    up(&mut world, &shop)?;
    world.rest()?;
    assert_eq!(state(&world, "db"), StateWord::Failed);
    assert_eq!(state(&world, "web"), StateWord::Blocked);
    assert_eq!(view(&world, "web").root_cause, Some(name("db")));
    world.down()
}

#[test]
fn a_follower_does_not_rest_while_what_it_follows_is_on_its_way() -> Verdict {
    let mut follower = needs(process("web"), "db", Condition::Ready);
    follower.depends_on[&name("db")].restart = true;
    let shop = manifest([process("db"), follower, process("lone")]);
    let ends = Script {
        ends_after: Some((5_000, baudbot::machine::Ended::Unknown)),
        ..Script::well()
    };
    let mut world = world(&shop, &[("db", &[ends])]);
    up(&mut world, &shop)?;
    world.pass(seconds(4))?;
    assert!(view(&world, "web").is_settled);
    world.pass(Duration::from_millis(1_500))?;
    assert_eq!(state(&world, "db"), StateWord::Backoff);
    assert_eq!(state(&world, "web"), StateWord::Ready);
    assert!(
        !view(&world, "web").is_settled,
        "it is about to be replaced"
    );
    assert!(view(&world, "lone").is_settled);
    world.rest()?;
    assert!(view(&world, "web").is_settled);
    assert_eq!(view(&world, "web").restarts, 1);
    world.down()
}
