//! Orders: checked whole before anything changes, planned, carried out.

use std::path::Path;

use tokio::sync::oneshot;

use super::Supervisor;
use super::finish::sweep_group;
use crate::catalogue::Code;
use crate::code;
use crate::control::protocol::{OrderReply, OrderRequest, Refusal, VERSION};
use crate::control::server::{Request, Snapshot};
use crate::event::By;
use crate::exit::ExitCode;
use crate::graph::Graph;
use crate::machine::{Goal, StateWord};
use crate::manifest::model::{Manifest, TmuxServer};
use crate::manifest::{is_gone, is_same_file};
use crate::plan::{Action, Observed, Order, Plan, Selector, UnknownSelector, plan};
use crate::record::Line;

type Answer = oneshot::Sender<Result<OrderReply, Refusal>>;

impl Supervisor {
    pub(super) fn answer(&mut self, request: Request) {
        // Whoever asked may have gone.
        match request {
            Request::Status { usage, answer } => {
                let snapshot = Snapshot {
                    sequence: self.sequence,
                    status: self.status(),
                };
                if usage {
                    self.answer_with_usage(snapshot, answer);
                } else {
                    let _ = answer.send(snapshot);
                }
            }
            Request::Order(order, by, answer) => self.answer_order(&order, by, answer),
            Request::HandOver(request, answer) => self.ask_program(request.program, answer),
            Request::Proof(services, answer) => {
                let proof = self.prove(&services);
                tokio::spawn(async move {
                    let _ = answer.send(proof.await);
                });
            }
        }
    }

    fn answer_order(&mut self, request: &OrderRequest, by: By, answer: Answer) {
        let reply = self.order(request, by);
        let sweeps = match &reply {
            Ok(_) if request.dry_run => Vec::new(),
            Ok(_) if request.order == Order::Down => self.selected_group_sweeps(&request.selection),
            Ok(reply) => self.skipped_sweeps(&reply.targets),
            Err(_) => Vec::new(),
        };
        if sweeps.is_empty() {
            let _ = answer.send(reply);
            return;
        }
        // The sessions of a group without members, and those that are there in the name of a service
        // without a run, have no state that could be followed: the answer itself waits for their end.
        let spared = self.spared();
        tokio::spawn(async move {
            let mut failed = Vec::new();
            for sessions in &sweeps {
                if let Err(error) = sweep_group(sessions, spared.clone()).await {
                    failed.push(error);
                }
            }
            let reply = if failed.is_empty() {
                reply
            } else {
                Err(survived(&failed))
            };
            let _ = answer.send(reply);
        });
    }

    /// What is there in the name of services that are skipped and have no run, whoever started it.
    /// (The sessions of a run end with it.)
    fn skipped_sweeps(
        &self,
        targets: &[crate::id::ServiceName],
    ) -> Vec<std::sync::Arc<super::sessions::Sessions>> {
        targets
            .iter()
            .filter_map(|name| self.machine.view(name))
            .filter(|view| view.state == StateWord::Skipped)
            .filter_map(|view| self.own_sessions(&view.service))
            .collect()
    }

    /// The same, for an order that nobody waits for the answer of.
    pub(super) fn sweep_skipped(&self, targets: &[crate::id::ServiceName]) {
        let spared = self.spared();
        let sweeps = self.skipped_sweeps(targets);
        tokio::spawn(async move {
            for sessions in &sweeps {
                if let Err(error) = sweep_group(sessions, spared.clone()).await {
                    eprintln!("{error}");
                }
            }
        });
    }

    fn selected_group_sweeps(
        &self,
        selection: &[Selector],
    ) -> Vec<std::sync::Arc<super::sessions::Sessions>> {
        let Some(manifest) = &self.manifest else {
            return Vec::new();
        };
        selection
            .iter()
            .filter_map(|selector| match selector {
                Selector::Group(name) => self.group_sessions(manifest.groups.get(name)?),
                Selector::Service(_) => None,
            })
            .collect()
    }

    /// Takes an order. A refused one changes nothing.
    pub(super) fn order(&mut self, request: &OrderRequest, by: By) -> Result<OrderReply, Refusal> {
        let request = &self.with_instances(request);
        if request.version != VERSION {
            return Err(refusal(
                code!("control::bad_version"),
                format!(
                    "the order has version {}, this supervisor reads {VERSION}",
                    request.version
                ),
                Some("use the same version of baudbot at both ends".into()),
                ExitCode::Failed,
            ));
        }
        let plan = self.plan(request)?;
        if !request.dry_run {
            self.apply(request, &plan, by)?;
        }
        let mut targets: Vec<_> = plan
            .waves
            .iter()
            .flatten()
            .chain(&plan.followers)
            .map(|s| s.service.clone())
            .collect();
        targets.sort();
        targets.dedup();
        Ok(OrderReply {
            version: VERSION,
            plan,
            targets,
            whole_project: request.order == Order::Down
                && (request.selection.is_empty() || (!request.dry_run && self.is_going_down())),
            order_id: match request.dry_run {
                true => 0,
                false => self.goals.last_id(),
            },
            sequence: self.sequence,
            status: self.status(),
        })
    }

    /// Whether nothing is wanted any more: the supervisor leaves when all is down.
    fn is_going_down(&self) -> bool {
        let names = self.machine.services();
        let mut views = names.iter().filter_map(|name| self.machine.view(name));
        views.all(|view| view.goal == Goal::Down)
    }

    fn plan(&self, request: &OrderRequest) -> Result<Plan, Refusal> {
        let given = match (
            request.order,
            request.manifest.as_ref().or(self.manifest.as_ref()),
        ) {
            (Order::Up | Order::Restart, Some(manifest)) => Some(manifest),
            (Order::Up | Order::Restart, None) => {
                return Err(refusal(
                    code!("control::bad_order"),
                    "nothing was ordered up yet, so an order to start things comes with a manifest"
                        .into(),
                    Some("give it once with `baudbot up`".into()),
                    ExitCode::Failed,
                ));
            }
            (Order::Down, _) => None,
        };
        if let Some(file) = &request.manifest_file {
            self.check_manifest_file(file)?;
        }
        if let Some(manifest) = given {
            self.check_same_manifest(manifest)?;
            self.check_instances(manifest, &request.selection)?;
        }
        let nothing = empty_manifest(self.project.name());
        let manifest = given.or(self.manifest.as_ref()).unwrap_or(&nothing);
        let graph = Graph::new(manifest).map_err(|_| {
            refusal(
                code!("manifest::dependency_cycle"),
                "services of the manifest depend on each other".into(),
                Some("`baudbot validate` shows where".into()),
                ExitCode::Manifest,
            )
        })?;
        let mut observed = self.machine.observed();
        loop {
            let plan = plan(
                request.order,
                &request.selection,
                manifest,
                &graph,
                &observed,
            )
            .map_err(|unknown| unknown_selectors(&unknown))?;
            // What is kept for want of something changes what others follow, so the plan is made anew
            // until nothing that it restarts lacks anything. Each round keeps one service more.
            if !self.look_for_lacks(&plan, manifest, &mut observed) {
                return Ok(plan);
            }
        }
    }

    /// Notes what the services lack whose live runs `plan` would stop for new ones. Returns whether
    /// there was anything to note.
    fn look_for_lacks(&self, plan: &Plan, manifest: &Manifest, observed: &mut Observed) -> bool {
        let mut is_news = false;
        let steps = plan.waves.iter().flatten();
        for step in steps.filter(|step| step.action == Action::Restart) {
            let (Some(declared), Some(held)) = (
                manifest.services.get(&step.service),
                observed.services.get(&step.service),
            ) else {
                continue;
            };
            // One that is on its way down already is not kept.
            if held.goal == Goal::Down || held.state == StateWord::Stopping {
                continue;
            }
            let mut lacks = self.lacks(declared);
            let known = &held.service.ports;
            let new_ports = declared.ports.iter().filter(|port| !known.contains(port));
            lacks.extend(self.held_by_strangers(new_ports.copied()));
            if !lacks.is_empty() {
                is_news |= observed.lacks.insert(step.service.clone(), lacks).is_none();
            }
        }
        is_news
    }

    /// Two manifests with one project's name would stop each other's services.
    fn check_same_manifest(&self, manifest: &Manifest) -> Result<(), Refusal> {
        if manifest.project != *self.project.name() {
            return Err(refusal(
                code!("run::other_project"),
                format!(
                    "this supervisor runs `{}`, not `{}`",
                    self.project.name(),
                    manifest.project
                ),
                None,
                ExitCode::Failed,
            ));
        }
        self.check_manifest_file(&manifest.file)
    }

    /// Whether an order that comes from this manifest may act on what runs. One whose manifest is not
    /// there any more makes way: its checkout was moved.
    fn check_manifest_file(&self, file: &Path) -> Result<(), Refusal> {
        let held = match &self.manifest {
            Some(held) if !self.machine.is_down() => &held.file,
            Some(_) | None => return Ok(()),
        };
        if is_gone(held) || is_same_file(held, file) {
            return Ok(());
        }
        let project = self.project.name();
        Err(refusal(
            code!("run::other_manifest"),
            format!(
                "project `{project}` runs from {}, not from {}",
                held.display(),
                file.display()
            ),
            Some(format!(
                "give one of the two another `project`; `baudbot -p {project} status` shows what \
                 runs, and `baudbot -p {project} down` takes it down"
            )),
            ExitCode::Blocked,
        ))
    }

    fn apply(&mut self, request: &OrderRequest, plan: &Plan, by: By) -> Result<(), Refusal> {
        let manifest = request.manifest.as_ref();
        if let Some(manifest) = manifest.filter(|_| request.order != Order::Down) {
            // What the ledger says already needs no room on a full disk. A ledger that was removed
            // says nothing to the next supervisor.
            let is_written = self.ledger.is_in_place()
                && self.ledger.sum().manifest.as_deref() == Some(manifest);
            if !is_written {
                self.write_ledger(Line::Manifest(Box::new(manifest.clone())))
                    .map_err(|error| {
                        refusal(
                            code!("run::ledger"),
                            super::starting::failure("writing the ledger", &error, false).message,
                            error.help(),
                            ExitCode::Failed,
                        )
                    })?;
            }
            self.manifest = Some(manifest.clone());
        }
        let stopped = plan.waves.iter().flatten();
        let stopped: Vec<_> = stopped
            .filter(|step| step.action == Action::Stop)
            .map(|step| step.service.clone())
            .collect();
        self.retire(&stopped);
        self.had_order = true;
        self.note_order(request, plan, by);
        let now = self.clock.now();
        let manifest = self
            .manifest
            .clone()
            .filter(|_| request.order != Order::Down);
        let goals = self.machine.goals();
        let mut effects = self.machine.apply(manifest.as_ref(), plan, now);
        self.note_goals(&goals);
        if request.now {
            effects.extend(self.machine.hurry(now));
        }
        self.carry_out(effects);
        Ok(())
    }

    /// What a signal to the supervisor asks for.
    pub(super) fn order_all_down(&mut self, now: bool) {
        let request = OrderRequest {
            version: VERSION,
            order: Order::Down,
            manifest: None,
            selection: Vec::new(),
            dry_run: false,
            now,
            manifest_file: None,
        };
        if let Err(refusal) = self.order(&request, By::Signal) {
            eprintln!("cannot stop: {refusal}");
        }
    }
}

fn empty_manifest(project: &crate::id::ProjectName) -> Manifest {
    Manifest {
        project: project.clone(),
        file: std::path::PathBuf::new(),
        tmux: TmuxServer::Private,
        groups: indexmap::IndexMap::new(),
        services: indexmap::IndexMap::new(),
        templates: indexmap::IndexMap::new(),
    }
}

pub(super) fn refusal(
    code: Code,
    message: String,
    help: Option<String>,
    exit: ExitCode,
) -> Refusal {
    Refusal {
        code: code.to_string(),
        message,
        help,
        exit: exit.number(),
    }
}

fn survived(failed: &[String]) -> Refusal {
    refusal(
        code!("run::survivors"),
        failed.join("; "),
        None,
        ExitCode::Failed,
    )
}

fn unknown_selectors(unknown: &[UnknownSelector]) -> Refusal {
    let message = unknown
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ");
    let helps: Vec<String> = unknown.iter().filter_map(UnknownSelector::help).collect();
    let help = match helps.as_slice() {
        [] => "`baudbot status` lists the names".to_owned(),
        helps => helps.join("; "),
    };
    refusal(
        code!("run::unknown_name"),
        message,
        Some(help),
        ExitCode::Usage,
    )
}
