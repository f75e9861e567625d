//! The command line: each command asks, renders and exits.
//!
//! A command is a file here with its clap type and a `run` that returns an [`ExitCode`] or a
//! [`Failure`]. What it knows of the world comes through [`Call`]; what people read is made in
//! [`crate::render`]. Data goes to standard output, the rest to standard error.

mod attach;
mod call;
mod completions;
mod config;
mod doctor;
mod down;
mod ending;
mod events;
mod exec;
mod explain;
mod failure;
mod follow;
mod foreground;
mod graph;
mod init;
mod instances;
mod last_lines;
mod logs;
mod man;
mod moment;
mod origin;
mod overtaken;
mod plan;
mod project;
mod ps;
mod runs;
mod schema;
mod selftest;
mod session;
mod status;
mod supervise;
mod tmux;
mod ui;
mod up;
mod upgrade;
mod validate;
mod verdict;
mod watch;
mod why;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::code;
use crate::exit::ExitCode;
use crate::id::ProjectName;
use crate::render::visible::visible;
use crate::render::{self, ColorChoice, Look};
use crate::sys::descriptors::{has_room_for, limit};
use call::Call;
use failure::Failure;

const EXIT_CODES: &str = "\
Exit codes:
  0    what was asked for is true
  1    a service failed, something survived, or the command could not do its work
  2    the command line is wrong
  3    nothing is running
  4    --timeout passed; the work goes on
  5    a service is blocked until somebody mends something
  78   the manifest is wrong or missing
  130  interrupted
  143  ended by SIGTERM";

/// Runs the services that one manifest declares, and proves that nothing is left when they stop.
#[derive(Debug, Parser)]
#[command(name = "baudbot", version, about, after_help = EXIT_CODES, propagate_version = true)]
#[command(disable_help_subcommand = true)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
struct Options {
    /// The manifest [default: baudbot.yaml here or in a parent; with -p, the one that the project runs from] [env: BAUDBOT_FILE]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The project, whatever manifest lies here [env: BAUDBOT_PROJECT]
    #[arg(short, long, global = true, value_name = "NAME")]
    project: Option<ProjectName>,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    color: ColorArgument,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum ColorArgument {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring services up, in order, and wait until they are ready
    Up(up::Arguments),
    /// Take services down, in order, and prove that nothing is left
    Down(down::Arguments),
    /// Bring the named services up
    Start(up::StartArguments),
    /// Take the named services down
    Stop(down::StopArguments),
    /// Give services a new run
    Restart(up::RestartArguments),
    /// Let the supervisor go on with this program; services do not notice
    Upgrade(upgrade::Arguments),
    /// Do something about the supervisor itself
    Supervisor(upgrade::SupervisorArguments),
    /// Show what runs, what does not, and why
    Status(status::Arguments),
    /// Tell one service's whole story: what it is, why, and what to do
    Why(why::Arguments),
    /// Show all projects of yours, those too that a killed supervisor left behind
    Ps(ps::Arguments),
    /// Show what services printed
    Logs(logs::Arguments),
    /// Show what happened, and why
    Events(events::Arguments),
    /// Attach this terminal to a service: to its tmux session, or to what it prints
    Attach(attach::Arguments),
    /// Run a command with the environment, directory and user of a service
    Exec(exec::Arguments),
    /// Run tmux on the server that holds the project's sessions
    Tmux(tmux::Arguments),
    /// See and steer everything on one screen
    Ui(ui::Arguments),
    /// Show what an order would do, and why
    Plan(plan::Arguments),
    /// Check the manifest and report every mistake in it
    Validate(validate::Arguments),
    /// Print the JSON Schema of the manifest, for editors, or of `status --json`
    Schema(schema::Arguments),
    /// Show the manifest as it is understood: defaults applied, everything resolved
    Config(config::Arguments),
    /// Show which service needs which
    Graph(graph::Arguments),
    /// Write a commented manifest to begin with
    Init(init::Arguments),
    /// Look at what this host can do, what would break, and how to mend it
    Doctor(doctor::Arguments),
    /// Tell what the code of an error means, and what to do
    Explain(explain::Arguments),
    /// Try on this host whether anything can escape: every trick there is, twice
    Selftest(selftest::Arguments),
    /// Print what makes a shell complete commands, options and live names
    Completions(completions::Arguments),
    /// Print or write manual pages
    Man(man::Arguments),
    /// Run a project's supervisor
    #[command(hide = true)]
    Supervise(supervise::Arguments),
}

/// The commands as clap sees them. `--file` may stand before or after the command's name; it is no
/// global option of clap's since `logs -f` means to follow, and there only `--file` names a file.
fn command() -> clap::Command {
    let mut command = Arguments::command();
    let file = command
        .get_arguments()
        .find(|argument| argument.get_id() == "file")
        .cloned();
    let names: Vec<String> = command
        .get_subcommands()
        .map(|one| one.get_name().to_owned())
        .collect();
    for (name, file) in names
        .into_iter()
        .filter_map(|name| Some((name, file.clone()?)))
    {
        command = command.mut_subcommand(name, |one| {
            let is_taken = one
                .get_arguments()
                .any(|other| other.get_short() == Some('f'));
            one.arg(if is_taken { file.short(None) } else { file })
        });
    }
    completions::with_names(command)
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, clap::Error> {
    let matches = command().try_get_matches_from(arguments)?;
    let mut arguments = Arguments::from_arg_matches(&matches)?;
    let after_name = matches
        .subcommand()
        .and_then(|(_, one)| one.get_one::<PathBuf>("file"));
    if let Some(file) = after_name {
        arguments.options.file = Some(file.clone());
    }
    Ok(arguments)
}

/// Parses the arguments (the program's name first), runs the command and says how it ended.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    if let Some(exit) = completions::answer(command) {
        return exit;
    }
    let arguments_given = as_help_option(arguments.into_iter().collect());
    let arguments = match parse(arguments_given.iter().cloned()) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no errors, and a reader that went away is none either.
            let is_error = error.use_stderr();
            tell(&error);
            if is_error {
                tell_of_file(&arguments_given);
                tell_of_background(&arguments_given);
            }
            return if is_error {
                ExitCode::Usage
            } else {
                ExitCode::Done
            };
        }
    };
    let call = Call::new(arguments.options);
    match dispatch(&call, arguments.command) {
        Ok(code) => code,
        Err(failure) => {
            let exit = failure.tell(&call);
            if exit == ExitCode::Usage {
                tell_of_file(&arguments_given);
            }
            exit
        }
    }
}

/// Prints what the command line parser says: help, the version, or what is wrong with an argument.
fn tell(error: &clap::Error) {
    // A reader that has gone does not want to know.
    let _ = if error.use_stderr() {
        let look = Look::of(&io::stderr(), ColorChoice::Auto);
        io::stderr().write_all(parser_text(error, &look).as_bytes())
    } else {
        let look = Look::of(&io::stdout(), ColorChoice::Auto);
        io::stdout().write_all(parser_text(error, &look).as_bytes())
    };
}

fn parser_text(error: &clap::Error, look: &Look) -> String {
    let text = error.render();
    let text = match look.has_colour {
        true => text.ansi().to_string(),
        false => text.to_string(),
    };
    visible(&text, look.has_colour).into_owned()
}

/// `baudbot help up` means `baudbot up --help`.
fn as_help_option(mut arguments: Vec<OsString>) -> Vec<OsString> {
    if arguments.get(1).is_some_and(|word| word == "help") {
        arguments.remove(1);
        arguments.push("--help".into());
    }
    arguments
}

/// Who asks for the background, as other programs of this kind want it, has it already.
fn tell_of_background(arguments: &[OsString]) {
    if asks_for_background(arguments) {
        let look = Look::of(&io::stderr(), ColorChoice::Auto);
        let text = render::failure::help(render::failure::BACKGROUND, &look);
        let _ = io::stderr().write_all(visible(&text, look.has_colour).as_bytes());
    }
}

fn asks_for_background(arguments: &[OsString]) -> bool {
    let starts = |word: &OsString| word == "up" || word == "start" || word == "restart";
    let detaches = |word: &OsString| word == "-d" || word == "--detach" || word == "--detached";
    arguments.iter().any(starts) && arguments.iter().any(detaches)
}

/// Where a name was expected and the file of a manifest was given: how it is named.
fn tell_of_file(arguments: &[OsString]) {
    let Some(file) = file_for_name(arguments, &|path| path.is_file()) else {
        return;
    };
    let look = Look::of(&io::stderr(), ColorChoice::Auto);
    let text = render::failure::help(&render::failure::file_for_name(&file), &look);
    let _ = io::stderr().write_all(visible(&text, look.has_colour).as_bytes());
}

/// The YAML file that stands among the arguments of a command without being the value of `--file`.
fn file_for_name(
    arguments: &[OsString],
    is_file: &dyn Fn(&std::path::Path) -> bool,
) -> Option<String> {
    let words = arguments.iter().map(|word| word.to_string_lossy());
    let words: Vec<_> = words.take_while(|word| word != "--").collect();
    let follows = words.iter().any(|word| word == "logs" || word == "events");
    let is_yaml = |word: &str| word.ends_with(".yaml") || word.ends_with(".yml");
    let is_named = |before: &str| before == "--file" || before == "-f" && !follows;
    words.windows(2).skip(1).find_map(|pair| {
        let (before, word) = (&pair[0], &pair[1]);
        let is_meant = is_yaml(word) && !is_named(before) && is_file(std::path::Path::new(&**word));
        is_meant.then(|| call::quoted(word))
    })
}

fn dispatch(call: &Call, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Up(arguments) => wait_for(up::run(call, arguments)),
        Command::Down(arguments) => wait_for(down::run(call, arguments)),
        Command::Start(arguments) => wait_for(up::start(call, arguments)),
        Command::Stop(arguments) => wait_for(down::stop(call, arguments)),
        Command::Restart(arguments) => wait_for(up::restart(call, arguments)),
        Command::Upgrade(arguments) => wait_for(upgrade::run(call, arguments)),
        Command::Supervisor(arguments) => wait_for(upgrade::supervisor(call, arguments)),
        Command::Status(arguments) => wait_for(status::run(call, &arguments)),
        Command::Why(arguments) => wait_for(why::run(call, &arguments)),
        Command::Ps(arguments) => wait_for(ps::run(call, &arguments)),
        Command::Logs(arguments) => logs::run(call, &arguments),
        Command::Events(arguments) => events::run(call, &arguments),
        Command::Attach(arguments) => wait_for(attach::run(call, &arguments)),
        Command::Ui(_) => wait_for(ui::run(call)),
        Command::Exec(arguments) => wait_for(exec::run(call, &arguments)),
        Command::Tmux(arguments) => tmux::run(call, &arguments),
        Command::Completions(arguments) => completions::run(call, &arguments),
        Command::Man(arguments) => man::run(call, &arguments),
        Command::Plan(arguments) => wait_for(plan::run(call, arguments)),
        Command::Validate(arguments) => validate::run(call, &arguments),
        Command::Schema(arguments) => schema::run(call, &arguments),
        Command::Config(arguments) => config::run(call, &arguments),
        Command::Graph(arguments) => wait_for(graph::run(call, &arguments)),
        Command::Init(arguments) => init::run(call, &arguments),
        Command::Doctor(arguments) => wait_for(doctor::run(call, &arguments)),
        Command::Explain(arguments) => explain::run(call, &arguments),
        Command::Selftest(arguments) => wait_for(selftest::run(call, &arguments)),
        Command::Supervise(arguments) => supervise::run(arguments),
    }
}

/// How many files a command has open at most, beside the standard streams.
const NEEDED_DESCRIPTORS: usize = 16;

/// Runs a command that talks to the supervisor.
fn wait_for(command: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    // The runtime would panic.
    if !has_room_for(NEEDED_DESCRIPTORS) {
        let limit = limit().unwrap_or(0);
        return Err(Failure::new(
            code!("cli::few_descriptors"),
            ExitCode::Failed,
            format!("the limit of open files, {limit}, is too low for this command"),
        ));
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::system("cannot wait for anything", &error))?
        .block_on(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        command().debug_assert();
    }

    #[test]
    fn words_of_other_programs_are_understood() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(
            as_help_option(words("baudbot help up")),
            words("baudbot up --help")
        );
        assert_eq!(
            as_help_option(words("baudbot help")),
            words("baudbot --help")
        );
        assert_eq!(
            as_help_option(words("baudbot why help")),
            words("baudbot why help")
        );
        assert!(asks_for_background(&words("baudbot up -d")));
        assert!(!asks_for_background(&words("baudbot logs -d")));
    }

    #[test]
    fn a_file_in_the_place_of_a_name_is_noticed() {
        let found = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(Into::into).collect();
            file_for_name(&words, &|path| path != std::path::Path::new("no.yaml"))
        };
        for line in [
            "bb up x.yaml",
            "bb logs -f x.yaml",
            "bb events -f ./x.yaml",
            "bb up a x.yml",
        ] {
            assert!(found(line).is_some(), "{line}");
        }
        for line in [
            "bb up -f x.yaml",
            "bb -f x.yaml up web",
            "bb logs -f --file x.yaml",
            "bb logs -f web",
            "bb up no.yaml",
            "bb exec a -- cat x.yaml",
        ] {
            assert_eq!(found(line), None, "{line}");
        }
    }

    fn file_of(words: &[&str]) -> Option<PathBuf> {
        let words = ["baudbot"].iter().chain(words).map(Into::into);
        parse(words).unwrap().options.file
    }

    #[test]
    fn the_file_may_stand_before_or_after_the_command() {
        for words in [
            &["-f", "x.yaml", "validate"][..],
            &["validate", "-f", "x.yaml"],
            &["--file=x.yaml", "logs", "-f"],
            &["logs", "-f", "--file", "x.yaml"],
        ] {
            assert_eq!(file_of(words), Some("x.yaml".into()), "{words:?}");
        }
        assert_eq!(file_of(&["logs", "-f"]), None);
    }

    #[test]
    fn the_help_lists_the_whole_table_of_exit_codes() {
        let numbers: Vec<u8> = EXIT_CODES
            .lines()
            .filter_map(|line| line.split_whitespace().next()?.parse().ok())
            .collect();
        assert_eq!(numbers, ExitCode::ALL.map(ExitCode::number));
    }
}
