//! Which manifest and which project a call is about.
//!
//! `up` and whatever else plans needs the manifest. `down`, `status`, `logs` and `attach` need the
//! project's name only, so that a broken or lost manifest never keeps anybody from stopping things.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Call, Failure, instances};
use crate::code;
use crate::exit::ExitCode;
use crate::id::ProjectName;
use crate::manifest::model::{Instance, Manifest};
use crate::manifest::source::Sources;
use crate::manifest::{self, Context, Directories, Loaded};
use crate::plan::Selector;
use crate::render;
use crate::store::Project;
use crate::sys::account::Account;
use crate::sys::crash;

/// The manifest file that was named or is found; absolute.
pub(super) fn manifest_file(call: &Call) -> Result<PathBuf, Failure> {
    let current = || {
        std::env::current_dir()
            .map_err(|error| Failure::system("cannot tell the current directory", &error))
    };
    match &call.options.file {
        Some(file) if file.is_absolute() => Ok(file.clone()),
        Some(file) => Ok(current()?.join(file)),
        None => Ok(manifest::find(&current()?)?),
    }
}

/// Reads the manifest in the circumstances of this call, whatever may be wrong with it.
pub(super) fn load(call: &Call) -> Result<(PathBuf, Loaded), Failure> {
    load_with(call, &[])
}

/// As [`load`], with instances that are asked for.
fn load_with(call: &Call, wanted: &[Instance]) -> Result<(PathBuf, Loaded), Failure> {
    let file = manifest_file(call)?;
    let known =
        manifest::project_name(&file).map_or_else(|_| Vec::new(), |name| instances::known(&name));
    let instances = instances::with(known, wanted);
    let directories = |name: &ProjectName| match Project::locate(name) {
        Ok(project) => Directories {
            state: project.state_dir().to_owned(),
            runtime: project.runtime_dir().to_owned(),
        },
        // There is no place for a state. Commands that need one say so; the others do without.
        Err(_) => Directories {
            state: PathBuf::new(),
            runtime: PathBuf::new(),
        },
    };
    let context = Context {
        environment: environment(),
        is_root: nix::unistd::geteuid().is_root(),
        directories: &directories,
        instances: &instances,
        find_user: &|name| {
            let found = Account::find(name).ok().flatten()?;
            let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
            Some(manifest::User {
                home: text(&found.home),
                shell: text(&found.shell),
                is_self: found.is_self(),
                may_be_become: found.may_become(),
                name: found.name,
            })
        },
        finds_program: &|program, path, directory| {
            crate::sys::process::resolve_executable(program, path, directory).is_ok()
        },
    };
    let loaded = manifest::load(&file, &context);
    Ok((file, loaded))
}

/// The environment of this call, as far as it is text.
pub(super) fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        // They steer the supervisor; a service is none the wiser.
        .filter(|(name, _)| !crash::VARIABLES.contains(&name.as_str()))
        .collect()
}

/// The manifest, if it is without errors; otherwise they are shown. Warnings are shown in any case.
pub(super) fn manifest(call: &Call) -> Result<Manifest, Failure> {
    manifest_with(call, &[], &[])
}

/// As [`manifest`], with instances that are asked for. Whoever asks for services by name need not hear
/// what others lack: warnings are kept back where nothing that is `selected` lacks anything.
pub(super) fn manifest_with(
    call: &Call,
    wanted: &[Instance],
    selected: &[Selector],
) -> Result<Manifest, Failure> {
    let concerns = |manifest: &Manifest| {
        let lacks = |name| {
            let service = manifest.services.get(name);
            service.is_some_and(|service| !service.missing.is_empty())
        };
        selected.is_empty()
            || selected.iter().any(|one| match one {
                Selector::Service(name) => lacks(name),
                Selector::Group(name) => manifest.members(name).any(lacks),
            })
    };
    Ok(resolved(call, wanted, concerns)?.0)
}

/// As [`manifest`], with the texts that it was made from.
pub(super) fn manifest_and_sources(call: &Call) -> Result<(Manifest, Sources), Failure> {
    resolved(call, &[], |_| true)
}

fn resolved(
    call: &Call,
    wanted: &[Instance],
    shows_warnings: impl FnOnce(&Manifest) -> bool,
) -> Result<(Manifest, Sources), Failure> {
    let (file, loaded) = load_with(call, wanted)?;
    if let Some(manifest) = &loaded.manifest {
        instances::check(manifest, wanted)?;
    }
    if loaded.manifest.as_ref().is_none_or(shows_warnings) {
        call.note(&render::diagnostics::diagnostics(&loaded, &call.err));
    }
    let manifest = loaded.manifest.ok_or(Failure::Told(ExitCode::Manifest))?;
    match explicit_name(call)? {
        Some(name) if name != manifest.project => Err(Failure::new(
            code!("cli::wrong_manifest"),
            ExitCode::Usage,
            format!(
                "{} is the manifest of project `{}`, not of `{name}`",
                file.display(),
                manifest.project
            ),
        )
        .help("name the other project's manifest with `-f FILE`")),
        _ => Ok((manifest, loaded.sources)),
    }
}

/// The manifest of project `name`, if it can be had without a word.
pub(super) fn manifest_if_any(call: &Call, name: &ProjectName) -> Option<Manifest> {
    let (_, loaded) = load(call).ok()?;
    loaded.manifest.filter(|manifest| manifest.project == *name)
}

/// The project's name: what `-p` says, else what the manifest named with `-f` says, else what
/// `BAUDBOT_PROJECT` says, else what the manifest that is found says.
///
/// Services are told their own project in `BAUDBOT_PROJECT` (and their name in `BAUDBOT_SERVICE`).
/// One that runs `baudbot` where another manifest lies means that one, so a variable that came from
/// us counts last.
pub(super) fn project_name(call: &Call) -> Result<ProjectName, Failure> {
    if let Some(name) = explicit_name(call)? {
        return Ok(name);
    }
    let inherited = variable("BAUDBOT_PROJECT")?;
    match (manifest_file(call), inherited) {
        (Ok(file), inherited) => match (manifest::project_name(&file), inherited) {
            (Ok(name), _) => Ok(name),
            (Err(_), Some(name)) if call.options.file.is_none() => Ok(name),
            (Err(error), _) => Err(error.into()),
        },
        (Err(_), Some(name)) => Ok(name),
        (Err(failure), None) => Err(failure),
    }
}

/// The name that was given by somebody rather than found.
pub(super) fn explicit_name(call: &Call) -> Result<Option<ProjectName>, Failure> {
    if call.options.project.is_some() || call.options.file.is_some() {
        return Ok(call.options.project.clone());
    }
    if std::env::var_os("BAUDBOT_SERVICE").is_some() {
        return Ok(None);
    }
    variable("BAUDBOT_PROJECT")
}

fn variable(name: &str) -> Result<Option<ProjectName>, Failure> {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => match text.parse() {
            Ok(name) => Ok(Some(name)),
            Err(error) => Err(Failure::new(
                code!("cli::broken_project_name"),
                ExitCode::Usage,
                format!("{name} is `{text}`, which is no project's name: {error}"),
            )),
        },
        _ => Ok(None),
    }
}

/// The project's place on disk.
pub(super) fn locate(call: &Call) -> Result<Project, Failure> {
    Ok(Project::locate(&project_name(call)?)?)
}
