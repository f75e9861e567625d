//! Which manifest and which project a call is about.
//!
//! `up` and whatever else plans needs the manifest. `down`, `status`, `logs` and `attach` need the
//! project's name only, so that a broken or lost manifest never keeps the user from stopping things.
//!
//! What names the project, the first that is there:
//! 1. `-f FILE` and `-p NAME`; both together must agree where the manifest is read;
//! 2. BAUDBOT_FILE and BAUDBOT_PROJECT, which count like the options in the environment of a person;
//! 3. the manifest in the current directory or above it;
//! 4. the same variables in the environment of a service, which the supervisor sets: a service that
//!    runs `baudbot` in a directory with another manifest means that manifest.
//!
//! Where only the name is given, the manifest is the one that the project runs from; when nothing of
//! it runs, the one here if it is of that project, and else the one that it ran from last.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::{Call, Failure, instances, origin};
use crate::code;
use crate::exit::ExitCode;
use crate::id::ProjectName;
use crate::manifest::model::{Instance, Manifest};
use crate::manifest::source::Sources;
use crate::manifest::{self, Context, Directories, FindError, Loaded};
use crate::plan::Selector;
use crate::render;
use crate::store::Project;
use crate::sys::account::Account;
use crate::sys::crash;

/// The manifest file that was named or is found; absolute.
pub(super) fn manifest_file(call: &Call) -> Result<PathBuf, Failure> {
    let current = std::env::current_dir()
        .map_err(|error| Failure::system("cannot tell the current directory", &error))?;
    if let Some(file) = named_file(call) {
        return Ok(without_detours(current.join(file)));
    }
    let found = manifest::find(&current);
    if let Some(name) = explicit_name(call)? {
        return file_of(call, &name, found);
    }
    match (found, variable("BAUDBOT_PROJECT")?) {
        (Ok(file), _) => Ok(file),
        (found @ Err(_), Some(name)) => file_of(call, &name, found),
        (Err(error), None) => Err(error.into()),
    }
}

/// The same path without `..`: the directory's name is that of the project, and programs are told it.
/// A last part that is a symbolic link stays one.
fn without_detours(file: PathBuf) -> PathBuf {
    let has_detours = file.components().any(|part| part == Component::ParentDir);
    let directory = file.parent().filter(|_| has_detours);
    let directory = directory.and_then(|directory| std::fs::canonicalize(directory).ok());
    match (directory, file.file_name()) {
        (Some(directory), Some(name)) => directory.join(name),
        _ => file,
    }
}

/// The manifest file that the user named.
fn named_file(call: &Call) -> Option<PathBuf> {
    if call.options.file.is_some() || call.options.project.is_some() || is_in_service() {
        return call.options.file.clone();
    }
    file_variable()
}

/// `BAUDBOT_FILE`, set by a user or by a service's supervisor.
fn file_variable() -> Option<PathBuf> {
    let file = std::env::var_os("BAUDBOT_FILE")?;
    (!file.is_empty()).then(|| file.into())
}

/// Whether this process runs in a service: then the supervisor has set the variables.
fn is_in_service() -> bool {
    std::env::var_os("BAUDBOT_SERVICE").is_some()
}

/// The manifest of a project that is named; `found` is the one of the current directory.
fn file_of(
    call: &Call,
    name: &ProjectName,
    found: Result<PathBuf, FindError>,
) -> Result<PathBuf, Failure> {
    let project = Project::locate(name)?;
    let found_name = found.as_ref().ok().map(|file| name_of(file));
    let is_of_project = matches!(&found_name, Some(Ok(found)) if found == name);
    if let Some(running) = origin::running_from(&project) {
        return match found {
            Ok(found) if is_of_project && origin::is_gone(&running) => Ok(found),
            Ok(found) if is_of_project && !manifest::is_same_file(&running, &found) => {
                let text = render::origin::read_instead(name, &running, &found);
                call.note_once(&render::failure::note(&text, &call.err));
                Ok(running)
            }
            _ if origin::is_gone(&running) => Err(manifest_gone(name, &running)),
            _ => Ok(running),
        };
    }
    let last = || origin::last_from(&project).filter(|file| !origin::is_gone(file));
    match (found, found_name) {
        (Ok(found), _) if is_of_project => Ok(found),
        (found, found_name) => match (last(), found, found_name) {
            (Some(last), ..) => Ok(last),
            (None, Ok(found), Some(Ok(other))) => Err(wrong_manifest(&found, &other, name)),
            // What is wrong with it is told when it is read.
            (None, Ok(found), _) => Ok(found),
            (None, Err(_), _) => match file_variable().filter(|_| is_in_service()) {
                Some(file) if !origin::is_gone(&file) => Ok(file),
                _ => Err(never_ran(name)),
            },
        },
    }
}

fn manifest_gone(name: &ProjectName, running: &Path) -> Failure {
    Failure::new(
        code!("cli::no_manifest"),
        ExitCode::Manifest,
        render::origin::runs_from_what_is_gone(name, running),
    )
    .help(render::origin::what_to_do_about_gone(name))
}

fn never_ran(name: &ProjectName) -> Failure {
    Failure::new(
        code!("cli::no_manifest"),
        ExitCode::Manifest,
        format!("nothing is known of a project `{name}`, and there is no manifest of it here"),
    )
    .help("name its manifest with `-f FILE`; `baudbot ps --all` lists the projects that ran once")
}

fn wrong_manifest(file: &Path, found: &ProjectName, name: &ProjectName) -> Failure {
    Failure::new(
        code!("cli::wrong_manifest"),
        ExitCode::Usage,
        format!(
            "{} is the manifest of project `{found}`, not of `{name}`",
            file.display()
        ),
    )
}

/// The name of the project of a manifest. One that runs under the name that an earlier version gave to
/// it keeps that name until it is down.
pub(super) fn name_of(file: &Path) -> Result<ProjectName, FindError> {
    match kept_name(file) {
        Some(former) => Ok(former),
        None => manifest::project_name(file),
    }
}

/// The name that an earlier version gave to the project of this manifest, while it runs under it.
fn kept_name(file: &Path) -> Option<ProjectName> {
    let former = manifest::former_project_name(file)?;
    let running = origin::running_from(&Project::locate(&former).ok()?)?;
    manifest::is_same_file(&running, file).then_some(former)
}

/// Reads the manifest in the circumstances of this call, whatever may be wrong with it.
pub(super) fn load(call: &Call) -> Result<(PathBuf, Loaded), Failure> {
    load_with(call, &[])
}

/// As [`load`], with instances that are asked for.
fn load_with(call: &Call, wanted: &[Instance]) -> Result<(PathBuf, Loaded), Failure> {
    let file = manifest_file(call)?;
    let loaded = load_file(&file, wanted);
    Ok((file, loaded))
}

fn load_file(file: &Path, wanted: &[Instance]) -> Loaded {
    let known = name_of(file).map_or_else(|_| Vec::new(), |name| instances::known(&name));
    let instances = instances::with(known, wanted);
    // Reading a manifest sends nothing anywhere: directories that are not to be trusted are refused
    // by the commands that use them.
    let place = |name: &ProjectName| Project::locate(name).or_else(|_| Project::derived(name));
    let directories = |name: &ProjectName| match place(name) {
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
        unwritten_project: kept_name(file),
        directories: &directories,
        instances: &instances,
        find_user: &|name| {
            let found = Account::find(name).ok().flatten()?;
            let text = |path: &Path| path.to_string_lossy().into_owned();
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
    manifest::load(file, &context)
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
        Some(name) if name != manifest.project => {
            let failure = wrong_manifest(&file, &manifest.project, &name);
            let runs = origin::running_from(&Project::locate(&name)?);
            // Its `project` was edited while it was up.
            Err(
                match runs.is_some_and(|runs| manifest::is_same_file(&runs, &file)) {
                    true => failure.help(render::origin::renamed(&name)),
                    false => failure,
                },
            )
        }
        _ => Ok((manifest, loaded.sources)),
    }
}

/// The manifest that project `name` runs from or else would, if it can be had without a word.
pub(super) fn manifest_if_any(call: &Call, name: &ProjectName) -> Option<Manifest> {
    let loaded = load_if_any(call, name)?;
    loaded.manifest.filter(|manifest| manifest.project == *name)
}

/// The same with the texts that it is made of, whatever is wrong with it.
pub(super) fn load_if_any(call: &Call, name: &ProjectName) -> Option<Loaded> {
    let running = origin::running_from(&Project::locate(name).ok()?);
    match running.filter(|file| !origin::is_gone(file)) {
        Some(running) => Some(load_file(&running, &[])),
        None => Some(load(call).ok()?.1),
    }
}

/// What a call is about.
pub(super) struct Subject {
    /// The project.
    pub(super) project: Project,
    /// The manifest by which it was found; `None` when its name was given.
    pub(super) manifest_file: Option<PathBuf>,
}

/// The project that this call is about, and how it was found.
pub(super) fn subject(call: &Call) -> Result<Subject, Failure> {
    let (name, manifest_file) = name_and_file(call)?;
    Ok(Subject {
        project: Project::locate(&name)?,
        manifest_file,
    })
}

/// As [`subject`], for a command that changes something: refused when the project was found by a
/// manifest and runs from another one.
pub(super) fn subject_to_change(call: &Call) -> Result<Subject, Failure> {
    let subject = subject(call)?;
    if let Some(file) = &subject.manifest_file {
        origin::refuse_other(call, &subject.project, file)?;
    }
    Ok(subject)
}

/// As [`subject`], for a command that only looks: it says which manifest the project runs from, where
/// that is not the one by which it was found.
pub(super) fn to_look_at(call: &Call) -> Result<Project, Failure> {
    let subject = subject(call)?;
    match &subject.manifest_file {
        Some(file) => origin::tell_other(call, &subject.project, file),
        // A mistyped name would look like a project that is down.
        None if !subject.project.state_dir().exists() => call.note_once(&render::failure::note(
            &render::origin::never_ran(subject.project.name()),
            &call.err,
        )),
        None => {}
    }
    Ok(subject.project)
}

/// Says which projects of other names run from the manifest of this call.
pub(super) fn tell_renamed(call: &Call) -> Result<(), Failure> {
    if let (name, Some(file)) = name_and_file(call)? {
        origin::tell_renamed(call, &name, &file);
    }
    Ok(())
}

/// The project's name.
pub(super) fn project_name(call: &Call) -> Result<ProjectName, Failure> {
    Ok(name_and_file(call)?.0)
}

fn name_and_file(call: &Call) -> Result<(ProjectName, Option<PathBuf>), Failure> {
    if let Some(name) = explicit_name(call)? {
        return Ok((name, None));
    }
    let inherited = variable("BAUDBOT_PROJECT")?;
    let is_named = named_file(call).is_some();
    if !is_named
        && let Some(inherited) = &inherited
        && manifest::find(&std::env::current_dir().unwrap_or_default()).is_err()
    {
        return Ok((inherited.clone(), None));
    }
    let file = manifest_file(call)?;
    match (name_of(&file), inherited) {
        (Ok(name), _) => Ok((name, Some(file))),
        (Err(_), Some(name)) if !is_named => Ok((name, None)),
        (Err(error), _) => Err(error.into()),
    }
}

/// The name that the user gave. What the supervisor gave to a service is no such name.
pub(super) fn explicit_name(call: &Call) -> Result<Option<ProjectName>, Failure> {
    if call.options.project.is_some() || call.options.file.is_some() || is_in_service() {
        return Ok(call.options.project.clone());
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
