//! Values that one service exports and another was started with.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::declare::{manifest, name, needs, probed, process};
use crate::graph::Graph;
use crate::manifest::model::{Command, Condition, Export, HealthAction, Source};
use crate::manifest::reference::Reference;
use crate::plan::{Order as Asked, Selector, plan};

/// It exports a value of this name.
fn exporting(mut service: Service, export: &str) -> Service {
    let value = Export {
        source: Source::Readlink("/alias".into()),
        pattern: None,
        interval: Duration::from_secs(10),
    };
    service.exports.insert(export.into(), value);
    service
}

/// It refers to what `service` exports, in its command.
fn referring(mut dependent: Service, service: &str, export: &str) -> Service {
    dependent.references.push(Reference {
        service: name(service),
        export: export.into(),
    });
    dependent.command = Command::Shell(format!("\0{service}.{export}\0"));
    needs(dependent, service, Condition::Ready)
}

struct World {
    project: Project,
    effects: Vec<Effect>,
    now: Moment,
    /// What the shell finds that a new run would lack.
    lacks: Vec<String>,
}

impl World {
    /// An agent that exports its id, and a bridge that is started with it.
    fn up() -> Self {
        let manifest = manifest([
            exporting(probed("agent"), "id"),
            referring(process("bridge"), "agent", "id"),
            process("other"),
        ]);
        let mut project = Project::new(1, RunId(1));
        let graph = Graph::new(&manifest).unwrap();
        let plan = plan(Asked::Up, &[], &manifest, &graph, &project.observed()).unwrap();
        let effects = project.apply(Some(&manifest), &plan, Moment::ORIGIN);
        Self {
            project,
            effects,
            now: Moment::ORIGIN,
            lacks: Vec::new(),
        }
    }

    fn tell(&mut self, service: &str, what: RunEvent) {
        let service = name(service);
        let run = self.project.view(&service).unwrap().run.unwrap();
        let event = Event { service, run, what };
        self.effects = self.project.handle(event, self.now);
        self.examine();
    }

    /// The shell looks at what it is asked to, at once.
    fn examine(&mut self) {
        let asked: Vec<Event> = self
            .effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Examine { run, service } => Some(Event {
                    service: service.name.clone(),
                    run: *run,
                    what: RunEvent::Examined(self.lacks.clone()),
                }),
                _ => None,
            })
            .collect();
        for event in asked {
            self.effects.extend(self.project.handle(event, self.now));
        }
    }

    fn wait_for_deadline(&mut self) {
        self.now = self.project.next_deadline().unwrap();
        self.effects = self.project.handle_deadline(self.now);
        self.examine();
    }

    fn exported(&mut self, value: &str) {
        let values = BTreeMap::from([("id".to_owned(), value.to_owned())]);
        self.tell("agent", RunEvent::Exported(values));
    }

    /// The commands that are spawned by the last call.
    fn spawned(&self) -> Vec<Command> {
        let spawns = self.effects.iter().filter_map(|effect| match effect {
            Effect::Spawn { service, .. } => Some(service.command.clone()),
            _ => None,
        });
        spawns.collect()
    }

    fn state(&self, service: &str) -> (StateWord, Option<String>) {
        let view = self.project.view(&name(service)).unwrap();
        (view.state, view.reason)
    }

    fn is_terminated(&self, service: &str) -> bool {
        let is_it = |effect: &Effect| matches!(effect, Effect::Terminate { service: one, .. } if *one == name(service));
        self.effects.iter().any(is_it)
    }

    /// Until both are ready, with `id`.
    fn ready(id: &str) -> Self {
        let mut world = Self::up();
        world.tell("agent", RunEvent::Spawned);
        world.exported(id);
        assert_eq!(world.spawned(), [], "it is not ready yet");
        world.tell("agent", RunEvent::Ready);
        assert_eq!(world.spawned(), [Command::Shell(id.into())]);
        world.tell("bridge", RunEvent::Spawned);
        world
    }
}

#[test]
fn a_run_is_made_from_the_values_of_its_time() {
    let world = World::ready("one");
    let view = world.project.view(&name("bridge")).unwrap();
    assert_eq!(view.service.command, Command::Shell("one".into()));
    let agent = world.project.view(&name("agent")).unwrap();
    assert_eq!(agent.exports["id"], "one");
}

#[test]
fn who_was_started_with_another_value_is_replaced_and_says_why() {
    let mut world = World::ready("one");
    world.exported("one");
    assert!(!world.is_terminated("bridge"), "the same value");
    world.exported("two");
    assert!(world.is_terminated("bridge"));
    let (state, reason) = world.state("bridge");
    assert_eq!(state, StateWord::Stopping);
    assert_eq!(reason.unwrap(), "`agent.id` changed; stop signal sent");
    world.tell("bridge", RunEvent::Exited(Ended::Unknown));
    world.tell("bridge", RunEvent::Gone);
    assert_eq!(world.spawned(), [Command::Shell("two".into())]);
    assert_eq!(world.project.view(&name("bridge")).unwrap().restarts, 1);
}

#[test]
fn a_new_run_of_who_exports_replaces_nobody_until_its_value_is_known() {
    let mut world = World::ready("one");
    world.tell("agent", RunEvent::Exited(Ended::Unknown));
    world.tell("agent", RunEvent::Gone);
    world.wait_for_deadline();
    world.tell("agent", RunEvent::Spawned);
    world.exported("two");
    assert!(!world.is_terminated("bridge"), "it is not ready yet");
    world.tell("agent", RunEvent::Ready);
    assert!(world.is_terminated("bridge"));
}

#[test]
fn a_plan_names_who_may_follow_and_nothing_rests_until_that_is_known() {
    let mut world = World::ready("one");
    let manifest = manifest([
        exporting(probed("agent"), "id"),
        referring(process("bridge"), "agent", "id"),
        process("other"),
    ]);
    let graph = Graph::new(&manifest).unwrap();
    let selection = [Selector::Service(name("agent"))];
    let observed = world.project.observed();
    let plan = plan(Asked::Restart, &selection, &manifest, &graph, &observed).unwrap();
    let followers = plan.followers.iter();
    let followers: Vec<(&str, &str)> = followers
        .map(|step| (step.service.as_str(), step.reason.as_str()))
        .collect();
    assert_eq!(followers, [("bridge", "restarts when `agent.id` changes")]);
    assert_eq!(plan.waves.iter().flatten().count(), 1);
    let rests = |world: &World| world.project.view(&name("bridge")).unwrap().is_settled;
    assert!(rests(&world));
    world.effects = world.project.apply(Some(&manifest), &plan, Moment::ORIGIN);
    assert!(!rests(&world));
    world.tell("agent", RunEvent::Exited(Ended::Unknown));
    world.tell("agent", RunEvent::Gone);
    world.tell("agent", RunEvent::Spawned);
    world.exported("one");
    assert!(!rests(&world));
    world.tell("agent", RunEvent::Ready);
    assert!(rests(&world), "the value is the same");
    let told = Effect::Announce(name("bridge"));
    assert!(world.effects.contains(&told), "{:?}", world.effects);
}

#[test]
fn who_exports_and_has_no_probe_has_a_deadline_all_the_same() {
    let manifest = manifest([exporting(process("agent"), "id")]);
    let mut project = Project::new(1, RunId(1));
    let graph = Graph::new(&manifest).unwrap();
    let plan = plan(Asked::Up, &[], &manifest, &graph, &project.observed()).unwrap();
    project.apply(Some(&manifest), &plan, Moment::ORIGIN);
    let event = Event {
        service: name("agent"),
        run: RunId(1),
        what: RunEvent::Spawned,
    };
    project.handle(event, Moment::ORIGIN);
    assert_eq!(
        project.view(&name("agent")).unwrap().state,
        StateWord::Starting
    );
    let deadline = project.next_deadline().unwrap();
    assert_eq!(deadline.since(Moment::ORIGIN).as_secs(), 60);
}

#[test]
fn a_run_is_kept_while_its_successor_could_not_start_and_replaced_once_it_can() {
    let mut world = World::ready("one");
    world.lacks = vec!["the executable `bridge` is missing".into()];
    world.exported("two");
    assert!(!world.is_terminated("bridge"));
    let (state, reason) = world.state("bridge");
    assert_eq!(state, StateWord::Ready);
    assert_eq!(
        reason.unwrap(),
        "`agent.id` changed; is not restarted, since a new run could not start: the executable \
         `bridge` is missing"
    );
    let view = world.project.view(&name("bridge")).unwrap();
    assert_eq!((view.lacks, view.restarts), (world.lacks.clone(), 0));
    // It is told once, and looked at again without a word.
    for _ in 0..3 {
        world.wait_for_deadline();
        let notes = world.effects.iter();
        assert_eq!(
            notes.filter(|one| matches!(one, Effect::Note(_))).count(),
            0
        );
        assert!(!world.is_terminated("bridge"));
    }
    world.lacks.clear();
    world.wait_for_deadline();
    assert!(world.is_terminated("bridge"));
    let (_, reason) = world.state("bridge");
    assert_eq!(reason.unwrap(), "`agent.id` changed; stop signal sent");
}

#[test]
fn a_value_that_changes_back_leaves_nothing_to_wait_for() {
    let mut world = World::ready("one");
    world.lacks = vec!["the executable `bridge` is missing".into()];
    world.exported("two");
    world.exported("one");
    assert_eq!(world.state("bridge"), (StateWord::Ready, None));
    assert_eq!(world.project.next_deadline(), None);
}

#[test]
fn an_unhealthy_run_is_kept_while_its_successor_could_not_start() {
    let mut world = World::up();
    let checked = crate::declare::checked(probed("agent"), HealthAction::Restart);
    let manifest = manifest([checked]);
    let graph = Graph::new(&manifest).unwrap();
    world.project = Project::new(1, RunId(1));
    let plan = plan(Asked::Up, &[], &manifest, &graph, &world.project.observed()).unwrap();
    world.project.apply(Some(&manifest), &plan, Moment::ORIGIN);
    world.tell("agent", RunEvent::Spawned);
    world.tell("agent", RunEvent::Ready);
    world.lacks = vec!["the working directory /x does not exist".into()];
    for _ in 0..5 {
        world.tell("agent", RunEvent::Unwell("HTTP 503".into()));
        assert!(!world.is_terminated("agent"));
    }
    let (state, reason) = world.state("agent");
    assert_eq!(state, StateWord::Unhealthy);
    let reason = reason.unwrap();
    assert!(
        reason.contains("HTTP 503") && reason.contains("/x does not exist"),
        "{reason}"
    );
    assert_eq!(world.project.next_deadline(), None);
    let healthy = {
        let mut other = World {
            project: world.project.clone(),
            effects: Vec::new(),
            now: world.now,
            lacks: world.lacks.clone(),
        };
        other.tell("agent", RunEvent::Healthy);
        other.state("agent")
    };
    assert_eq!(healthy, (StateWord::Ready, None));
    world.lacks.clear();
    world.tell("agent", RunEvent::Unwell("HTTP 503".into()));
    assert!(world.is_terminated("agent"));
}
