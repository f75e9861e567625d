//! What there is to say of services whose supervisor was killed.

use std::time::{Duration, Instant};

use super::super::session;
use crate::control::protocol::Status;
use crate::event_log;
use crate::machine::Goal;
use crate::store::{Project, living};

/// How long a supervisor that its guardian starts again is waited for.
const BACK_WITHIN: Duration = Duration::from_secs(2);

/// Whether a supervisor that did not answer is started again by its guardian, and answers.
pub(super) async fn is_brought_back(project: &Project) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < BACK_WITHIN && project.living_guardian().is_some() {
        if let Ok(Some(_)) = session::running(project).await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

/// The status with the processes that run although nobody supervises them, in the states that they
/// were in when somebody still did.
pub(super) fn with_what_runs(mut status: Status, project: &Project) -> Status {
    // Whoever gives the next order is told what is wrong with a ledger that cannot be read.
    let Ok(ledger) = project.read_ledger() else {
        return status;
    };
    let alive = ledger.open.values();
    let alive: Vec<_> = alive.filter(|run| living(&run.leader).is_some()).collect();
    if alive.is_empty() {
        return status;
    }
    let states = event_log::last_states(&project.events_file());
    for (name, service) in &mut status.services {
        if let Some(state) = states.get(name).filter(|state| state.is_down()) {
            service.state = *state;
        }
    }
    for run in alive {
        let service = status.services.entry(run.service.clone());
        let declared = ledger.manifest.as_ref();
        let declared = declared.and_then(|manifest| manifest.services.get(&run.service));
        let service = match (service, declared) {
            (indexmap::map::Entry::Occupied(known), _) => known.into_mut(),
            (indexmap::map::Entry::Vacant(free), Some(declared)) => {
                free.insert(super::inactive(declared))
            }
            (indexmap::map::Entry::Vacant(_), None) => continue,
        };
        service.goal = Goal::Up;
        service.pid = Some(run.leader.pid);
        service.run = Some(run.run);
        if let Some(state) = states.get(&run.service) {
            service.state = *state;
        }
        service.reason = Some("its supervisor was killed; nobody watches it".into());
    }
    status
}
