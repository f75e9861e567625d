//! Instances of templates.
//!
//! An instance is a service that the order which starts it declares, and that the manifest which is
//! held (and so the ledger) goes on declaring: orders find it there, and a supervisor that comes
//! after this one too. It is declared no longer once it is stopped or has ended well; what failed
//! stays, to be looked at.

use super::Supervisor;
use super::orders::refusal;
use crate::code;
use crate::control::protocol::{OrderRequest, Refusal};
use crate::exit::ExitCode;
use crate::id::ServiceName;
use crate::machine::{Goal, StateWord};
use crate::manifest::model::Manifest;
use crate::plan::Selector;
use crate::record::Line;

impl Supervisor {
    /// The order, with the instances that there are: two who start one each at the same time do not
    /// know of the other's. Those that are no more are left out, unless they are asked for.
    pub(super) fn with_instances(&self, request: &OrderRequest) -> OrderRequest {
        let mut request = request.clone();
        let Some(manifest) = &mut request.manifest else {
            return request;
        };
        let held = self.manifest.iter().flat_map(|held| held.services.values());
        for service in held {
            if let Some(instance) = &service.instance
                && manifest.templates.contains_key(&instance.template)
                && !manifest.services.contains_key(&service.name)
            {
                manifest
                    .services
                    .insert(service.name.clone(), service.clone());
            }
        }
        let is_named =
            |name: &ServiceName| request.selection.contains(&Selector::Service(name.clone()));
        manifest.services.retain(|name, service| {
            service.instance.is_none() || is_named(name) || self.is_wanted(name)
        });
        request
    }

    /// A template may bound the number of its instances.
    pub(super) fn check_instances(
        &self,
        manifest: &Manifest,
        selection: &[Selector],
    ) -> Result<(), Refusal> {
        for (template, meaning) in &manifest.templates {
            let Some(most) = meaning.max_instances else {
                continue;
            };
            let of_it = manifest.services.values().filter(|service| {
                let instance = service.instance.as_ref();
                instance.is_some_and(|instance| instance.template == *template)
            });
            let (there, new): (Vec<_>, Vec<_>) = of_it
                .map(|one| &one.name)
                .partition(|name| self.is_wanted(name));
            let is_asked = new
                .iter()
                .any(|name| selection.contains(&Selector::Service((*name).clone())));
            if !is_asked || there.len() + new.len() <= usize::try_from(most).unwrap_or(usize::MAX) {
                continue;
            }
            let names: Vec<String> = there.iter().map(|name| format!("`{name}`")).collect();
            return Err(refusal(
                code!("run::too_many_instances"),
                format!(
                    "`{template}` may have {most} {} at a time (`max_instances`)",
                    if most == 1 { "instance" } else { "instances" }
                ),
                Some(match names.as_slice() {
                    [] => "ask for fewer".to_owned(),
                    [one] => format!("stop {one}"),
                    names => format!("stop one of {}", names.join(", ")),
                }),
                ExitCode::Blocked,
            ));
        }
        Ok(())
    }

    /// Whether an instance is wanted, and so there or at least to be seen.
    fn is_wanted(&self, name: &ServiceName) -> bool {
        let is_held = self
            .manifest
            .as_ref()
            .is_some_and(|held| held.services.contains_key(name));
        is_held
            && self
                .machine
                .view(name)
                .is_some_and(|view| view.goal == Goal::Up)
    }

    /// These instances are declared no longer.
    pub(super) fn retire(&mut self, names: &[ServiceName]) {
        let Some(held) = &mut self.manifest else {
            return;
        };
        let before = held.services.len();
        held.services
            .retain(|name, service| service.instance.is_none() || !names.contains(name));
        if held.services.len() == before {
            return;
        }
        let line = Line::Manifest(Box::new(held.clone()));
        if let Err(error) = self.write_ledger(line) {
            // The next supervisor finds it ended.
            eprintln!("{error}");
        }
    }

    /// An instance that has ended well makes room for others.
    pub(super) fn retire_if_over(&mut self, name: &ServiceName) {
        let is_over = name.instance().is_some()
            && self.machine.view(name).is_some_and(|view| {
                view.goal == Goal::Up
                    && matches!(view.state, StateWord::Completed | StateWord::Inactive)
            });
        if is_over {
            self.retire(std::slice::from_ref(name));
        }
    }
}
