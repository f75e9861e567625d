//! A shell made of fakes around the real machine: it turns the clock, carries out effects on fake
//! processes, delivers their events late, sends events that are stale or doubled in between, and
//! lets the oracle look at every call.

use std::collections::BTreeMap;
use std::time::Duration;

use baudbot::graph::Graph;
use baudbot::id::{RunId, ServiceName};
use baudbot::machine::{
    Effect, Ended, Event, Found, Goal, Project, RunEvent, Saved, StartFailure, StateWord,
};
use baudbot::manifest::model::{Exit, Manifest};
use baudbot::plan::{self, Action, Order, Plan, Selector};
use baudbot::time::Moment;

use crate::client::Client;
use crate::fake::{Aftermath, Due, Fake, Script};
use crate::oracle::{Oracle, Verdict, ensure, views};

/// More than any life here needs; whoever exceeds it goes round in circles.
const MOST_STEPS: usize = 20_000;

/// Numbers at random, the same for the same seed (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

enum Happening {
    Due(RunId, Due),
    Told(Event),
}

pub(crate) struct World {
    pub(crate) project: Project,
    pub(crate) now: Moment,
    /// What was done, for whoever reads a failure.
    pub(crate) trace: Vec<String>,
    /// What was spawned and what was signalled first, in order.
    pub(crate) spawned: Vec<ServiceName>,
    pub(crate) signalled: Vec<ServiceName>,
    manifest: Manifest,
    queue: BTreeMap<(Moment, u64), Happening>,
    queued: u64,
    fakes: BTreeMap<RunId, Fake>,
    scripts: BTreeMap<ServiceName, Vec<Script>>,
    oracle: Oracle,
    client: Client,
    dice: Dice,
    latency: Duration,
    steps: usize,
}

impl World {
    /// `scripts`: what the runs of a service do, one after the other; what comes after the last one
    /// goes well. `seed` decides about noise and about what comes first of what comes together.
    pub(crate) fn new(
        manifest: Manifest,
        scripts: BTreeMap<ServiceName, Vec<Script>>,
        latency: Duration,
        seed: u64,
    ) -> Self {
        Self {
            project: Project::new(seed, RunId(1)),
            now: Moment::ORIGIN,
            trace: Vec::new(),
            spawned: Vec::new(),
            signalled: Vec::new(),
            manifest,
            queue: BTreeMap::new(),
            queued: 0,
            fakes: BTreeMap::new(),
            scripts,
            oracle: Oracle::default(),
            client: Client::default(),
            dice: Dice::new(seed),
            latency,
            steps: 0,
        }
    }

    /// Gives an order about `manifest` (for `Down`: about what was last brought up).
    pub(crate) fn order(
        &mut self,
        order: Order,
        selection: &[Selector],
        manifest: &Manifest,
    ) -> Verdict {
        if order != Order::Down {
            self.manifest = manifest.clone();
        }
        let declared = (order != Order::Down).then(|| self.manifest.clone());
        let plan = self.plan(order, selection)?;
        self.oracle.ordered(declared.as_ref(), &plan, self.now);
        // Another order may undo what the last one did.
        self.client = Client::default();
        self.call(&format!("{order:?} {selection:?}"), |project, now| {
            project.apply(declared.as_ref(), &plan, now)
        })?;
        self.client = Client::of(&plan, &self.project);
        for step in plan.waves.iter().flatten() {
            let view = self.project.view(&step.service);
            let declared = declared
                .as_ref()
                .and_then(|d| d.services.get(&step.service));
            let is_skipped = declared.is_some_and(baudbot::manifest::model::Service::is_skipped);
            let wanted = match step.action {
                // It is wanted, but not here.
                Action::Stop if is_skipped => Some(Goal::Up),
                Action::Start | Action::Restart => Some(Goal::Up),
                Action::Stop => Some(Goal::Down),
                Action::Keep => None,
            };
            let goal = view.as_ref().map(|view| view.goal);
            ensure!(
                goal.is_none_or(|goal| wanted.is_none_or(|wanted| goal == wanted)),
                "{step:?} was not obeyed"
            );
        }
        if order == Order::Restart {
            return Ok(());
        }
        self.ask_again(order, selection, declared.as_ref())
    }

    /// P5: the same order again, right after, changes nothing.
    fn ask_again(
        &self,
        order: Order,
        selection: &[Selector],
        declared: Option<&Manifest>,
    ) -> Verdict {
        // What the manifest no longer declares is forgotten once it is down.
        let is_known = |selector: &&Selector| match selector {
            Selector::Service(name) => {
                self.project.view(name).is_some() || self.manifest.services.contains_key(name)
            }
            Selector::Group(_) => true,
        };
        let known: Vec<Selector> = selection.iter().filter(is_known).cloned().collect();
        if known.is_empty() && !selection.is_empty() {
            return Ok(());
        }
        let plan = self.plan(order, &known)?;
        for step in plan.waves.iter().flatten() {
            let view = self
                .project
                .view(&step.service)
                .ok_or("a step for nothing")?;
            let is_harmless = match step.action {
                Action::Keep => true,
                // What is on its way is named, and left alone.
                Action::Start => view.state == StateWord::Stopping,
                Action::Stop => view.goal == Goal::Down,
                Action::Restart => false,
            };
            ensure!(is_harmless, "P5: {order:?} again would {step:?}");
        }
        let effects = self.project.clone().apply(declared, &plan, self.now);
        ensure!(
            effects
                .iter()
                .all(|effect| matches!(effect, Effect::Announce(_))),
            "P5: {order:?} again leads to {effects:?}"
        );
        Ok(())
    }

    pub(crate) fn plan(&self, order: Order, selection: &[Selector]) -> Result<Plan, String> {
        let graph = Graph::new(&self.manifest).map_err(|cycle| cycle.to_string())?;
        let observed = self.project.observed();
        plan::plan(order, selection, &self.manifest, &graph, &observed)
            .map_err(|unknown| format!("{unknown:?}"))
    }

    /// Some of what the project holds, by number.
    pub(crate) fn held(&self, picks: &[usize]) -> Vec<Selector> {
        let held = self.project.services();
        let picked = picks
            .iter()
            .filter_map(|pick| held.get(pick % held.len().max(1)));
        picked.cloned().map(Selector::Service).collect()
    }

    /// How often something was done, as the trace tells it.
    pub(crate) fn count(&self, what: &str) -> usize {
        self.trace.iter().filter(|line| line.contains(what)).count()
    }

    pub(crate) fn hurry(&mut self) -> Verdict {
        self.oracle.hurried();
        self.call("hurry", Project::hurry)
    }

    /// The supervisor dies, and after `away` there is another. What it was told is lost, what it had
    /// written down is not; the processes live on meanwhile, and nobody hears of it.
    pub(crate) fn die(&mut self, away: Duration) -> Verdict {
        self.trace.push("        ----  the supervisor dies".into());
        let names = self.project.services();
        let saved = names.into_iter().filter_map(|name| {
            let saved = self.project.saved(&name)?;
            Some((name, through_json(saved)))
        });
        let saved: BTreeMap<_, _> = saved.collect();
        for fake in self.fakes.values_mut() {
            fake.lose_gate();
        }
        self.queue
            .retain(|_, happening| matches!(happening, Happening::Due(..)));
        let end = self.now + away;
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((at, _), happening) = self.queue.pop_first().ok_or("an empty queue")?;
            self.now = self.now.max(at);
            if let Happening::Due(run, due) = happening {
                let fake = self.fakes.get_mut(&run).ok_or("a run without a fake")?;
                let mut aftermath = fake.happen(due);
                aftermath.told.clear();
                self.enqueue(run, aftermath)?;
            }
        }
        self.now = end;
        let found: BTreeMap<RunId, Found> = self
            .fakes
            .values()
            .filter_map(|fake| Some((fake.run, fake.found(self.dice.roll(3) == 0)?)))
            .collect();
        self.oracle.restored(&found, self.now);
        let manifest = self.manifest.clone();
        let seed = self.dice.roll(1 << 40);
        let next_run = RunId(self.fakes.keys().next_back().map_or(1, |run| run.0 + 1));
        let mut client = std::mem::take(&mut self.client);
        self.call("a new supervisor", |project, now| {
            let (restored, effects) =
                Project::restore(seed, next_run, Some(&manifest), saved, &found, true, now);
            *project = restored;
            effects
        })?;
        client.ask_again(&self.project);
        self.client = client;
        Ok(())
    }

    /// Lets `span` pass.
    pub(crate) fn pass(&mut self, span: Duration) -> Verdict {
        let end = self.now + span;
        while self.next().is_some_and(|at| at <= end) {
            self.proceed()?;
        }
        self.now = end;
        Ok(())
    }

    /// Lets time pass until nothing can happen any more.
    pub(crate) fn rest(&mut self) -> Verdict {
        while self.next().is_some() {
            self.proceed()?;
        }
        self.judge_rest()
    }

    /// P4: after `down`, all is down within the time that its parts may take one after the other.
    pub(crate) fn down(&mut self) -> Verdict {
        let per_service = |service: &ServiceName| {
            let view = self.project.view(service);
            let grace = view.map_or(Duration::ZERO, |view| view.service.stop.timeout);
            // The answer, the grace, KILL, and the slowest of the fakes after each.
            grace + Duration::from_secs(10 + 3 * 6) + 8 * self.latency
        };
        let most: Duration = self.project.services().iter().map(per_service).sum();
        let began = self.now;
        self.order(Order::Down, &[], &self.manifest.clone())?;
        self.rest()?;
        let took = self.now.since(began);
        ensure!(
            took <= most,
            "P4: it took {took:?} to go down, which is over {most:?}"
        );
        for view in views(&self.project).values() {
            ensure!(
                view.is_stuck || view.state == StateWord::Inactive,
                "P4: `{}` is {} after `down`",
                view.service.name,
                view.state.word()
            );
        }
        let left: Vec<&Fake> = self.fakes.values().filter(|fake| fake.is_alive()).collect();
        ensure!(
            left.iter().all(|fake| fake.is_immortal()),
            "P4: {left:?} live after `down`"
        );
        ensure!(
            self.project.is_down() == left.is_empty(),
            "P4: is_down is wrong about what is left"
        );
        Ok(())
    }

    /// P10: nothing will happen any more; is everything where it may rest?
    fn judge_rest(&self) -> Verdict {
        for (name, view) in views(&self.project) {
            let waits_with_reason = |view: &baudbot::machine::View| {
                view.waits_for.iter().any(|on| {
                    let on = self.project.view(on);
                    on.is_some_and(|on| !on.is_settled || on.state == StateWord::Unhealthy)
                })
            };
            let may_rest = match view.state {
                StateWord::Ready
                | StateWord::Unhealthy
                | StateWord::Skipped
                | StateWord::Completed
                | StateWord::Failed
                | StateWord::Blocked
                | StateWord::Inactive => true,
                // Its manifest says to wait for readiness for ever.
                StateWord::Starting => view.deadline.is_none() && view.goal == Goal::Up,
                StateWord::Waiting => waits_with_reason(&view),
                StateWord::Stopping => view.is_stuck,
                StateWord::Backoff => false,
            };
            ensure!(may_rest, "P10: `{name}` is {} for ever", view.state.word());
        }
        Ok(())
    }

    fn next(&self) -> Option<Moment> {
        let queued = self.queue.keys().next().map(|(at, _)| *at);
        queued.into_iter().chain(self.project.next_deadline()).min()
    }

    /// Does the next thing that is due.
    fn proceed(&mut self) -> Verdict {
        let deadline = self.project.next_deadline();
        let queued = self.queue.keys().next().map(|(at, _)| *at);
        let is_deadline = match (deadline, queued) {
            (Some(deadline), Some(queued)) if deadline == queued => self.dice.roll(2) == 0,
            (Some(deadline), Some(queued)) => deadline < queued,
            (deadline, _) => deadline.is_some(),
        };
        if is_deadline {
            self.now = self.now.max(deadline.unwrap_or_default());
            return self.call("deadline", Project::handle_deadline);
        }
        let Some(((at, _), happening)) = self.queue.pop_first() else {
            return Ok(());
        };
        self.now = self.now.max(at);
        match happening {
            Happening::Due(run, due) => {
                let fake = self.fakes.get_mut(&run).ok_or("a run without a fake")?;
                let aftermath = fake.happen(due);
                self.enqueue(run, aftermath)
            }
            Happening::Told(event) => self.tell(&event),
        }
    }

    fn tell(&mut self, event: &Event) -> Verdict {
        self.deliver(event)?;
        // Each failed check counts.
        let is_counted = matches!(event.what, RunEvent::Unwell(_));
        if !is_counted && self.dice.roll(8) == 0 {
            // Doubled: the second one comes to nothing that anybody would do.
            let spawned = self.spawned.len() + self.signalled.len();
            self.deliver(event)?;
            ensure!(
                spawned == self.spawned.len() + self.signalled.len(),
                "P7: a doubled {event:?} had effects"
            );
        }
        self.make_noise()
    }

    fn deliver(&mut self, event: &Event) -> Verdict {
        let is_present = self.oracle.told(event, self.now);
        let before = (!is_present).then(|| views(&self.project));
        let told = event.clone();
        self.call(&format!("{event:?}"), |project, now| {
            project.handle(told, now)
        })?;
        if let Some(before) = before {
            ensure!(
                before == views(&self.project),
                "P7: the stale {event:?} had effects"
            );
        }
        Ok(())
    }

    /// P7: what is told of other runs than the present one changes nothing. Aimed at services that
    /// have a run now and had one before.
    fn make_noise(&mut self) -> Verdict {
        if self.dice.roll(3) != 0 {
            return Ok(());
        }
        let runs: Vec<(ServiceName, RunId)> = self
            .fakes
            .values()
            .map(|fake| (fake.service.clone(), fake.run))
            .filter(|(service, run)| {
                let view = self.project.view(service);
                view.is_some_and(|view| view.run.is_some_and(|present| present != *run))
            })
            .collect();
        if runs.is_empty() {
            return Ok(());
        }
        let pick = self.dice.roll(runs.len() as u64) as usize;
        let (service, run) = runs[pick].clone();
        let what = match self.dice.roll(12) {
            11 => RunEvent::Extended(Duration::from_secs(9)),
            10 => RunEvent::Exported([("id".into(), "late".into())].into()),
            8 => RunEvent::Healthy,
            9 => RunEvent::Unwell("late".into()),
            0 => RunEvent::Spawned,
            1 => RunEvent::SpawnFailed(StartFailure {
                stage: "exec".into(),
                message: "late".into(),
                is_blocked: true,
            }),
            2 => RunEvent::Ready,
            3 => RunEvent::NotReady("late".into()),
            4 => RunEvent::Exited(Ended::Exit(Exit::Code(1))),
            5 => RunEvent::Exited(Ended::Exit(Exit::Code(0))),
            6 => RunEvent::Gone,
            _ => RunEvent::Survived(Vec::new()),
        };
        self.deliver(&Event { service, run, what })
    }

    fn call(
        &mut self,
        what: &str,
        act: impl FnOnce(&mut Project, Moment) -> Vec<Effect>,
    ) -> Verdict {
        self.steps += 1;
        ensure!(
            self.steps < MOST_STEPS,
            "a livelock: {MOST_STEPS} steps were not enough"
        );
        let before = views(&self.project);
        let mut effects = act(&mut self.project, self.now);
        self.examine(&mut effects);
        let at = self.now.since_origin().as_millis();
        self.trace.push(format!("{at:>7} ms  {what}"));
        for effect in effects.iter().filter(|e| !matches!(e, Effect::Announce(_))) {
            self.trace.push(format!("            -> {}", short(effect)));
        }
        self.oracle.saw(&effects, &self.project, self.now)?;
        self.oracle.judge(&self.project, self.now)?;
        self.client.hear(&effects, &self.project)?;

        let after = views(&self.project);
        for name in before.keys().chain(after.keys()) {
            ensure!(
                before.get(name) == after.get(name)
                    || effects.contains(&Effect::Announce(name.clone())),
                "the view of `{name}` changed and nobody was told"
            );
        }
        if self.project.next_deadline().is_none_or(|at| at > self.now) {
            let again = self.project.clone().handle_deadline(self.now);
            ensure!(
                again.is_empty(),
                "P6: to settle twice is more than once: {again:?}"
            );
        }
        self.carry_out(&effects)
    }

    /// The shell looks at once, and finds that every new run could start.
    fn examine(&mut self, effects: &mut Vec<Effect>) {
        let mut next = 0;
        while let Some(effect) = effects.get(next) {
            if let Effect::Examine { run, service } = effect {
                let event = Event {
                    service: service.name.clone(),
                    run: *run,
                    what: RunEvent::Examined(Vec::new()),
                };
                let answer = self.project.handle(event, self.now);
                effects.extend(answer);
            }
            next += 1;
        }
    }

    fn carry_out(&mut self, effects: &[Effect]) -> Verdict {
        for effect in effects {
            match effect {
                Effect::Spawn { run, service } => {
                    let name = &service.name;
                    let is_free = !self
                        .fakes
                        .values()
                        .any(|f| f.service == *name && f.is_alive());
                    ensure!(is_free, "P3: `{name}` is spawned beside what is left of it");
                    let runs = self
                        .spawned
                        .iter()
                        .filter(|spawned| *spawned == name)
                        .count();
                    let script = self.scripts.get(name).and_then(|scripts| scripts.get(runs));
                    let script = script.cloned().unwrap_or_else(Script::well);
                    let script = if service.is_task() && script == Script::well() {
                        Script::ends(0)
                    } else {
                        script
                    };
                    let (fake, aftermath) = Fake::ask(name.clone(), *run, script);
                    self.fakes.insert(*run, fake);
                    self.spawned.push(name.clone());
                    self.enqueue(*run, aftermath)?;
                }
                Effect::Terminate { service, run } => {
                    self.signalled.push(service.clone());
                    let fake = self.fakes.get_mut(run).ok_or("a run without a fake")?;
                    let aftermath = fake.terminate();
                    self.enqueue(*run, aftermath)?;
                }
                Effect::Kill { run, .. } => {
                    let fake = self.fakes.get_mut(run).ok_or("a run without a fake")?;
                    let aftermath = fake.kill();
                    self.enqueue(*run, aftermath)?;
                }
                Effect::Adopt { run, .. } => {
                    let fake = self.fakes.get_mut(run).ok_or("a run without a fake")?;
                    let aftermath = fake.adopt();
                    self.enqueue(*run, aftermath)?;
                }
                Effect::Redeclare { .. }
                | Effect::Examine { .. }
                | Effect::Announce(_)
                | Effect::Note(_) => {}
            }
        }
        Ok(())
    }

    fn enqueue(&mut self, run: RunId, aftermath: Aftermath) -> Verdict {
        let service = self
            .fakes
            .get(&run)
            .ok_or("a run without a fake")?
            .service
            .clone();
        for what in aftermath.told {
            let event = Event {
                service: service.clone(),
                run,
                what,
            };
            self.queued += 1;
            let key = (self.now + self.latency, self.queued);
            self.queue.insert(key, Happening::Told(event));
        }
        for (after, due) in aftermath.due {
            self.queued += 1;
            let key = (self.now + after, self.queued);
            self.queue.insert(key, Happening::Due(run, due));
        }
        Ok(())
    }
}

/// What was saved, as it comes out of the file again.
fn through_json(saved: Saved) -> Saved {
    let life = serde_json::to_string(&saved.life).expect("JSON");
    Saved {
        life: serde_json::from_str(&life).expect("the same JSON"),
        ..saved
    }
}

fn short(effect: &Effect) -> String {
    match effect {
        Effect::Spawn { run, service } => format!("Spawn {} as {run}", service.name),
        Effect::Terminate { service, run } => format!("Terminate {service}, run {run}"),
        Effect::Kill { service, run } => format!("Kill {service}, run {run}"),
        Effect::Adopt { run, service, .. } => format!("Adopt {}, run {run}", service.name),
        Effect::Redeclare { run, service } => format!("Redeclare {}, run {run}", service.name),
        Effect::Examine { run, service } => format!("Examine {} for run {run}", service.name),
        Effect::Announce(service) => format!("Announce {service}"),
        Effect::Note(note) => format!(
            "Note {}: {:?} to {:?}, {:?}",
            note.service, note.from, note.to, note.occasion
        ),
    }
}
