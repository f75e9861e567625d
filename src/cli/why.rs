//! `baudbot why NAME`: one service's whole story.
//!
//! Exit code: 0 when the service is as it should be, 1 when it is not, 2 when there is no such
//! service.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::last_lines::{self, Whose};
use super::{Call, Failure, project, status};
use crate::code;
use crate::control::protocol::Status;
use crate::exit::ExitCode;
use crate::id::ServiceName;
use crate::machine::StateWord;
use crate::manifest::written;
use crate::render::tally::is_as_wanted;
use crate::render::{log, why};
use crate::store::Project;
use crate::story::{Known, Story, Written, tell};

/// How many lines of the log are told.
const LAST_LINES: usize = 10;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Of which service
    #[arg(value_name = "NAME")]
    service: ServiceName,
    /// Print the story for programs
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(call: &Call, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let project = project::to_look_at(call)?;
    let status = status::present(call, &project, &[]).await?;
    let story = story(call, &project, &status, &arguments.service);
    if story.status.is_none() && story.ends.is_empty() {
        return Err(unknown(call, &arguments.service, &status));
    }
    if arguments.json {
        call.print_json(&story)?;
    } else {
        let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let screen = why::Screen {
            now: Timestamp::now(),
            zone: &TimeZone::system(),
            look: call.out,
            here: &here,
            typed: &|command| call.typed(command),
        };
        call.print(&why::why(&story, &screen))?;
    }
    Ok(match story.status.as_ref().is_some_and(is_as_wanted) {
        true => ExitCode::Done,
        false => ExitCode::Failed,
    })
}

fn story(call: &Call, project: &Project, status: &Status, service: &ServiceName) -> Story {
    let loaded = project::load_if_any(call, project.name());
    let manifest = loaded
        .as_ref()
        .and_then(|loaded| loaded.manifest.as_ref())
        .filter(|manifest| manifest.project == *project.name());
    let place = |path: &[&str]| {
        manifest?;
        let found = written::find(&loaded.as_ref()?.sources, path)?;
        // Less than the service itself says nothing about it.
        let field = path.get(2..found.depth)?;
        Some(Written {
            field: field.join("."),
            file: found.file,
            line: found.line,
        })
    };
    // What cannot be read makes the story shorter, and is no reason to tell none.
    let events = last_lines::events(project);
    let is_next_attempt = status
        .services
        .get(service)
        .is_some_and(|one| one.state == StateWord::Starting && one.failures > 0);
    let whose = if is_next_attempt {
        Whose::Previous
    } else {
        Whose::Latest
    };
    let lines = last_lines::of_run_among(&events, project, service, whose, LAST_LINES);
    tell(&Known {
        service,
        manifest,
        status,
        events: &events,
        log: &lines
            .iter()
            .map(|line| log::plain(log::drawn_last(&line.content)))
            .collect::<Vec<_>>(),
        place: &place,
    })
}

fn unknown(call: &Call, name: &ServiceName, status: &Status) -> Failure {
    let distance = |other: &&str| strsim::damerau_levenshtein(other, name.as_str());
    let names = status.services.keys().map(ServiceName::as_str);
    let near = names
        .min_by_key(distance)
        .filter(|near| distance(near) <= 2);
    Failure::new(
        code!("cli::unknown_name"),
        ExitCode::Usage,
        format!("no service is called `{name}`, and none ever was"),
    )
    .help(match near {
        Some(near) => format!("a similar name exists: `{near}`"),
        None => format!("see what there is with `{}`", call.typed("status")),
    })
}
