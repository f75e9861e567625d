//! What is left of services that were stopped while others run on: looked for, not remembered.

use std::sync::Arc;

use super::Supervisor;
use super::ending::{Ending, look};
use super::sessions::Sessions;
use crate::control::protocol::Proof;
use crate::id::{RunId, ServiceName};
use crate::machine::Survivor;
use crate::port::Port;
use crate::sys::census::Roots;
use crate::sys::identity::Identity;
use crate::sys::sweep;

/// The last run of a service, by which what is left of it can be found.
#[derive(Debug, Clone)]
pub(super) struct LastRun {
    pub(super) run: RunId,
    pub(super) leader: Option<Identity>,
    pub(super) sessions: Option<Arc<Sessions>>,
    pub(super) ports: Vec<Port>,
}

/// One service whose absence is to be proven.
struct Claim {
    service: ServiceName,
    ending: Ending,
    ports: Vec<Port>,
    /// What the stop itself could not end.
    stuck: Vec<Survivor>,
}

impl Supervisor {
    /// Looks for whatever is left of these services. One that never ran has left nothing.
    pub(super) fn prove(&self, services: &[ServiceName]) -> impl Future<Output = Proof> + use<> {
        let claims: Vec<Claim> = services
            .iter()
            .filter_map(|name| {
                let last = self.last_runs.get(name)?;
                let view = self.machine.view(name);
                Some(Claim {
                    service: name.clone(),
                    ending: Ending::new(
                        Roots {
                            leaders: last.leader.iter().cloned().collect(),
                            ..self.roots(last.run)
                        },
                        last.sessions.clone(),
                    )
                    .with_orphans(self.orphans_of(name)),
                    ports: last.ports.clone(),
                    stuck: view.map(|view| view.survivors).unwrap_or_default(),
                })
            })
            .collect();
        async move {
            let mut proof = Proof::default();
            for claim in claims {
                claim.examine(&mut proof).await;
            }
            proof
        }
    }
}

impl Claim {
    async fn examine(self, proof: &mut Proof) {
        let Self {
            service,
            ending,
            ports,
            stuck,
        } = self;
        let mut survivors = stuck;
        let roots = ending.roots_now().await;
        match look(move || sweep::who_is_there(&roots)).await {
            Ok(there) => {
                let known: Vec<i32> = survivors.iter().map(|one| one.pid).collect();
                let news = there.into_iter().filter(|one| !known.contains(&one.pid));
                survivors.extend(news.map(super::ending::survivor));
            }
            Err(error) => survivors.push(unknown(format!(
                "the processes cannot be looked at: {error}"
            ))),
        }
        let unclaimed = match &ending.orphans {
            Some(orphans) => orphans.unclaimed().await,
            None => Vec::new(),
        };
        if survivors.is_empty() && unclaimed.is_empty() {
            proof
                .verified
                .push(format!("no process of `{service}` is left"));
        } else if survivors.is_empty() {
            proof.verified.push(format!(
                "no process that is known to be of `{service}` is left"
            ));
        }
        for one in unclaimed {
            if !proof.unclaimed.contains(&one) {
                proof.unclaimed.push(one);
            }
        }
        if let Some(sessions) = &ending.sessions {
            match sessions.present().await {
                Ok(left) if left.is_empty() => {
                    proof
                        .verified
                        .push(format!("no tmux session of `{service}` is left"));
                }
                Ok(left) => survivors.extend(left.into_iter().map(|session| Survivor {
                    command: format!("tmux session `{}`", session.name),
                    ..unknown("it does not end".into())
                })),
                Err(error) => survivors.push(unknown(format!("tmux cannot be asked: {error}"))),
            }
        }
        if !ports.is_empty() {
            let held = super::ports::still_held(&ports, &service).await;
            if held.is_empty() {
                proof.verified.push(super::ports::are_free(&ports));
            }
            survivors.extend(held);
        }
        if !survivors.is_empty() {
            proof.survivors.insert(service.to_string(), survivors);
        }
    }
}

fn unknown(reason: String) -> Survivor {
    Survivor {
        pid: 0,
        command: "?".into(),
        user: "?".into(),
        reason,
        is_killed: false,
    }
}
