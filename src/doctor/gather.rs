//! Looks at the host and at a project, and changes nothing.

mod manager;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use nix::unistd::{AccessFlags, access};

use super::facts::{
    Directory, DirectoryState, Facts, HeldPort, Leftover, ManifestFact, OwnedPort, TmuxFact,
    Trouble,
};
use crate::manifest::model::{Cleanup, Kind, Manifest, Service};
use crate::port::Port;
use crate::store::Project;
use crate::supervisor::survey::{Of, Owned, Survey, SurveyError, What, survey};
use crate::sys::ports::{self, Holder};

/// What is to be looked at.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The project, where it is known which one.
    pub project: Option<Project>,
    /// Its manifest, when it is without mistakes.
    pub manifest: Option<Manifest>,
    /// What is to be said of the manifest.
    pub manifest_fact: ManifestFact,
}

/// Looks at everything.
pub async fn gather(subject: &Subject) -> Facts {
    let (found, trouble) = match &subject.project {
        None => (Survey::default(), None),
        Some(project) => match surveyed(project).await {
            Ok(found) => (found, None),
            Err(error) => {
                let fix = error.help();
                let what = words(&error);
                (Survey::default(), Some(Trouble { what, fix }))
            }
        },
    };
    let manifest = subject.manifest.as_ref();
    Facts {
        kernel: kernel(),
        layers: crate::sys::layers::probe(),
        manager: manager::manager(subject.project.as_ref(), found.supervisor),
        tmux: tmux(manifest),
        directories: subject.project.iter().flat_map(directories).collect(),
        manifest: subject.manifest_fact.clone(),
        ports: owned_ports(manifest, &found),
        supervisor: found.supervisor,
        unwatched: match found.supervisor {
            Some(_) => Vec::new(),
            None => processes(&found, |of| matches!(of, Of::Service(_))),
        },
        leftovers: processes(&found, |of| *of == Of::Leftover),
        trouble,
    }
}

/// What another user could have written about the project is not read.
async fn surveyed(project: &Project) -> Result<Survey, SurveyError> {
    project.check()?;
    survey(project).await
}

/// An error with its cause.
fn words(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", words(cause)),
        None => error.to_string(),
    }
}

fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease");
    release.map_or("?".into(), |text| text.trim().to_owned())
}

fn tmux(manifest: Option<&Manifest>) -> TmuxFact {
    let uses_tmux = |service: &Service| {
        matches!(service.kind, Kind::Tmux { .. })
            || matches!(service.cleanup, Cleanup::TmuxPrefix { .. })
    };
    let is_needed = manifest.is_some_and(|manifest| manifest.services.values().any(uses_tmux));
    let version = match Command::new("tmux").arg("-V").output() {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(error.to_string()),
    };
    TmuxFact { is_needed, version }
}

fn directories(project: &Project) -> Vec<Directory> {
    let is_too_long = project.too_long_socket().is_some();
    let one = |what, path: &Path, is_too_long| Directory {
        what,
        path: path.to_owned(),
        state: match state_of(path) {
            DirectoryState::Private | DirectoryState::Open(_) | DirectoryState::Absent
                if is_too_long =>
            {
                DirectoryState::TooLong
            }
            state => state,
        },
    };
    vec![
        one("state directory", project.state_dir(), false),
        one("runtime directory", project.runtime_dir(), is_too_long),
    ]
}

fn state_of(path: &Path) -> DirectoryState {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let ancestor = path.ancestors().find(|one| one.exists());
            return match ancestor.map(may_write) {
                Some(Err(why)) => DirectoryState::Unwritable(why),
                Some(Ok(())) | None => DirectoryState::Absent,
            };
        }
        Err(error) => return DirectoryState::Unwritable(error.to_string()),
    };
    if !found.is_dir() {
        return DirectoryState::NotADirectory;
    }
    if found.uid() != nix::unistd::geteuid().as_raw() {
        return DirectoryState::Foreign(crate::sys::sweep::name_of_user(found.uid()));
    }
    match may_write(path) {
        Err(why) => DirectoryState::Unwritable(why),
        Ok(()) if found.mode() & 0o077 != 0 => DirectoryState::Open(found.mode() & 0o777),
        Ok(()) => DirectoryState::Private,
    }
}

fn may_write_file(file: &Path) -> bool {
    access(file, AccessFlags::W_OK).is_ok()
}

fn may_write(directory: &Path) -> Result<(), String> {
    let needed = AccessFlags::W_OK | AccessFlags::X_OK;
    access(directory, needed).map_err(|errno| match errno {
        nix::errno::Errno::EACCES => format!("no right to write in {}", directory.display()),
        errno => format!("{}: {}", directory.display(), errno.desc()),
    })
}

fn owned_ports(manifest: Option<&Manifest>, found: &Survey) -> Vec<OwnedPort> {
    let services = manifest.into_iter().flat_map(|one| one.services.values());
    services
        .filter(|service| !service.is_skipped())
        .flat_map(|service| service.ports.iter().map(move |port| (service, *port)))
        .map(|(service, port)| OwnedPort {
            service: service.name.clone(),
            port,
            holders: holders(&port, found).map_err(|error| error.to_string()),
        })
        .collect()
}

fn holders(port: &Port, found: &Survey) -> std::io::Result<Vec<HeldPort>> {
    let holders = ports::holders(&ports::in_the_way(port)?)?;
    Ok(holders.iter().map(|holder| held(holder, found)).collect())
}

fn held(holder: &Holder, found: &Survey) -> HeldPort {
    let process = holder.process.as_ref();
    let owner = process.and_then(|process| owner_of(process.identity.pid, found));
    HeldPort {
        who: holder.to_string(),
        unit: process.and_then(|process| process.unit.clone()),
        service: match owner {
            Some(Of::Service(service)) => Some(service.clone()),
            Some(Of::Group(_) | Of::Project | Of::Leftover) | None => None,
        },
        is_leftover: owner == Some(&Of::Leftover),
    }
}

fn owner_of(pid: i32, found: &Survey) -> Option<&Of> {
    let is_it = |owned: &&Owned| matches!(owned.what, What::Process { pid: one, .. } if one == pid);
    found.owned.iter().find(is_it).map(|owned| &owned.of)
}

fn processes(found: &Survey, is_wanted: impl Fn(&Of) -> bool) -> Vec<Leftover> {
    let wanted = found.owned.iter().filter(|owned| is_wanted(&owned.of));
    wanted
        .filter_map(|owned| match &owned.what {
            What::Process { pid, command, user } => Some(Leftover {
                pid: *pid,
                command: command.clone(),
                user: user.clone(),
                why: owned.why.clone(),
            }),
            What::Session { .. } => None,
        })
        .collect()
}
