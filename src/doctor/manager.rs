//! The service manager of the host, and what it does to a supervisor: at log-out, and as a unit.

use std::path::PathBuf;

use super::facts::Facts;
use super::{Finding, Verdict};

/// systemd, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagerFact {
    /// The user whom all this is about.
    pub user: String,
    /// Whether that user's services live on after the last log-out (`loginctl enable-linger`).
    pub lingers: bool,
    /// Whether a log-out ends what the session started, and the file that says so (`logind.conf(5)`,
    /// `KillUserProcesses`); `None`: no.
    pub kills_at_logout: Option<PathBuf>,
    /// The runtime directory, if it is one that goes away at the last log-out (`pam_systemd(8)`).
    pub fleeting_runtime_dir: Option<PathBuf>,
    /// The unit that the supervisor runs in, or that it would run in if it were started here.
    pub unit: Option<UnitFact>,
    /// Whether our control group may be divided by us (`Delegate=`).
    pub is_delegated: bool,
}

/// A unit, and those of its settings that can break something (`systemd.kill(5)`,
/// `systemd.exec(5)`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitFact {
    /// Its name, as in `agent.service`.
    pub name: String,
    /// Whether the supervisor is its main process; `None` while none runs.
    pub is_main: Option<bool>,
    /// `KillMode=`.
    pub kill_mode: Option<String>,
    /// `PrivateTmp=`.
    pub has_private_tmp: bool,
    /// Whether the runtime directory is below `/tmp`.
    pub uses_tmp: bool,
    /// `Type=`.
    pub kind: Option<String>,
}

/// What happens at log-out.
pub(super) fn log_out(facts: &Facts) -> Vec<Finding> {
    let name = "log-out";
    let Some(manager) = &facts.manager else {
        return vec![Finding::good(
            name,
            "no systemd runs here that could end anything",
        )];
    };
    let fix = format!("`loginctl enable-linger {}`", manager.user);
    let ManagerFact {
        user,
        lingers,
        kills_at_logout,
        fleeting_runtime_dir,
        ..
    } = manager;
    if *lingers {
        return vec![Finding::good(
            name,
            format!("{user} lingers: what runs stays"),
        )];
    }
    // What a unit starts is no part of a log-in session.
    if manager.unit.is_some() {
        return vec![Finding::good(name, "a unit is not ended by a log-out")];
    }
    let mut findings = Vec::new();
    if let Some(file) = kills_at_logout {
        findings.push(Finding::bad(
            name,
            format!(
                "a log-out of {user} ends all that the session started: KillUserProcesses=yes in {}",
                file.display()
            ),
            &fix,
        ));
    }
    if let Some(directory) = fleeting_runtime_dir {
        let finding = format!(
            "{} is removed when {user} logs out for the last time: what runs then goes on, but cannot be reached",
            directory.display()
        );
        findings.push(Finding::bad(name, finding, &fix));
    }
    if findings.is_empty() {
        findings.push(Finding::good(name, format!("what {user} started stays")));
    }
    findings
}

/// What the unit around the supervisor does to it.
pub(super) fn unit(facts: &Facts) -> Vec<Finding> {
    let name = "unit";
    let Some(unit) = facts
        .manager
        .as_ref()
        .and_then(|manager| manager.unit.as_ref())
    else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    if unit.is_main == Some(false) {
        findings.push(Finding::bad(
            name,
            format!(
                "the supervisor runs in {} and is not its main process: it is ended, and all services with it, when that unit stops",
                unit.name
            ),
            "make `baudbot up --foreground` the ExecStart= of a unit of its own, or start it by `systemd-run --user --scope baudbot up`",
        ));
    }
    match unit.kill_mode.as_deref() {
        None | Some("mixed") => {}
        Some("control-group") => findings.push(Finding::note(
            name,
            format!(
                "{} has KillMode=control-group: when it stops, systemd sends TERM to all services at once, before the supervisor can stop them in their order and by their own signals",
                unit.name
            ),
            "set KillMode=mixed",
        )),
        Some(mode) => findings.push(Finding::note(
            name,
            format!(
                "{} has KillMode={mode}: what the supervisor cannot end when the unit stops is left running",
                unit.name
            ),
            "set KillMode=mixed, with which systemd kills at the end of a stop whatever is left",
        )),
    }
    if unit.has_private_tmp && unit.uses_tmp {
        findings.push(Finding::bad(
            name,
            format!(
                "{} has PrivateTmp=yes, and the sockets of the project are below /tmp: no other shell can reach them",
                unit.name
            ),
            "add RuntimeDirectory=baudbot to the unit, or set XDG_RUNTIME_DIR in it",
        ));
    }
    if unit.is_main == Some(true)
        && let Some(kind) = unit
            .kind
            .as_deref()
            .filter(|kind| !kind.starts_with("notify"))
    {
        findings.push(Finding::note(
            name,
            format!(
                "{} has Type={kind}: it counts as started before its services are ready",
                unit.name
            ),
            "set Type=notify",
        ));
    }
    if findings.iter().all(|one| one.verdict == Verdict::Note) && unit.is_main == Some(true) {
        let good = format!("the supervisor is the main process of {}", unit.name);
        findings.insert(0, Finding::good(name, good));
    }
    findings
}

/// Whether control groups could be used.
pub(super) fn delegation(facts: &Facts) -> Vec<Finding> {
    let Some(manager) = &facts.manager else {
        return Vec::new();
    };
    let what = if manager.is_delegated {
        "ours to divide, and not needed: the mark does their work"
    } else {
        "not ours to divide (no Delegate=), and not needed: the mark does their work"
    };
    vec![Finding::good("control groups", what)]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn lingering() -> ManagerFact {
        ManagerFact {
            user: "ada".into(),
            lingers: true,
            kills_at_logout: None,
            fleeting_runtime_dir: None,
            unit: None,
            is_delegated: false,
        }
    }

    fn with(change: impl FnOnce(&mut ManagerFact)) -> Facts {
        let mut manager = lingering();
        change(&mut manager);
        Facts {
            manager: Some(manager),
            ..crate::doctor::checks::tests::healthy()
        }
    }

    fn bad(findings: &[Finding]) -> Vec<&str> {
        let bad = findings.iter().filter(|one| one.verdict == Verdict::Bad);
        bad.map(|one| one.fix.as_deref().unwrap_or_default())
            .collect()
    }

    #[test]
    fn a_log_out_that_ends_things_is_found() {
        assert_eq!(bad(&log_out(&with(|_| ()))), Vec::<&str>::new());
        let found = log_out(&with(|manager| {
            manager.lingers = false;
            manager.kills_at_logout = Some("/etc/systemd/logind.conf".into());
            manager.fleeting_runtime_dir = Some("/run/user/1000".into());
        }));
        assert_eq!(bad(&found), ["`loginctl enable-linger ada`"; 2]);
        let in_a_unit = log_out(&with(|manager| {
            manager.lingers = false;
            manager.fleeting_runtime_dir = Some("/run/user/1000".into());
            manager.unit = Some(UnitFact::default());
        }));
        assert_eq!(bad(&in_a_unit), Vec::<&str>::new());
    }

    #[test]
    fn a_unit_that_breaks_things_is_found() {
        let unit_of = |fact: UnitFact| unit(&with(|manager| manager.unit = Some(fact)));
        let good = UnitFact {
            name: "agent.service".into(),
            is_main: Some(true),
            kill_mode: Some("mixed".into()),
            kind: Some("notify".into()),
            ..UnitFact::default()
        };
        let found = unit_of(good.clone());
        assert_eq!((found.len(), found[0].verdict), (1, Verdict::Good));
        let found = unit_of(UnitFact {
            is_main: Some(false),
            has_private_tmp: true,
            uses_tmp: true,
            kill_mode: Some("process".into()),
            ..good.clone()
        });
        assert_eq!(bad(&found).len(), 2, "{found:#?}");
        assert!(
            found
                .iter()
                .any(|one| one.finding.contains("KillMode=process"))
        );
        let found = unit_of(UnitFact {
            kill_mode: Some("control-group".into()),
            ..good.clone()
        });
        assert_eq!(found[1].fix.as_deref(), Some("set KillMode=mixed"));
        let found = unit_of(UnitFact {
            kind: Some("simple".into()),
            ..good
        });
        let verdicts: Vec<Verdict> = found.iter().map(|one| one.verdict).collect();
        assert_eq!(verdicts, [Verdict::Good, Verdict::Note]);
    }
}
