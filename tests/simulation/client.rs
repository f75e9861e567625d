//! A command that waits for an order, as far as it decides when to answer: it hears of one service at
//! a time, and answers once every service that the order is about is said to rest.

use std::collections::BTreeMap;

use baudbot::id::ServiceName;
use baudbot::machine::{Effect, Project, View};
use baudbot::plan::Plan;

use crate::oracle::{Verdict, ensure};

#[derive(Debug, Clone, Default)]
pub(crate) struct Client {
    /// What it was told last of each service that its order is about.
    told: BTreeMap<ServiceName, Option<View>>,
}

impl Client {
    /// Its order was just carried out.
    pub(crate) fn of(plan: &Plan, project: &Project) -> Self {
        let steps = plan.waves.iter().flatten();
        let told = steps.map(|step| (step.service.clone(), project.view(&step.service)));
        Self {
            told: told.collect(),
        }
    }

    /// The supervisor died: it is asked anew, and tells everything at once.
    pub(crate) fn ask_again(&mut self, project: &Project) {
        for (name, told) in &mut self.told {
            *told = project.view(name);
        }
    }

    /// Hears the news one after the other. Whenever it would answer, everything has to rest.
    pub(crate) fn hear(&mut self, effects: &[Effect], project: &Project) -> Verdict {
        for effect in effects {
            let Effect::Announce(name) = effect else {
                continue;
            };
            let Some(told) = self.told.get_mut(name) else {
                continue;
            };
            *told = project.view(name);
            if !self.told.values().all(rests) {
                continue;
            }
            for name in self.told.keys() {
                ensure!(
                    rests(&project.view(name)),
                    "P11: an order was answered while `{name}` was on its way"
                );
            }
        }
        Ok(())
    }
}

fn rests(view: &Option<View>) -> bool {
    view.as_ref().is_none_or(|view| view.is_settled)
}
