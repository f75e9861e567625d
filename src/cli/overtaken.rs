//! What a command says whose order was contradicted by a later one.

use std::collections::BTreeMap;

use super::follow::Following;
use super::{Call, Failure};
use crate::code;
use crate::control::protocol::Ordered;
use crate::event::By;
use crate::exit::ExitCode;
use crate::id::ServiceName;
use crate::machine::Goal;
use crate::render::outcome;
use crate::sys::account::Account;

/// Says which services are wanted otherwise now, and by whose order.
pub(super) fn failure(call: &Call, following: &Following) -> Failure {
    let mut groups: BTreeMap<(&Ordered, bool), Vec<ServiceName>> = BTreeMap::new();
    for (name, (goal, later)) in following.overtaken() {
        let names = groups.entry((later, *goal == Goal::Up)).or_default();
        names.push(name.clone());
    }
    let sentences = groups.iter().map(|((later, is_up), names)| {
        let goal = if *is_up { Goal::Up } else { Goal::Down };
        let user = user_name(&later.by);
        outcome::overtaken(names, goal, later.order, &later.by, user.as_deref())
    });
    let sentences: Vec<String> = sentences.collect();
    let help = format!(
        "the later order holds; see what comes of it with `{}`",
        call.typed("status")
    );
    Failure::new(
        code!("run::overtaken"),
        ExitCode::Failed,
        sentences.join("; "),
    )
    .help(help)
}

fn user_name(by: &By) -> Option<String> {
    let By::Process { uid, .. } = by else {
        return None;
    };
    // Without an account the number has to do.
    Account::find(&uid.to_string())
        .ok()
        .flatten()
        .map(|account| account.name)
}
