//! What `down` verified, and what survived it.

use std::collections::BTreeMap;

use super::table::{Cell, Table};
use super::{BAD, BUSY, GOOD, Look, STRONG, human};
use crate::control::protocol::Proof;
use crate::machine::{LeftProcess, Survivor};

/// A line for each thing that was looked at and found clean, then whatever survived.
pub fn proof(proof: &Proof, look: &Look) -> String {
    let mut text: String = proof
        .verified
        .iter()
        .map(|sentence| format!("{} {sentence}\n", look.paint(GOOD, "verified:")))
        .collect();
    text += &survivors(&proof.survivors, look);
    text += &unclaimed(&proof.unclaimed, look);
    text
}

/// The processes that are still there, by the service or group that they belonged to; empty when
/// there is none.
pub fn survivors(survivors: &BTreeMap<String, Vec<Survivor>>, look: &Look) -> String {
    let total = survivors.values().map(Vec::len).sum();
    if total == 0 {
        return String::new();
    }
    let verb = if total == 1 { "is" } else { "are" };
    let mut text = format!(
        "{} {} {verb} still there\n",
        look.paint(BAD, "survived:"),
        human::count(total, "process")
    );
    let mut table = Table::new(&["SERVICE", "PID", "USER", "REASON", "COMMAND"]);
    for (owner, processes) in survivors {
        for process in processes {
            table.row([
                Cell::styled(owner.as_str(), STRONG),
                process.pid.to_string().into(),
                process.user.as_str().into(),
                process.reason.as_str().into(),
                process.command.as_str().into(),
            ]);
        }
    }
    text += &table.text(look, "  ");
    text
}

/// The processes of the project of which it cannot be told whose they are; empty when there is none.
fn unclaimed(unclaimed: &[LeftProcess], look: &Look) -> String {
    if unclaimed.is_empty() {
        return String::new();
    }
    let verb = if unclaimed.len() == 1 { "is" } else { "are" };
    let named: Vec<String> = unclaimed
        .iter()
        .map(|one| format!("{} ({})", one.pid, one.command))
        .collect();
    format!(
        "{} {} of the project {verb} still there, and it cannot be told of which service: {}\n",
        look.paint(BUSY, "not verified:"),
        human::count(unclaimed.len(), "process"),
        named.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_no_known_service_is_named() {
        let doubtful = Proof {
            verified: vec!["no process that is known to be of `a` is left".into()],
            unclaimed: vec![LeftProcess {
                pid: 7,
                command: "sleep 1000".into(),
            }],
            ..Proof::default()
        };
        insta::assert_snapshot!(proof(&doubtful, &Look::PLAIN), @r"
        verified: no process that is known to be of `a` is left
        not verified: 1 process of the project is still there, and it cannot be told of which service: 7 (sleep 1000)
        ");
    }

    #[test]
    fn a_clean_proof_lists_what_was_verified() {
        let clean = Proof {
            verified: vec!["no process of 3 services is left".into()],
            ..Proof::default()
        };
        assert_eq!(
            proof(&clean, &Look::PLAIN),
            "verified: no process of 3 services is left\n"
        );
    }

    #[test]
    fn survivors_are_named_with_their_reason() {
        let survivor = Survivor {
            pid: 812,
            command: "node bridge.mjs".into(),
            user: "root".into(),
            reason: "belongs to another user".into(),
            is_killed: false,
        };
        let dirty = Proof {
            verified: Vec::new(),
            survivors: BTreeMap::from([("bridge".into(), vec![survivor])]),
            ..Proof::default()
        };
        insta::assert_snapshot!(proof(&dirty, &Look::PLAIN), @r"
        survived: 1 process is still there
          SERVICE  PID  USER  REASON                   COMMAND
          bridge   812  root  belongs to another user  node bridge.mjs
        ");
    }
}
