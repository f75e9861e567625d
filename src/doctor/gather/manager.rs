//! Looks at systemd: its files, and what `systemctl` says of one unit.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::doctor::manager::{ManagerFact, UnitFact};
use crate::store::Project;
use crate::sys::ports::unit_of;
use crate::sys::sweep::name_of_user;

/// What systemd does to what is started here; `None` where it does not run.
pub(super) fn manager(project: Option<&Project>, supervisor: Option<i32>) -> Option<ManagerFact> {
    // `sd_booted(3)`.
    Path::new("/run/systemd/system").exists().then(|| {
        let user = name_of_user(nix::unistd::geteuid().as_raw());
        let runtime_dir = project.map(|project| project.runtime_dir().to_owned());
        ManagerFact {
            lingers: Path::new("/var/lib/systemd/linger").join(&user).exists(),
            user,
            kills_at_logout: kills_at_logout(),
            fleeting_runtime_dir: runtime_dir
                .clone()
                .filter(|directory| directory.starts_with("/run/user")),
            unit: unit(supervisor, runtime_dir.as_deref()),
            is_delegated: is_delegated(),
        }
    })
}

/// The directories of `logind.conf`, the strongest first (`logind.conf(5)`).
const CONFIGURATION: [&str; 4] = [
    "/etc/systemd",
    "/run/systemd",
    "/usr/local/lib/systemd",
    "/usr/lib/systemd",
];

fn kills_at_logout() -> Option<PathBuf> {
    let main = CONFIGURATION
        .iter()
        .map(|directory| Path::new(directory).join("logind.conf"));
    let main = main.into_iter().find(|file| file.exists());
    // Of drop-ins of one name the strongest directory's counts; they are read in the order of names.
    let mut drop_ins: BTreeMap<std::ffi::OsString, PathBuf> = BTreeMap::new();
    for directory in CONFIGURATION.iter().rev() {
        let entries = fs::read_dir(Path::new(directory).join("logind.conf.d"));
        for entry in entries.into_iter().flatten().flatten() {
            if entry
                .path()
                .extension()
                .is_some_and(|ending| ending == "conf")
            {
                drop_ins.insert(entry.file_name(), entry.path());
            }
        }
    }
    let files = main.into_iter().chain(drop_ins.into_values());
    last_word(files.filter_map(|file| Some((fs::read_to_string(&file).ok()?, file))))
}

/// The file that says the last word, if that is yes.
fn last_word(files: impl Iterator<Item = (String, PathBuf)>) -> Option<PathBuf> {
    let mut last = None;
    for (text, file) in files {
        for line in text.lines() {
            if let Some(value) = line.trim().strip_prefix("KillUserProcesses=") {
                let is_yes = ["yes", "true", "on", "1"].contains(&value.trim());
                last = is_yes.then(|| file.clone());
            }
        }
    }
    last
}

fn unit(supervisor: Option<i32>, runtime_dir: Option<&Path>) -> Option<UnitFact> {
    let pid = supervisor.unwrap_or_else(|| std::process::id().cast_signed());
    let name = unit_of(pid)?;
    // A scope is a log-in session or a terminal's; a service manager is not a unit of ours.
    if !name.ends_with(".service") || name.starts_with("user@") {
        return None;
    }
    let shown = [vec![], vec!["--user"]].into_iter().find_map(|manager| {
        let properties = "-pKillMode,PrivateTmp,MainPID,Type,LoadState";
        let mut command = Command::new("systemctl");
        let output = command
            .args(manager)
            .args(["show", properties, &name])
            .output();
        let text = String::from_utf8(output.ok()?.stdout).ok()?;
        text.contains("LoadState=loaded").then_some(text)
    })?;
    let value = |key: &str| {
        let lines = shown.lines();
        let mut values = lines.filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        values
            .next()
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
    };
    Some(UnitFact {
        is_main: supervisor.map(|pid| value("MainPID") == Some(pid.to_string())),
        kill_mode: value("KillMode"),
        has_private_tmp: value("PrivateTmp").is_some_and(|value| value != "no"),
        uses_tmp: runtime_dir.is_some_and(|directory| directory.starts_with("/tmp")),
        kind: value("Type"),
        name,
    })
}

/// Whether the directory of our control group, in the unified hierarchy, is ours to write in.
fn is_delegated() -> bool {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"));
    path.is_some_and(|path| {
        let procs = Path::new("/sys/fs/cgroup").join(path).join("cgroup.procs");
        super::may_write_file(&procs)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_counts() {
        let file = |text: &str, name: &str| (text.to_owned(), PathBuf::from(name));
        let commented = file("[Login]\n#KillUserProcesses=yes\n", "a");
        let yes = file("[Login]\nKillUserProcesses=yes\n", "b");
        let no = file("[Login]\n KillUserProcesses=no\n", "c");
        assert_eq!(last_word([commented.clone()].into_iter()), None);
        assert_eq!(
            last_word([commented, yes.clone()].into_iter()),
            Some("b".into())
        );
        assert_eq!(last_word([yes, no].into_iter()), None);
    }
}
