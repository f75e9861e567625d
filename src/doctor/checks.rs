//! The checks: each a pure function from what was seen to what it means and how to mend it.

use super::facts::{Directory, DirectoryState, Facts, HeldPort, Leftover, ManifestFact, OwnedPort};
use super::manager::{delegation, log_out, unit};
use super::{Finding, Verdict};
use crate::layers::Layer;

/// One check.
pub(super) type Check = fn(&Facts) -> Vec<Finding>;

/// All of them, in the order in which people are told.
pub(super) const ALL: &[Check] = &[
    kernel,
    tmux,
    directories,
    manifest,
    ports,
    unwatched,
    leftovers,
    log_out,
    unit,
    delegation,
];

/// The layers of containment.
fn kernel(facts: &Facts) -> Vec<Finding> {
    let held: Vec<&str> = Layer::ALL
        .into_iter()
        .filter(|layer| facts.layers.of(*layer).is_held())
        .map(Layer::name)
        .collect();
    let good = Finding::good(
        "kernel",
        format!("Linux {}: {} hold", facts.kernel, held.join(", ")),
    );
    let missing = facts.layers.missing().map(|(layer, why)| {
        let finding = format!("{} does not hold: {why}; {}", layer.name(), layer.without());
        match layer {
            Layer::Children | Layer::ExitStatus | Layer::Cgroup => {
                Finding::note("kernel", finding, fix_of(layer))
            }
            Layer::Mark | Layer::Subreaper | Layer::Pidfd => {
                Finding::bad("kernel", finding, fix_of(layer))
            }
        }
    });
    std::iter::once(good).chain(missing).collect()
}

fn fix_of(layer: Layer) -> &'static str {
    match layer {
        Layer::Mark => {
            "start baudbot where the limit of file locks is unlimited: `ulimit -x unlimited`; in a systemd unit `LimitLOCKS=infinity`; a container must let `prlimit64` through"
        }
        Layer::Subreaper => "let `prctl` through the filter of system calls",
        Layer::Pidfd => {
            "use Linux 5.3 or newer, and let `pidfd_open` through the filter of system calls"
        }
        Layer::Children => "nothing breaks; a kernel with CONFIG_PROC_CHILDREN is faster",
        Layer::ExitStatus => "nothing breaks; Linux 6.15 and newer tell",
        Layer::Cgroup => "nothing is to be done",
    }
}

fn tmux(facts: &Facts) -> Vec<Finding> {
    let fix = "install it (`apt install tmux`, `dnf install tmux`), or add its directory to PATH";
    vec![match (&facts.tmux.version, facts.tmux.is_needed) {
        (Ok(version), _) => Finding::good("tmux", version),
        (Err(why), true) => Finding::bad(
            "tmux",
            format!("services run in tmux, and it cannot be executed: {why}"),
            fix,
        ),
        (Err(why), false) => Finding::note(
            "tmux",
            format!("it cannot be executed: {why}; no service of the manifest needs it"),
            fix,
        ),
    }]
}

fn directories(facts: &Facts) -> Vec<Finding> {
    facts.directories.iter().map(directory).collect()
}

fn directory(directory: &Directory) -> Finding {
    let name = "directories";
    let place = format!("the {} {}", directory.what, directory.path.display());
    let elsewhere = "choose another place with XDG_STATE_HOME and XDG_RUNTIME_DIR";
    let path = directory.path.display();
    match &directory.state {
        DirectoryState::Private => Finding::good(name, format!("{place} is ours alone")),
        DirectoryState::Absent => Finding::good(name, format!("{place} can be made")),
        DirectoryState::Open(mode) => Finding::note(
            name,
            format!("{place} has the rights {mode:03o}, so others may look into it"),
            format!("`chmod 700 {path}`; the next `up` does it too"),
        ),
        DirectoryState::Foreign(owner) => Finding::bad(
            name,
            format!("{place} belongs to {owner}"),
            format!("{elsewhere}, or have it removed"),
        ),
        DirectoryState::NotADirectory => Finding::bad(
            name,
            format!("{place} is not a directory"),
            format!("move {path} out of the way"),
        ),
        DirectoryState::Unwritable(why) => Finding::bad(
            name,
            format!("{place} cannot be written to: {why}"),
            format!("mend its rights, or {elsewhere}"),
        ),
        DirectoryState::TooLong => Finding::bad(
            name,
            format!("{place} has too long a name for the sockets in it"),
            "set XDG_RUNTIME_DIR to a shorter path, or choose a shorter project name",
        ),
    }
}

fn manifest(facts: &Facts) -> Vec<Finding> {
    let name = "manifest";
    vec![match &facts.manifest {
        ManifestFact::Missing(why) => Finding::note(
            name,
            why,
            "name it with `-f FILE`, or write one with `baudbot init`",
        ),
        ManifestFact::Wrong { file, errors } => Finding::bad(
            name,
            format!("{} has {}", file.display(), count(*errors, "mistake")),
            "`baudbot validate` shows each with its place and what to do about it",
        ),
        ManifestFact::Good { file, services } => Finding::good(
            name,
            format!(
                "{} is valid: {}",
                file.display(),
                count(*services, "service")
            ),
        ),
    }]
}

fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

fn ports(facts: &Facts) -> Vec<Finding> {
    let owned = facts.ports.iter();
    owned
        .flat_map(|owned| ports_of(owned, facts.supervisor.is_some()))
        .collect()
}

fn ports_of(owned: &OwnedPort, is_supervised: bool) -> Vec<Finding> {
    let name = "ports";
    let port = format!("port {} of `{}`", owned.port, owned.service);
    let holders = match &owned.holders {
        Ok(holders) => holders,
        Err(why) => {
            let finding = format!("it cannot be told who holds {port}: {why}");
            return vec![Finding::bad(name, finding, "mount /proc")];
        }
    };
    if holders.is_empty() {
        return vec![Finding::good(name, format!("{port} is free"))];
    }
    let mut findings: Vec<Finding> = Vec::new();
    for holder in holders {
        let who = &holder.who;
        let finding = match &holder.service {
            _ if holder.is_leftover => Finding::bad(
                name,
                format!("{port} is held by what is left of this project: {who}"),
                "`baudbot up` or `baudbot down` ends it",
            ),
            Some(service) if *service == owned.service && is_supervised => {
                Finding::good(name, format!("{port} is held by it: {who}"))
            }
            Some(service) if *service == owned.service => Finding::note(
                name,
                format!("{port} is held by it: {who}"),
                "no supervisor watches it: see below",
            ),
            Some(service) => Finding::bad(
                name,
                format!("{port} is held by `{service}`: {who}"),
                "declare the port where it belongs, or change one of them",
            ),
            None => Finding::bad(
                name,
                format!("{port} is held by {who}, which this project did not start"),
                fix_for(holder, owned),
            ),
        };
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    }
    findings
}

fn fix_for(holder: &HeldPort, owned: &OwnedPort) -> String {
    let stop = match &holder.unit {
        Some(unit) if unit.ends_with(".service") => format!("`systemctl stop {unit}`"),
        Some(_) | None => "stop it".to_owned(),
    };
    format!("{stop}, or change `ports` of `{}`", owned.service)
}

/// Services that run on while nobody watches them.
fn unwatched(facts: &Facts) -> Vec<Finding> {
    let name = "supervisor";
    if let Some(pid) = facts.supervisor {
        return vec![Finding::good(name, format!("it runs, as process {pid}"))];
    }
    if facts.unwatched.is_empty() {
        return vec![Finding::good(name, "none runs, and nothing needs one")];
    }
    vec![Finding::bad(
        name,
        format!(
            "none runs, and {} without one: {}",
            are_there(&facts.unwatched),
            listed(&facts.unwatched)
        ),
        "`baudbot up` brings the project back in order, `baudbot down` ends it",
    )]
}

/// Processes with the project's mark that nothing tells of.
fn leftovers(facts: &Facts) -> Vec<Finding> {
    let name = "leftovers";
    if let Some(trouble) = &facts.trouble {
        return vec![Finding {
            check: name,
            verdict: Verdict::Bad,
            finding: format!(
                "it cannot be told what belongs to the project: {}",
                trouble.what
            ),
            fix: trouble.fix.clone(),
        }];
    }
    if facts.leftovers.is_empty() {
        return vec![Finding::good(name, "no process of an earlier life is left")];
    }
    vec![Finding::bad(
        name,
        format!(
            "{} of an earlier life of this project, which nothing on disk tells of: {}",
            are_there(&facts.leftovers),
            listed(&facts.leftovers)
        ),
        "`baudbot down` ends them; `baudbot down --plan` shows them first",
    )]
}

fn are_there(processes: &[Leftover]) -> String {
    match processes.len() {
        1 => "1 process is there".to_owned(),
        many => format!("{many} processes are there"),
    }
}

/// How many are named.
const NAMED: usize = 5;

fn listed(processes: &[Leftover]) -> String {
    let mut names: Vec<String> = processes
        .iter()
        .take(NAMED)
        .map(|one| format!("{} (`{}`, user {})", one.pid, one.command, one.user))
        .collect();
    if processes.len() > NAMED {
        names.push(format!("and {} more", processes.len() - NAMED));
    }
    names.join(", ")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::declare::name;
    use crate::doctor::{TmuxFact, Trouble, examine};
    use crate::layers::{Holding, Layers};
    use crate::port::{Host, Port, Protocol};

    pub(crate) fn healthy() -> Facts {
        Facts {
            kernel: "6.8".into(),
            layers: Layers {
                mark: Holding::Held,
                subreaper: Holding::Held,
                pidfd: Holding::Held,
                children: Holding::Held,
                exit_status: Holding::missing("the kernel does not tell"),
                cgroup: Holding::Unused,
            },
            manager: Some(crate::doctor::manager::tests::lingering()),
            tmux: TmuxFact {
                is_needed: true,
                version: Ok("tmux 3.4".into()),
            },
            directories: vec![Directory {
                what: "state directory",
                path: "/s".into(),
                state: DirectoryState::Private,
            }],
            manifest: ManifestFact::Good {
                file: "/m.yaml".into(),
                services: 1,
            },
            ports: vec![port_held(Vec::new())],
            supervisor: None,
            unwatched: Vec::new(),
            leftovers: Vec::new(),
            trouble: None,
        }
    }

    fn port_held(holders: Vec<HeldPort>) -> OwnedPort {
        OwnedPort {
            service: name("bridge"),
            port: Port {
                host: Host::Every,
                number: 7890,
                protocol: Protocol::Tcp,
            },
            holders: Ok(holders),
        }
    }

    fn holder() -> HeldPort {
        HeldPort {
            who: "pid 812 (`nginx`), user root, unit nginx.service".into(),
            unit: Some("nginx.service".into()),
            service: None,
            is_leftover: false,
        }
    }

    fn process() -> Leftover {
        Leftover {
            pid: 7,
            command: "sleep 1".into(),
            user: "a".into(),
            why: "carries the mark of the project".into(),
        }
    }

    #[test]
    fn a_host_without_a_fault_is_well() {
        let report = examine(&healthy());
        assert!(report.is_well, "{report:#?}");
        let notes = report
            .findings
            .iter()
            .filter(|one| one.verdict == Verdict::Note);
        assert_eq!(notes.count(), 1, "the exit status");
    }

    /// Each fault makes one finding bad, and each bad finding says what to do.
    #[test]
    fn every_fault_is_found_and_comes_with_its_fix() {
        type Break = fn(&mut Facts);
        let faults: [(Break, &str, &str); 12] = [
            (
                |facts| facts.layers.mark = Holding::missing("no"),
                "kernel",
                "LimitLOCKS",
            ),
            (
                |facts| facts.tmux.version = Err("not found".into()),
                "tmux",
                "install",
            ),
            (
                |facts| facts.directories[0].state = DirectoryState::Foreign("eve".into()),
                "directories",
                "XDG_STATE_HOME",
            ),
            (
                |facts| facts.directories[0].state = DirectoryState::NotADirectory,
                "directories",
                "move /s",
            ),
            (
                |facts| {
                    facts.directories[0].state =
                        DirectoryState::Unwritable("read-only file system".into());
                },
                "directories",
                "mend its rights",
            ),
            (
                |facts| facts.directories[0].state = DirectoryState::TooLong,
                "directories",
                "shorter",
            ),
            (
                |facts| {
                    facts.manifest = ManifestFact::Wrong {
                        file: "/m.yaml".into(),
                        errors: 2,
                    };
                },
                "manifest",
                "validate",
            ),
            (
                |facts| facts.ports = vec![port_held(vec![holder()])],
                "ports",
                "systemctl stop nginx.service",
            ),
            (
                |facts| {
                    let held = HeldPort {
                        is_leftover: true,
                        ..holder()
                    };
                    facts.ports = vec![port_held(vec![held])];
                },
                "ports",
                "baudbot down",
            ),
            (
                |facts| facts.unwatched = vec![process()],
                "supervisor",
                "baudbot up",
            ),
            (
                |facts| {
                    facts.trouble = Some(Trouble {
                        what: "the ledger is damaged".into(),
                        fix: Some("move it".into()),
                    });
                },
                "leftovers",
                "move it",
            ),
            (
                |facts| facts.leftovers = vec![process()],
                "leftovers",
                "down --plan",
            ),
        ];
        for (fault, check, fix) in faults {
            let mut facts = healthy();
            fault(&mut facts);
            let report = examine(&facts);
            assert!(!report.is_well, "{check}");
            let bad: Vec<&Finding> = report
                .findings
                .iter()
                .filter(|one| one.verdict == Verdict::Bad)
                .collect();
            assert_eq!(bad.len(), 1, "{bad:#?}");
            assert_eq!(bad[0].check, check);
            let said = bad[0].fix.as_deref().unwrap_or_default();
            assert!(said.contains(fix), "{said}");
        }
    }

    #[test]
    fn a_port_that_its_service_holds_is_well() {
        let mut facts = healthy();
        facts.supervisor = Some(1);
        let held = HeldPort {
            service: Some(name("bridge")),
            ..holder()
        };
        facts.ports = vec![port_held(vec![held])];
        assert!(examine(&facts).is_well);
    }

    #[test]
    fn what_no_service_needs_is_a_note() {
        let mut facts = healthy();
        facts.tmux = TmuxFact {
            is_needed: false,
            version: Err("not found".into()),
        };
        assert!(examine(&facts).is_well);
    }
}
