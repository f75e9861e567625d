//! Whole lives at random: services that depend on each other, processes that misbehave, manifests
//! that are edited, orders at awkward moments.

use std::collections::BTreeMap;
use std::time::Duration;

use indexmap::IndexMap;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use baudbot::id::ServiceName;
use baudbot::machine::Ended;
use baudbot::manifest::model::{
    Command, Condition, Dependency, Exit, Health, HealthAction, Kind, Manifest, Policy, Probe,
    Ready, Restart, Service, Signal,
};
use baudbot::plan::{Order, Selector};

use crate::declare;
use crate::fake::{Answer, OnKill, Script, Stragglers};
use crate::oracle::Verdict;
use crate::world::World;

/// The most services of a life.
const MOST_SERVICES: usize = 7;

#[derive(Debug, Clone)]
pub(crate) struct Life {
    pub(crate) specs: Vec<Spec>,
    pub(crate) wiring: Wiring,
    pub(crate) deeds: Vec<(Wait, Deed)>,
    /// How long an event is on its way, in milliseconds.
    pub(crate) latency: u64,
    pub(crate) noise: u64,
}

/// A service: how it is declared, but for its dependencies, and what its runs do.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) is_task: bool,
    /// Readiness by a probe, with this timeout in milliseconds.
    pub(crate) probe: Option<Option<u64>>,
    /// In milliseconds.
    pub(crate) settle: u64,
    pub(crate) health: Option<(u32, HealthAction)>,
    pub(crate) restart: Restart,
    pub(crate) stop_timeout: u64,
    pub(crate) success_exit: Vec<Exit>,
    pub(crate) scripts: Vec<Script>,
}

/// Who needs whom.
#[derive(Debug, Clone)]
pub(crate) struct Wiring {
    /// Each service may need those that come before it here.
    pub(crate) order: Vec<usize>,
    /// For each place in `order` the distance to the needed place, and what is needed of it.
    pub(crate) edges: Vec<(usize, usize, Dependency)>,
    /// The order of the manifest.
    pub(crate) written: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Wait {
    No,
    Milliseconds(u64),
    Rest,
}

#[derive(Debug, Clone)]
pub(crate) enum Deed {
    Up(Vec<Edit>, Vec<usize>),
    Restart(Vec<Edit>, Vec<usize>),
    Down(Vec<usize>),
    Hurry,
    /// The supervisor dies; another comes after so many milliseconds.
    Die(u64),
}

/// What people do to a manifest between two orders.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    Command(usize),
    Environment(usize),
    Description(usize),
    /// Another terminal: no change.
    Base(usize),
    Delay(usize, u64),
    Settle(usize, u64),
    StopTimeout(usize, u64),
    Probe(usize, Option<Option<u64>>),
    Health(usize, Option<(u32, HealthAction)>),
    Kind(usize),
    /// Makes its `when` not hold, or hold again.
    When(usize),
    /// Takes it out, or puts it back.
    Presence(usize),
    Wiring(Wiring),
}

/// The manifest as it is edited.
pub(crate) struct Draft {
    services: Vec<Service>,
    is_present: Vec<bool>,
    wiring: Wiring,
    edits: usize,
}

fn service_name(index: usize) -> ServiceName {
    declare::name(&format!("s{index}"))
}

impl Draft {
    pub(crate) fn new(life: &Life) -> Self {
        let services: Vec<Service> = (0..)
            .zip(&life.specs)
            .map(|(i, s)| declared(i, s))
            .collect();
        Self {
            is_present: vec![true; services.len()],
            services,
            wiring: life.wiring.clone(),
            edits: 0,
        }
    }

    pub(crate) fn edit(&mut self, edit: &Edit) {
        self.edits += 1;
        let number = self.edits.to_string();
        let count = self.services.len();
        let at = |index: usize| index % count;
        match edit {
            Edit::Command(i) => self.services[at(*i)].command = Command::Shell(number),
            Edit::Environment(i) => {
                let set = &mut self.services[at(*i)].env.set;
                set.insert("NUMBER".into(), number);
            }
            Edit::Description(i) => self.services[at(*i)].description = Some(number),
            Edit::Base(i) => {
                let base = &mut self.services[at(*i)].env.base;
                base.insert("PATH".into(), number);
            }
            Edit::Delay(i, delay) => {
                self.services[at(*i)].restart.delay = Duration::from_millis(*delay);
            }
            Edit::Settle(i, settle) => {
                self.services[at(*i)].settle = Duration::from_millis(*settle);
            }
            Edit::StopTimeout(i, timeout) => {
                self.services[at(*i)].stop.timeout = Duration::from_millis(*timeout);
            }
            Edit::Probe(i, probe) => self.services[at(*i)].ready = ready(*probe),
            Edit::Health(i, checks) => self.services[at(*i)].health = health(*checks),
            Edit::Kind(i) => {
                let kind = &mut self.services[at(*i)].kind;
                *kind = match kind {
                    Kind::Task => Kind::Process,
                    Kind::Process | Kind::Tmux { .. } => Kind::Task,
                };
            }
            Edit::When(i) => {
                let unmet = &mut self.services[at(*i)].when.unmet;
                *unmet = match unmet {
                    Some(_) => None,
                    None => Some("X is not set".into()),
                };
            }
            Edit::Presence(i) => self.is_present[at(*i)] ^= true,
            Edit::Wiring(wiring) => self.wiring = wiring.clone(),
        }
    }

    pub(crate) fn manifest(&self) -> Manifest {
        let order: Vec<usize> = places(&self.wiring.order, self.services.len());
        let mut needs: Vec<IndexMap<ServiceName, Dependency>> =
            vec![IndexMap::new(); self.services.len()];
        for (place, distance, edge) in &self.wiring.edges {
            let place = place % order.len();
            let Some(needed) = place.checked_sub(1 + distance).map(|needed| order[needed]) else {
                continue;
            };
            let mut edge = *edge;
            if edge.condition == Condition::Completed && !self.services[needed].is_task() {
                edge.condition = Condition::Ready;
            }
            if self.is_present[needed] {
                needs[order[place]].insert(service_name(needed), edge);
            }
        }
        let written = places(&self.wiring.written, self.services.len());
        let services = written.into_iter().filter(|i| self.is_present[*i]);
        declare::manifest(services.map(|i| Service {
            depends_on: needs[i].clone(),
            ..self.services[i].clone()
        }))
    }

    pub(crate) fn selection(&self, picks: &[usize]) -> Vec<Selector> {
        let picked = picks.iter().map(|pick| pick % self.services.len());
        let present = picked.filter(|i| self.is_present[*i]);
        present
            .map(|i| Selector::Service(service_name(i)))
            .collect()
    }
}

/// A permutation of all indexes, whichever of them `some` names.
fn places(some: &[usize], count: usize) -> Vec<usize> {
    let mut places: Vec<usize> = some.iter().copied().filter(|i| *i < count).collect();
    places.extend((0..count).filter(|i| !some.contains(i)));
    places
}

fn declared(index: usize, spec: &Spec) -> Service {
    let mut service = declare::process(service_name(index).as_str());
    if spec.is_task {
        service.kind = Kind::Task;
    }
    service.ready = ready(spec.probe);
    service.settle = Duration::from_millis(spec.settle);
    service.health = health(spec.health.filter(|_| !spec.is_task));
    service.restart = spec.restart.clone();
    service.stop.timeout = Duration::from_millis(spec.stop_timeout);
    service.success_exit = spec.success_exit.clone();
    service
}

fn health(checks: Option<(u32, HealthAction)>) -> Option<Health> {
    let (failures, action) = checks?;
    let checked = declare::checked(declare::process("any"), action).health?;
    Some(Health {
        failures,
        ..checked
    })
}

fn ready(probe: Option<Option<u64>>) -> Option<Ready> {
    probe.map(|timeout| Ready {
        probe: Probe::Tcp {
            host: "localhost".into(),
            port: 1,
        },
        interval: Duration::from_secs(1),
        timeout: timeout.map(Duration::from_millis),
    })
}

impl Life {
    /// Lives it. What it breaks comes with the trace of all that happened.
    pub(crate) fn live(&self) -> Verdict {
        let mut draft = Draft::new(self);
        let scripts: BTreeMap<ServiceName, Vec<Script>> = (0..)
            .zip(&self.specs)
            .map(|(i, spec)| (service_name(i), spec.scripts.clone()))
            .collect();
        let latency = Duration::from_millis(self.latency);
        let mut world = World::new(draft.manifest(), scripts, latency, self.noise);
        self.live_in(&mut world, &mut draft)
            .map_err(|objection| format!("{objection}\n{}", world.trace.join("\n")))
    }

    fn live_in(&self, world: &mut World, draft: &mut Draft) -> Verdict {
        for (wait, deed) in &self.deeds {
            match wait {
                Wait::No => {}
                Wait::Milliseconds(span) => world.pass(Duration::from_millis(*span))?,
                Wait::Rest => world.rest()?,
            }
            let (order, edits, picks): (Order, &[Edit], &[usize]) = match deed {
                Deed::Up(edits, picks) => (Order::Up, edits, picks),
                Deed::Restart(edits, picks) => (Order::Restart, edits, picks),
                Deed::Down(picks) => (Order::Down, &[], picks),
                Deed::Hurry => {
                    world.hurry()?;
                    continue;
                }
                Deed::Die(away) => {
                    world.die(Duration::from_millis(*away))?;
                    continue;
                }
            };
            for edit in edits {
                draft.edit(edit);
            }
            let selection = match order {
                Order::Down => world.held(picks),
                Order::Up | Order::Restart => draft.selection(picks),
            };
            if selection.is_empty() && !picks.is_empty() {
                continue;
            }
            world.order(order, &selection, &draft.manifest())?;
        }
        world.rest()?;
        world.down()
    }
}

pub(crate) fn lives() -> impl Strategy<Value = Life> {
    let specs = prop::collection::vec(spec(), 1..=MOST_SERVICES);
    let deeds = prop::collection::vec((wait(), deed()), 0..8);
    let latency = select(vec![0_u64, 0, 1, 20]);
    (specs, wiring(), deeds, latency, any::<u64>()).prop_map(
        |(specs, wiring, mut deeds, latency, noise)| {
            deeds.insert(0, (Wait::No, Deed::Up(Vec::new(), Vec::new())));
            Life {
                specs,
                wiring,
                deeds,
                latency,
                noise,
            }
        },
    )
}

/// Services that do as they should, and no orders.
pub(crate) fn life_without_scripts() -> impl Strategy<Value = Life> {
    lives().prop_map(|mut life| {
        for spec in &mut life.specs {
            spec.scripts.clear();
        }
        life.deeds.clear();
        life
    })
}

fn spec() -> impl Strategy<Value = Spec> {
    let probe = prop_oneof![Just(None), probe().prop_map(Some)];
    // With 0, as the plans of other tests count on: their tasks end with it.
    let others = subsequence(vec![Exit::Code(3), Exit::Signal(Signal(15))], 0..=2);
    let success = others.prop_map(|others| [vec![Exit::Code(0)], others].concat());
    (
        prop::bool::weighted(0.25),
        probe,
        settle(),
        checks(),
        restart(),
        select(vec![0_u64, 100, 1_000, 10_000]),
        success,
        prop::collection::vec(script(), 0..5),
    )
        .prop_map(
            |(is_task, probe, settle, health, restart, stop_timeout, success_exit, scripts)| Spec {
                is_task,
                probe,
                settle,
                health,
                restart,
                stop_timeout,
                success_exit,
                scripts,
            },
        )
}

fn checks() -> impl Strategy<Value = Option<(u32, HealthAction)>> {
    let action = select(vec![HealthAction::Restart, HealthAction::Report]);
    prop::option::weighted(0.4, (1..3_u32, action))
}

fn probe() -> impl Strategy<Value = Option<u64>> {
    select(vec![Some(500), Some(2_000), Some(40), None])
}

fn settle() -> impl Strategy<Value = u64> {
    select(vec![0, 1, 150, 500, 5_000])
}

fn restart() -> impl Strategy<Value = Restart> {
    (
        select(vec![Policy::OnFailure, Policy::Always, Policy::Never]),
        select(vec![1_000_u64, 10, 0]),
        select(vec![1.0, 2.0]),
        select(vec![60_000_u64, 1_500, 5]),
        select(vec![0.0, 0.1, 1.0]),
        select(vec![2_000_u64, 100, 0]),
        select(vec![Some(3), Some(2), Some(1), None]),
        subsequence(vec![Exit::Code(42), Exit::Code(0)], 0..=2),
    )
        .prop_map(
            |(policy, delay, factor, max_delay, jitter, stable, max_failures, no_retry_exit)| {
                Restart {
                    policy,
                    delay: Duration::from_millis(delay),
                    factor,
                    max_delay: Duration::from_millis(max_delay),
                    jitter,
                    stable_after: Duration::from_millis(stable),
                    max_failures,
                    no_retry_exit,
                }
            },
        )
}

fn script() -> impl Strategy<Value = Script> {
    let answer = prop_oneof![
        6 => Just(Answer::Spawned),
        2 => Just(Answer::SpawnedStubbornly),
        1 => Just(Answer::Failed),
        1 => Just(Answer::Blocked),
    ];
    let ended = select(vec![
        Ended::Exit(Exit::Code(1)),
        Ended::Exit(Exit::Code(0)),
        Ended::Exit(Exit::Code(3)),
        Ended::Exit(Exit::Code(42)),
        Ended::Exit(Exit::Signal(Signal(9))),
        Ended::Exit(Exit::Signal(Signal(15))),
        Ended::Unknown,
    ]);
    let stragglers = prop_oneof![
        4 => Just(Stragglers::None),
        1 => Just(Stragglers::Heed(50)),
        1 => Just(Stragglers::Ignore),
    ];
    let on_kill = prop_oneof![
        12 => Just(OnKill::Dies(1)),
        2 => Just(OnKill::DiesLate(3_000)),
        1 => Just(OnKill::Survives),
        1 => Just(OnKill::Silence),
    ];
    (
        select(vec![1_u64, 0, 50, 400]),
        answer,
        prop_oneof![4 => select(vec![1_u64, 0, 300, 1_500]).prop_map(Some), 1 => Just(None)],
        prop::option::weighted(0.6, (select(vec![1_u64, 0, 150, 700, 4_000]), ended)),
        prop::option::weighted(0.8, select(vec![1_u64, 0, 80, 2_000])),
        prop::collection::vec((select(vec![2_u64, 30, 500, 3_000]), any::<bool>()), 0..5),
        stragglers,
        on_kill,
    )
        .prop_map(
            |(
                answer_after,
                answer,
                ready_after,
                ends_after,
                heeds,
                checks,
                stragglers,
                on_kill,
            )| Script {
                answer_after,
                answer,
                ready_after,
                ends_after,
                heeds_term_after: heeds,
                checks,
                stragglers,
                on_kill,
            },
        )
}

fn wiring() -> impl Strategy<Value = Wiring> {
    let all: Vec<usize> = (0..MOST_SERVICES).collect();
    let condition = select(vec![
        Condition::Ready,
        Condition::Started,
        Condition::Completed,
    ]);
    let edge = (
        condition,
        prop::bool::weighted(0.8),
        prop::bool::weighted(0.3),
    );
    let edge = edge.prop_map(|(condition, required, restart)| Dependency {
        condition,
        required,
        restart,
    });
    (
        Just(all.clone()).prop_shuffle(),
        prop::collection::vec((0..MOST_SERVICES, 0..3_usize, edge), 0..12),
        Just(all).prop_shuffle(),
    )
        .prop_map(|(order, edges, written)| Wiring {
            order,
            edges,
            written,
        })
}

fn wait() -> impl Strategy<Value = Wait> {
    prop_oneof![
        1 => Just(Wait::No),
        4 => select(vec![1_u64, 10, 60, 200, 1_100, 9_000]).prop_map(Wait::Milliseconds),
        1 => Just(Wait::Rest),
    ]
}

fn deed() -> impl Strategy<Value = Deed> {
    let picks = || {
        prop_oneof![
            1 => Just(Vec::new()),
            2 => prop::collection::vec(0..MOST_SERVICES, 1..3),
        ]
    };
    let edits = || prop::collection::vec(edit(), 0..3);
    prop_oneof![
        4 => (edits(), picks()).prop_map(|(edits, picks)| Deed::Up(edits, picks)),
        2 => (edits(), picks()).prop_map(|(edits, picks)| Deed::Restart(edits, picks)),
        3 => picks().prop_map(Deed::Down),
        1 => Just(Deed::Hurry),
        3 => select(vec![0, 1, 5, 50, 3_000, 90_000]).prop_map(Deed::Die),
    ]
}

pub(crate) fn edit() -> impl Strategy<Value = Edit> {
    let index = || 0..MOST_SERVICES;
    prop_oneof![
        1 => index().prop_map(Edit::Command),
        1 => index().prop_map(Edit::Environment),
        1 => index().prop_map(Edit::Description),
        1 => index().prop_map(Edit::Base),
        1 => (index(), select(vec![0_u64, 20, 3_000])).prop_map(|(i, d)| Edit::Delay(i, d)),
        1 => (index(), settle()).prop_map(|(i, s)| Edit::Settle(i, s)),
        1 => (index(), select(vec![0_u64, 30, 5_000])).prop_map(|(i, t)| Edit::StopTimeout(i, t)),
        1 => (index(), prop::option::of(probe())).prop_map(|(i, p)| Edit::Probe(i, p)),
        1 => (index(), checks()).prop_map(|(i, c)| Edit::Health(i, c)),
        1 => index().prop_map(Edit::Kind),
        2 => index().prop_map(Edit::When),
        2 => index().prop_map(Edit::Presence),
        3 => wiring().prop_map(Edit::Wiring),
    ]
}
