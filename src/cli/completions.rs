//! `baudbot completions`, and what a shell asks for while somebody types.
//!
//! The script that a shell loads is a few lines that call this program back: what can stand next is
//! found out at that moment, so the names of services and groups are those of the manifest as it is.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};

use super::{Call, ColorArgument, Failure, Options, project};
use crate::code;
use crate::exit::ExitCode;
use crate::log_reader::logged;
use crate::store;

/// What tells this program that a shell asks.
const VARIABLE: &str = "BAUDBOT_COMPLETE";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    /// In ~/.bashrc: source <(baudbot completions bash)
    Bash,
    /// In ~/.zshrc, after compinit: source <(baudbot completions zsh)
    Zsh,
    /// In ~/.config/fish/config.fish: baudbot completions fish | source
    Fish,
}

pub(super) fn run(call: &Call, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let name = match arguments.shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
    };
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let written = shells
        .completer(name)
        .ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))
        .and_then(|shell| {
            shell.write_registration(VARIABLE, "baudbot", "baudbot", "baudbot", &mut script)
        });
    written.map_err(|error| Failure::of(code!("cli::system"), &error))?;
    call.print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::Done)
}

/// Answers a shell, if it is one that asks. Nothing else is done then.
pub(super) fn answer(command: fn() -> clap::Command) -> Option<ExitCode> {
    let directory = std::env::current_dir().ok();
    let arguments = std::env::args_os();
    let asked = CompleteEnv::with_factory(command)
        .var(VARIABLE)
        .try_complete(arguments, directory.as_deref());
    match asked {
        Ok(true) => Some(ExitCode::Done),
        Ok(false) => None,
        // There is nowhere to say it: the terminal is the shell's.
        Err(_) => Some(ExitCode::Failed),
    }
}

/// Makes the arguments that name services and groups complete them.
pub(super) fn with_names(mut command: clap::Command) -> clap::Command {
    let subcommands: Vec<String> = command
        .get_subcommands()
        .map(|one| one.get_name().to_owned())
        .collect();
    command = command.mut_args(|argument| match argument.get_id().as_str() {
        "project" => argument.add(ArgValueCompleter::new(projects)),
        _ => argument,
    });
    for subcommand in subcommands {
        command = command.mut_subcommand(subcommand, |one| {
            one.mut_args(|argument| match value_name(&argument) {
                Some("NAME|@GROUP") => argument.add(ArgValueCompleter::new(selectors)),
                Some(name) if name.starts_with("[up|down|restart]") => {
                    argument.add(ArgValueCompleter::new(orders))
                }
                Some("NAME") if argument.is_positional() => {
                    argument.add(ArgValueCompleter::new(services))
                }
                _ => argument,
            })
        });
    }
    command
}

fn value_name(argument: &clap::Arg) -> Option<&str> {
    argument
        .get_value_names()?
        .first()
        .map(clap::builder::Str::as_str)
}

fn services(typed: &OsStr) -> Vec<CompletionCandidate> {
    let mut candidates = selectors(typed);
    candidates.retain(|one| !one.get_value().to_string_lossy().starts_with('@'));
    candidates
}

/// What `plan` takes first, and names.
fn orders(typed: &OsStr) -> Vec<CompletionCandidate> {
    let mut words: Vec<OsString> = std::env::args_os()
        .skip_while(|word| word != "--")
        .collect();
    // The word that is being typed.
    words.pop();
    let is_first = words.last().is_some_and(|word| word == "plan");
    let mut candidates = Vec::new();
    if is_first {
        candidates.extend(["up", "down", "restart"].map(CompletionCandidate::new));
    }
    candidates.retain(|one| starts_with(one, typed));
    candidates.extend(selectors(typed));
    candidates
}

/// The projects of which there is something on this host.
fn projects(typed: &OsStr) -> Vec<CompletionCandidate> {
    let mut candidates: Vec<CompletionCandidate> = store::all_projects()
        .unwrap_or_default()
        .iter()
        .map(|project| CompletionCandidate::new(project.name().as_str()))
        .collect();
    candidates.retain(|one| starts_with(one, typed));
    candidates
}

fn starts_with(candidate: &CompletionCandidate, typed: &OsStr) -> bool {
    let value = candidate.get_value().to_string_lossy();
    value.starts_with(&*typed.to_string_lossy())
}

fn selectors(typed: &OsStr) -> Vec<CompletionCandidate> {
    let call = Call::new(options(std::env::args_os()));
    let mut candidates: Vec<CompletionCandidate> = Vec::new();
    let manifest = project::load(&call)
        .ok()
        .and_then(|(_, loaded)| loaded.manifest);
    if let Some(manifest) = manifest {
        for (name, service) in &manifest.services {
            let description = service.description.clone().map(Into::into);
            candidates.push(CompletionCandidate::new(name.as_str()).help(description));
        }
        for (name, group) in &manifest.groups {
            let description = group.description.clone().map(Into::into);
            candidates.push(CompletionCandidate::new(format!("@{name}")).help(description));
        }
    } else if let Ok(project) = project::subject(&call).map(|one| one.project) {
        // Without a manifest there is what was there once.
        let names = logged(&project.log_dir()).unwrap_or_default();
        candidates.extend(
            names
                .iter()
                .map(|name| CompletionCandidate::new(name.as_str())),
        );
    }
    candidates.retain(|one| starts_with(one, typed));
    candidates
}

/// What the line that is being typed says about the manifest and the project. It stands after `--`.
fn options(arguments: impl Iterator<Item = OsString>) -> Options {
    let mut options = Options {
        file: None,
        project: None,
        color: ColorArgument::Never,
    };
    let mut words = arguments.skip_while(|word| word != "--").skip(2);
    let mut is_before_command = true;
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        match (text.as_ref(), text.split_once('=')) {
            ("--file", _) => options.file = words.next().map(PathBuf::from),
            // After the command's name it may mean something else, as in `logs -f`.
            ("-f", _) if is_before_command => options.file = words.next().map(PathBuf::from),
            ("-p" | "--project", _) => {
                options.project = words.next().and_then(|word| word.to_str()?.parse().ok());
            }
            (_, Some(("--file", file))) => options.file = Some(file.into()),
            (_, Some(("--project", name))) => options.project = name.parse().ok(),
            _ => is_before_command &= text.starts_with('-'),
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_is_typed_says_which_manifest_is_meant() {
        let file = |line: &str| {
            let words = line.split(' ').map(OsString::from);
            options(words).file.map(|file| file.display().to_string())
        };
        assert_eq!(file("bb -- bb up we"), None);
        assert_eq!(file("bb -- bb -f a.yaml up we").as_deref(), Some("a.yaml"));
        assert_eq!(
            file("bb -- bb up --file a.yaml we").as_deref(),
            Some("a.yaml")
        );
        assert_eq!(file("bb -- bb --file=a.yaml up").as_deref(), Some("a.yaml"));
        assert_eq!(file("bb -- bb logs -f we"), None);
    }
}
