//! What a service needs before it is started: all of it is looked at, and all that is missing is
//! told at once.
//!
//! A service that lacks something is blocked: trying again would find the same until somebody mends
//! it, so nothing is spawned and nothing is retried. The next `up` or `restart` looks again. What
//! can change between this look and the exec is told by the start itself, in its own words.

use std::collections::BTreeMap;
use std::path::Path;

use super::Supervisor;
use super::starting::limits;
use crate::machine::StartFailure;
use crate::manifest::load;
use crate::manifest::model::{Command, Kind, Probe, Service, Source};
use crate::manifest::unexpanded;
use crate::sys::account::Account;
use crate::sys::limits::Limit;
use crate::sys::process::resolve_executable;
use crate::sys::start_error::{Stage, StartError};

/// What a blocked start is said to have been doing.
pub(super) const STAGE: &str = "cannot start";

/// What a service is looked at for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occasion {
    /// It does not run and is to be started.
    Start,
    /// It runs, and is to be stopped for a new run.
    Renewal,
}

/// What a service that lacks nothing starts with.
#[derive(Default)]
pub(super) struct Ready {
    /// Its whole environment.
    pub(super) environment: BTreeMap<String, String>,
    /// Who it runs as, if not as we do.
    pub(super) user: Option<Account>,
}

impl Supervisor {
    /// Looks whether a service lacks anything.
    pub(super) fn preflight(&self, service: &Service) -> Result<Ready, StartFailure> {
        self.look_at(service, Occasion::Start)
            .map_err(|reasons| StartFailure {
                stage: STAGE.into(),
                message: reasons.join("; "),
                is_blocked: true,
            })
    }

    /// What a new run of `service` would lack if it took the place of the one that lives, in
    /// sentences.
    pub(super) fn lacks(&self, service: &Service) -> Vec<String> {
        self.look_at(service, Occasion::Renewal)
            .err()
            .unwrap_or_default()
    }

    fn look_at(&self, service: &Service, occasion: Occasion) -> Result<Ready, Vec<String>> {
        let mut reasons = service.missing.clone();
        let user = user(service).unwrap_or_else(|reason| {
            if !service
                .missing
                .iter()
                .any(|told| told.starts_with("`user`"))
            {
                reasons.push(reason);
            }
            None
        });
        let environment = self.environment(service, user.as_ref());
        if let Err(errors) = &environment {
            // What the order found missing is told already.
            let is_told = |path: &Path| {
                let path = path.to_string_lossy();
                service.missing.iter().any(|told| told.contains(&*path))
            };
            let news = errors.iter().filter(|error| !is_told(error.path()));
            reasons.extend(news.map(ToString::to_string));
        }
        if let Ok(environment) = &environment {
            reasons.extend(lacking(service, environment));
        }
        for limit in limits(service) {
            reasons.extend(limit.refusal(self.inherited(&limit)));
        }
        let look = || match look_into(&service.working_dir) {
            Err(reason) => vec![reason],
            // Where programs are looked for is known only with the whole environment.
            Ok(()) => match &environment {
                Ok(environment) => programs(service, environment, occasion),
                Err(_) => Vec::new(),
            },
        };
        reasons.extend(match &user {
            Some(user) => user.with_its_rights(look),
            None => look(),
        });
        if matches!(service.kind, Kind::Tmux { .. }) {
            let path = std::env::var("PATH").ok();
            if resolve_executable("tmux", path.as_deref(), Path::new("/")).is_err() {
                reasons.push("tmux is not installed, or not in the PATH of the supervisor".into());
            }
        }
        if let (Ok(environment), true) = (environment, reasons.is_empty()) {
            return Ok(Ready { environment, user });
        }
        Err(reasons)
    }

    /// What the probes of a run need to know that an earlier supervisor began; said, where something
    /// of it cannot be had any more. `None`: it is not known as whom they would run.
    pub(super) fn circumstances(&self, service: &Service) -> Option<Ready> {
        let user = match user(service) {
            Ok(user) => user,
            Err(reason) => {
                eprintln!("`{}` is not probed: {reason}", service.name);
                return None;
            }
        };
        let environment = self.environment(service, user.as_ref());
        let environment = environment.unwrap_or_else(|errors| {
            for error in errors {
                eprintln!("the environment of `{}`: {error}", service.name);
            }
            BTreeMap::new()
        });
        Some(Ready { environment, user })
    }

    fn inherited(&self, limit: &Limit) -> Option<(u64, u64)> {
        (limit.name == "nofile").then_some(self.open_files_limit)?
    }

    /// All layers of a service's environment, its env files as they are now.
    fn environment(
        &self,
        service: &Service,
        user: Option<&Account>,
    ) -> Result<BTreeMap<String, String>, Vec<crate::manifest::environment::EnvironmentError>> {
        let mut environment = load::environment(&service.env, user.map(|user| user.uid))?;
        // A plain `tmux` inside the service reaches the project's own server. (Another user may not
        // look into our directories.)
        if self.tmux().is_private() && user.is_none() {
            let directory = self.project.tmux_tmpdir().to_string_lossy().into_owned();
            environment.insert("TMUX_TMPDIR".into(), directory);
        }
        let file = self.manifest.as_ref().map(|manifest| &*manifest.file);
        environment.extend(self.project.told_to(&service.name, file, user.is_none()));
        Ok(environment)
    }
}

/// Who it runs as, if not as we do.
fn user(service: &Service) -> Result<Option<Account>, String> {
    let Some(name) = &service.user else {
        return Ok(None);
    };
    match Account::find(name) {
        Ok(Some(user)) if user.is_self() => Ok(None),
        Ok(Some(user)) if user.may_become() => Ok(Some(user)),
        Ok(Some(_)) => Err(format!(
            "`user` is `{name}`, as whom only root can start anything"
        )),
        Ok(None) => Err(format!("`user` is `{name}`, whom this host does not know")),
        Err(error) => Err(format!(
            "`user` is `{name}`, who cannot be looked up: {error}"
        )),
    }
}

/// The variables that it needs and that its environment lacks; what the order found is told already.
fn lacking(service: &Service, environment: &BTreeMap<String, String>) -> Vec<String> {
    let value = |name: &str| environment.get(name).map(String::as_str);
    let unmet = service.env_required.iter().filter(|any| !any.is_met(value));
    let reasons = unmet.map(|any| {
        format!(
            "`env_required` of service `{}`: {}",
            service.name,
            any.unmet()
        )
    });
    reasons
        .filter(|reason| !service.missing.contains(reason))
        .collect()
}

/// Whether one could work in this directory.
fn look_into(directory: &Path) -> Result<(), String> {
    let shown = directory.display();
    match std::fs::metadata(directory) {
        Ok(found) if found.is_dir() => {
            crate::sys::directory::may_enter(directory).map_err(|error| {
                format!(
                    "the working directory {shown} cannot be entered: {}",
                    words(&error)
                )
            })
        }
        Ok(_) => Err(format!("the working directory {shown} is not a directory")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(format!(
            "the working directory {shown} does not exist{}",
            unexpanded::remark(&directory.to_string_lossy())
        )),
        Err(error) => Err(format!(
            "the working directory {shown} cannot be looked at: {}",
            words(&error)
        )),
    }
}

/// The programs that are not found.
fn programs(
    service: &Service,
    environment: &BTreeMap<String, String>,
    occasion: Occasion,
) -> Vec<String> {
    let path = environment.get("PATH").map(String::as_str);
    let hooks = &service.hooks;
    // A command before it may make the program itself; then the start tells.
    let own = Some(&service.command).filter(|_| hooks.before_start.is_none());
    let commands = [
        own,
        hooks.before_start.as_ref(),
        hooks.after_ready.as_ref(),
        hooks.after_stop.as_ref(),
        service.stop.command.as_ref(),
    ];
    // A service that is not running yet may make the programs of its probes itself.
    let asked = match occasion {
        Occasion::Start => Vec::new(),
        Occasion::Renewal => probe_commands(service).collect(),
    };
    let mut missing: Vec<String> = Vec::new();
    for command in commands.into_iter().flatten().chain(asked) {
        let argv = command.argv();
        if let Err(error) = resolve_executable(&argv[0], path, &service.working_dir) {
            let reason = program(&error, path);
            if !missing.contains(&reason) {
                missing.push(reason);
            }
        }
    }
    missing
}

/// The commands that ask a run something.
fn probe_commands(service: &Service) -> impl Iterator<Item = &Command> {
    let ready = service.ready.iter().map(|ready| &ready.probe);
    let health = service.health.iter().map(|health| &health.probe);
    let probes = ready.chain(health).filter_map(|probe| match probe {
        Probe::Exec { command } => Some(command),
        Probe::Tcp { .. }
        | Probe::Http(_)
        | Probe::Unix { .. }
        | Probe::Log { .. }
        | Probe::File { .. }
        | Probe::Notify
        | Probe::Watchdog { .. } => None,
    });
    let exports = service.exports.values();
    probes.chain(exports.filter_map(|export| match &export.source {
        Source::Command(command) => Some(command),
        Source::Readlink(_) | Source::File(_) => None,
    }))
}

fn program(error: &StartError, path: Option<&str>) -> String {
    match &error.stage {
        Stage::FindExecutable(word) if word.contains('/') => {
            let remark = unexpanded::remark(word);
            format!("the executable `{word}`: {}{remark}", error.message())
        }
        Stage::FindExecutable(word) => {
            let remark = match unexpanded::remark(word) {
                remark if remark.is_empty() => unexpanded::remark(path.unwrap_or_default()),
                remark => remark,
            };
            format!("the executable `{word}` is {}{remark}", error.message())
        }
        _ => error.to_string(),
    }
}

/// An error in the words of the system, without its number.
fn words(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => crate::sys::start_error::errno_text(number),
        None => error.to_string(),
    }
}
