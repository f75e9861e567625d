//! `baudbot logs`.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::os::fd::AsFd;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use regex::Regex;

use super::{Call, Failure, moment, project, runs};
use crate::code;
use crate::control::logs::log_line;
use crate::exit::ExitCode;
use crate::id::ServiceName;
use crate::log_reader::{Filter, Line, Merged, Source, Start, Watch, Woken, logged};
use crate::manifest::model::Manifest;
use crate::plan::Selector;
use crate::render::{self, human, log};
use crate::store::Project;

/// With `-f` and without `-n`, so many lines of the past are shown.
const LINES_BEFORE_FOLLOWING: usize = 10;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Whose; all, when none is named
    #[arg(value_name = "NAME|@GROUP")]
    selection: Vec<Selector>,
    /// Go on with what is printed from now on
    #[arg(short, long)]
    follow: bool,
    /// Only the last lines [default: all; with --follow 10]
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,
    /// Only what was printed since: 10m, 08:15, "2026-03-01 08:15", RFC 3339
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    since: Option<Timestamp>,
    /// Only what was printed until then
    #[arg(long, value_name = "TIME", value_parser = moment::parse, conflicts_with = "follow")]
    until: Option<Timestamp>,
    /// Only what the run before the latest one printed
    #[arg(long, conflicts_with_all = ["follow", "since", "until"])]
    previous: bool,
    /// Only lines that match; (?i) at its start ignores case
    #[arg(short, long, value_name = "REGEX")]
    grep: Option<Regex>,
    /// Show when each line was printed
    #[arg(short, long)]
    timestamps: bool,
    /// Mark where a run begins; auto: on a terminal
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    runs: MarkRuns,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// Whether the beginnings of runs are marked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum MarkRuns {
    /// On a terminal.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

impl Arguments {
    /// The last lines of one service, and all that comes.
    pub(super) fn following(service: ServiceName) -> Self {
        Self {
            selection: vec![Selector::Service(service)],
            follow: true,
            lines: Some(LINES_BEFORE_FOLLOWING),
            since: None,
            until: None,
            previous: false,
            grep: None,
            timestamps: false,
            runs: MarkRuns::Auto,
            json: false,
        }
    }
}

pub(super) fn run(call: &Call, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let project = project::to_look_at(call)?;
    let mut shown = Shown {
        call,
        project: &project,
        is_json: arguments.json,
        has_times: arguments.timestamps,
        marks_runs: match arguments.runs {
            MarkRuns::Auto => call.out.is_live,
            MarkRuns::Always => true,
            MarkRuns::Never => false,
        },
        zone: TimeZone::system(),
        services: services(call, &project, &arguments.selection)?,
    };
    let start = match (arguments.lines, arguments.follow, arguments.since) {
        (Some(count), _, _) => Start::Last(count),
        (None, true, None) => Start::Last(LINES_BEFORE_FOLLOWING),
        (None, _, _) => Start::Oldest,
    };
    // What is written between reading and waiting must wake the wait, so the watch comes first.
    let watch = match arguments.follow {
        true => Some(watch(&project)?),
        false => None,
    };
    if arguments.previous {
        return print_previous(&mut shown, arguments, start);
    }
    let sources: Vec<Source> = shown
        .services
        .iter()
        .map(|name| Source {
            path: project.log_file(name),
            since: arguments.since,
            until: arguments.until,
        })
        .collect();
    let silent = silent(&project, &shown.services);
    if watch.is_none() && silent.len() == shown.services.len() {
        return Err(nothing_logged(
            call,
            &project,
            &arguments.selection,
            &silent,
        ));
    }
    if !arguments.selection.is_empty() && !silent.is_empty() {
        let note = format!("nothing was logged of {} yet", human::names(&silent));
        call.note(&render::failure::note(&note, &call.err));
    }
    let mut merged = Merged::open_chosen(sources, start, filter(arguments))
        .map_err(|error| cannot_read(&error))?;
    let count = shown.print(&mut merged)?;
    let Some(watch) = watch else {
        if count == 0 && arguments.lines != Some(0) {
            call.note(&render::failure::note("no line is as asked for", &call.err));
        }
        return Ok(ExitCode::Done);
    };
    loop {
        let woken = watch
            .wait(io::stdout().as_fd())
            .map_err(|error| Failure::system("cannot wait for more", &error))?;
        match woken {
            Woken::ReaderGone => return Err(Failure::ReaderGone),
            Woken::Appeared if arguments.selection.is_empty() => shown.add_new(&mut merged)?,
            Woken::Appeared | Woken::Written => {}
        }
        merged.refresh().map_err(|error| cannot_read(&error))?;
        shown.print(&mut merged)?;
    }
}

/// What is shown, and how.
struct Shown<'a> {
    call: &'a Call,
    project: &'a Project,
    is_json: bool,
    has_times: bool,
    marks_runs: bool,
    /// In which times are shown.
    zone: TimeZone,
    /// In the order of the merged logs.
    services: Vec<ServiceName>,
}

impl Shown<'_> {
    /// Prints all that there is, and says how many lines that were.
    fn print(&self, merged: &mut Merged) -> Result<usize, Failure> {
        let mut count = 0;
        let mut out = io::BufWriter::new(io::stdout().lock());
        while let Some((index, line)) = merged.next_line().map_err(|error| cannot_read(&error))? {
            out.write_all(self.line(index, &line).as_bytes())
                .map_err(|error| Failure::output(&error))?;
            count += 1;
        }
        out.flush().map_err(|error| Failure::output(&error))?;
        Ok(count)
    }

    fn line(&self, index: usize, line: &Line) -> String {
        let name = &self.services[index];
        if self.is_json {
            let line = serde_json::to_string(&log_line(name, line));
            return line.unwrap_or_default() + "\n";
        }
        let look = &self.call.out;
        let width = self.services.iter().map(|name| name.as_str().len()).max();
        let (width, style) = (width.unwrap_or(0), log::prefix_style(index));
        let begins = line.begins_run.filter(|_| self.marks_runs);
        let mut texts = Vec::new();
        if line.is_after_gap {
            texts.push(log::between(name, width, style, log::GAP, look));
        }
        if let Some(run) = begins {
            let rule = log::run_begins(run, look);
            texts.push(log::between(name, width, style, &rule, look));
        }
        texts.push(log::line(name, width, style, line, look));
        let time = match self.has_times {
            true => log::time(line.time, &self.zone, look),
            false => String::new(),
        };
        texts.into_iter().map(|text| time.clone() + &text).collect()
    }

    /// Takes in the logs of services that were not there before.
    fn add_new(&mut self, merged: &mut Merged) -> Result<(), Failure> {
        for name in logged(&self.project.log_dir()).map_err(|error| cannot_read(&error))? {
            if !self.services.contains(&name) {
                merged
                    .add(self.project.log_file(&name))
                    .map_err(|error| cannot_read(&error))?;
                self.services.push(name);
            }
        }
        Ok(())
    }
}

/// Prints what the runs before the latest ones left.
fn print_previous(
    shown: &mut Shown<'_>,
    arguments: &Arguments,
    start: Start,
) -> Result<ExitCode, Failure> {
    let runs = runs::previous(shown.project)
        .map_err(|error| Failure::system("cannot read the events", &error))?;
    let without: Vec<ServiceName> = shown
        .services
        .iter()
        .filter(|name| !runs.contains_key(*name))
        .cloned()
        .collect();
    shown.services.retain(|name| runs.contains_key(name));
    if shown.services.is_empty() {
        return Err(Failure::new(
            code!("cli::not_logged"),
            ExitCode::NotRunning,
            format!("there was no earlier run of {}", human::names(&without)),
        )
        .help(format!(
            "see what the latest run printed with `{}`",
            shown.call.typed("logs")
        )));
    }
    if !arguments.selection.is_empty() && !without.is_empty() {
        let note = format!("there was no earlier run of {}", human::names(&without));
        shown
            .call
            .note(&render::failure::note(&note, &shown.call.err));
    }
    let sources = shown
        .services
        .iter()
        .map(|name| Source {
            path: shown.project.log_file(name),
            since: runs.get(name).map(|span| span.since),
            until: runs.get(name).map(|span| span.until),
        })
        .collect();
    let mut merged = Merged::open_chosen(sources, start, filter(arguments))
        .map_err(|error| cannot_read(&error))?;
    if shown.print(&mut merged)? == 0 {
        let note = "no line is as asked for";
        shown
            .call
            .note(&render::failure::note(note, &shown.call.err));
    }
    Ok(ExitCode::Done)
}

/// Which lines are wanted, by what people see of them.
fn filter(arguments: &Arguments) -> Option<Filter> {
    let pattern = arguments.grep.clone()?;
    Some(Filter::new(move |content| {
        pattern.is_match(&log::plain(content))
    }))
}

fn cannot_read(error: &io::Error) -> Failure {
    Failure::system("cannot read the logs", error)
}

fn watch(project: &Project) -> Result<Watch, Failure> {
    let directory = project.log_dir();
    Watch::new(&directory).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::new(
            code!("cli::not_logged"),
            ExitCode::NotRunning,
            format!("nothing of project `{}` has ever run", project.name()),
        )
        .help("start it with `baudbot up`"),
        _ => Failure::system(&format!("cannot watch {}", directory.display()), &error),
    })
}

/// Those of the services that have no log.
fn silent(project: &Project, services: &[ServiceName]) -> Vec<ServiceName> {
    let has_log = |name: &ServiceName| project.log_file(name).exists();
    services
        .iter()
        .filter(|name| !has_log(name))
        .cloned()
        .collect()
}

fn nothing_logged(
    call: &Call,
    project: &Project,
    selection: &[Selector],
    silent: &[ServiceName],
) -> Failure {
    let message = if selection.is_empty() || silent.is_empty() {
        format!("nothing of project `{}` was logged yet", project.name())
    } else {
        format!("nothing was logged of {} yet", human::names(silent))
    };
    Failure::new(code!("cli::not_logged"), ExitCode::NotRunning, message)
        .help(format!("see what runs with `{}`", call.typed("status")))
}

/// The services that are meant: those of the manifest in its order, then those that are not declared
/// any more and have left a log.
fn services(
    call: &Call,
    project: &Project,
    selection: &[Selector],
) -> Result<Vec<ServiceName>, Failure> {
    let manifest = project::manifest_if_any(call, project.name());
    let mut known: Vec<ServiceName> = match &manifest {
        Some(manifest) => manifest.services.keys().cloned().collect(),
        None => Vec::new(),
    };
    for name in logged(&project.log_dir()).map_err(|error| cannot_read(&error))? {
        if !known.contains(&name) {
            known.push(name);
        }
    }
    if selection.is_empty() {
        return Ok(known);
    }
    let mut chosen = BTreeSet::new();
    for selector in selection {
        let found = matching(selector, &known, manifest.as_ref());
        if found.is_empty() {
            // A manifest that cannot be read may declare it: then that is what is wrong.
            if manifest.is_none() {
                project::manifest(call)?;
            }
            return Err(unknown(selector, &known));
        }
        chosen.extend(found);
    }
    known.retain(|name| chosen.contains(name));
    Ok(known)
}

fn matching(
    selector: &Selector,
    known: &[ServiceName],
    manifest: Option<&Manifest>,
) -> Vec<ServiceName> {
    match (selector, manifest) {
        (Selector::Service(wanted), _) => known
            .iter()
            .filter(|name| *name == wanted)
            .cloned()
            .collect(),
        (Selector::Group(group), Some(manifest)) => manifest.members(group).cloned().collect(),
        (Selector::Group(_), None) => Vec::new(),
    }
}

fn unknown(selector: &Selector, known: &[ServiceName]) -> Failure {
    let failure = Failure::new(
        code!("cli::unknown_name"),
        ExitCode::Usage,
        match selector {
            Selector::Service(name) => format!("no service is called `{name}`"),
            Selector::Group(name) => format!("no service is in a group `{name}`"),
        },
    );
    match (selector, known) {
        (Selector::Service(_), [_, ..]) => {
            failure.help(format!("there is {}", human::names(known)))
        }
        _ => failure,
    }
}
