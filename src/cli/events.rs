//! `baudbot events`: what happened, and why.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Write};
use std::os::fd::AsFd;

use clap::Args;
use jiff::Timestamp;

use super::{Call, Failure, moment, project};
use crate::code;
use crate::event::{Event, What};
use crate::exit::ExitCode;
use crate::id::ServiceName;
use crate::log_reader::{Merged, Start, Watch, Woken};
use crate::plan::Selector;
use crate::render::visible::visible;
use crate::render::{self, events};
use crate::store::Project;

/// With `-f` and without `-n`, so many events of the past are shown.
const EVENTS_BEFORE_FOLLOWING: usize = 10;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Whose; without a name everything, orders and supervisors too
    #[arg(value_name = "NAME|@GROUP")]
    selection: Vec<Selector>,
    /// Go on with what happens from now on
    #[arg(short, long)]
    follow: bool,
    /// Only the last events [default: all that are kept; with --follow 10]
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,
    /// Only what happened since: 10m, 08:15, "2026-03-01 08:15", RFC 3339
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    since: Option<Timestamp>,
    /// One JSON object a line, as it is in the file
    #[arg(long)]
    json: bool,
}

pub(super) fn run(call: &Call, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let project = project::to_look_at(call)?;
    let path = project.events_file();
    // What is written between reading and waiting must wake the wait, so the watch comes first.
    let watch = match arguments.follow {
        true => Some(Watch::new(project.state_dir()).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                nothing_happened(&project)
            } else {
                Failure::system("cannot wait for events", &error)
            }
        })?),
        false => None,
    };
    let mut log = Merged::open(&[&path], Start::Oldest).map_err(|error| cannot_read(&error))?;
    if watch.is_none() && !path.exists() {
        return Err(nothing_happened(&project));
    }
    let shown = Shown {
        call,
        services: services(call, &project, &arguments.selection),
        since: arguments.since,
        is_json: arguments.json,
    };
    let mut past: VecDeque<String> = VecDeque::new();
    let most = match (arguments.lines, arguments.follow) {
        (Some(count), _) => count,
        (None, true) => EVENTS_BEFORE_FOLLOWING,
        (None, false) => usize::MAX,
    };
    while let Some(text) = shown.next(&mut log)? {
        past.push_back(text);
        if past.len() > most {
            past.pop_front();
        }
    }
    print(past)?;
    let Some(watch) = watch else {
        return Ok(ExitCode::Done);
    };
    loop {
        let woken = watch
            .wait(io::stdout().as_fd())
            .map_err(|error| Failure::system("cannot wait for events", &error))?;
        if woken == Woken::ReaderGone {
            return Err(Failure::ReaderGone);
        }
        log.refresh().map_err(|error| cannot_read(&error))?;
        let mut new = Vec::new();
        while let Some(text) = shown.next(&mut log)? {
            new.push(text);
        }
        print(new)?;
    }
}

fn print(texts: impl IntoIterator<Item = String>) -> Result<(), Failure> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let write = || {
        for text in texts {
            out.write_all(text.as_bytes())?;
        }
        out.flush()
    };
    write().map_err(|error| Failure::output(&error))
}

/// Which events are shown, and how.
struct Shown<'a> {
    call: &'a Call,
    /// `None`: everything.
    services: Option<BTreeSet<ServiceName>>,
    since: Option<Timestamp>,
    is_json: bool,
}

impl Shown<'_> {
    /// The next event that is meant, as it is printed. What cannot be understood is passed over: a
    /// torn line, or what a later version wrote.
    fn next(&self, log: &mut Merged) -> Result<Option<String>, Failure> {
        while let Some((_, line)) = log.next_line().map_err(|error| cannot_read(&error))? {
            if line.is_after_gap {
                let note = "events before this one were rotated away before they were read";
                self.call.note(&render::failure::note(note, &self.call.err));
            }
            let Some(event) = Event::read(&line.content).filter(|event| self.is_meant(event))
            else {
                continue;
            };
            return Ok(Some(if self.is_json {
                event.text()
            } else {
                let text = events::event(&event, &self.call.out);
                visible(&text, self.call.out.has_colour).into_owned()
            }));
        }
        Ok(None)
    }

    fn is_meant(&self, event: &Event) -> bool {
        let is_of_them = match (&self.services, &event.what) {
            (None, _) => true,
            (Some(names), What::Service(change)) => names.contains(&change.service),
            (Some(_), What::Order(_) | What::Supervisor(_)) => false,
        };
        is_of_them && self.since.is_none_or(|since| event.time >= since)
    }
}

/// The services that are meant. A name need not be declared any more to have had a life.
fn services(
    call: &Call,
    project: &Project,
    selection: &[Selector],
) -> Option<BTreeSet<ServiceName>> {
    if selection.is_empty() {
        return None;
    }
    let manifest = project::manifest_if_any(call, project.name());
    let of = |selector: &Selector| match selector {
        Selector::Service(name) => vec![name.clone()],
        Selector::Group(group) => manifest
            .iter()
            .flat_map(|manifest| manifest.members(group).cloned())
            .collect(),
    };
    Some(selection.iter().flat_map(of).collect())
}

fn nothing_happened(project: &Project) -> Failure {
    Failure::new(
        code!("cli::not_logged"),
        ExitCode::NotRunning,
        format!("nothing of project `{}` has ever run", project.name()),
    )
    .help("start it with `baudbot up`")
}

fn cannot_read(error: &io::Error) -> Failure {
    Failure::system("cannot read the events", error)
}
