//! The pure heart of the supervisor. (Theory to be written by its author.)

mod interface;

pub use interface::*;

use crate::id::{RunId, ServiceName};
use crate::manifest::model::Manifest;
use crate::plan::{Observed, Plan};
use crate::time::Moment;

/// All services of a project, their goals and states.
pub struct Project {}

impl Project {
    /// An empty project. `seed` feeds the jitter of restart delays; the first run gets `first_run`.
    pub fn new(_seed: u64, _first_run: RunId) -> Self {
        todo!()
    }

    /// Sets goals and declarations as `plan` says (made from this very `manifest` and from
    /// [`Project::observed`]), and returns what is to be done now.
    ///
    /// `manifest` is `None` for orders that stop only. Services that the plan does not name are
    /// left as they are.
    pub fn apply(
        &mut self,
        _manifest: Option<&Manifest>,
        _plan: &Plan,
        _now: Moment,
    ) -> Vec<Effect> {
        todo!()
    }

    /// Takes in what happened to a run.
    pub fn handle(&mut self, _event: Event, _now: Moment) -> Vec<Effect> {
        todo!()
    }

    /// Acts on every deadline that has passed. A call without one is harmless.
    pub fn handle_deadline(&mut self, _now: Moment) -> Vec<Effect> {
        todo!()
    }

    /// The next moment at which [`Project::handle_deadline`] has something to do.
    pub fn next_deadline(&self) -> Option<Moment> {
        todo!()
    }

    /// KILL without grace for every run that is being stopped, now and from now on until the
    /// project is down or a new order comes (`down --now`).
    pub fn hurry(&mut self, _now: Moment) -> Vec<Effect> {
        todo!()
    }

    /// What the planner needs to know of what runs.
    pub fn observed(&self) -> Observed {
        todo!()
    }

    /// One service as people see it; `None` for a name that the project does not hold.
    pub fn view(&self, _service: &ServiceName) -> Option<View> {
        todo!()
    }

    /// All names that the project holds, those too that are only being stopped; in the order of the
    /// manifest, what left the manifest last.
    pub fn services(&self) -> Vec<ServiceName> {
        todo!()
    }

    /// Whether every goal is down and nothing lives or waits.
    pub fn is_down(&self) -> bool {
        todo!()
    }
}
