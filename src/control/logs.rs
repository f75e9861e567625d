//! `GET /v1/logs`: lines of services' logs as server-sent events.
//!
//! Files are read on a thread for each reader, never on that of the event loop. The thread hands its
//! lines over through a short queue: a reader that reads slowly, or not at all, stops its own thread
//! and costs the supervisor nothing more. A thread ends with its connection.

use std::convert::Infallible;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::response::sse::Event;
use futures_util::stream::{self, Stream};
use jiff::Timestamp;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, watch};

use super::protocol::{LogLine, LogsQuery, Refusal, Status};
use crate::code;
use crate::id::ServiceName;
use crate::log_reader::{Filter, Line, Merged, Source, Start, Watch, Woken, logged, path_of};
use crate::plan::Selector;

/// So many readers may there be at a time; each costs a thread.
const MOST_READERS: usize = 64;

static READERS: Semaphore = Semaphore::const_new(MOST_READERS);

/// How many lines wait for a reader to take them.
const QUEUE: usize = 16;

/// What one reader gets.
pub(super) struct Wanted {
    directory: PathBuf,
    services: Vec<ServiceName>,
    /// Whether services that leave a first line later are meant too.
    is_all: bool,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    start: Start,
    filter: Option<Filter>,
    is_followed: bool,
}

/// The refusal of a query that cannot be understood.
pub(super) fn bad(message: String) -> Refusal {
    Refusal {
        code: code!("control::bad_query").to_string(),
        message,
        help: Some("docs/control-api.md lists what may be asked".into()),
        exit: 2,
    }
}

/// What the query asks for, checked whole.
pub(super) fn wanted(
    query: Result<Query<LogsQuery>, QueryRejection>,
    status: &Status,
    directory: &Path,
) -> Result<Wanted, Refusal> {
    let Query(query) = query.map_err(|error| bad(error.body_text()))?;
    let filter = match query.grep.as_deref().map(regex::bytes::Regex::new) {
        Some(Ok(pattern)) => Some(Filter::new(move |line| pattern.is_match(line))),
        Some(Err(error)) => return Err(bad(error.to_string())),
        None => None,
    };
    if query.follow && query.until.is_some() {
        return Err(bad("`until` and `follow` exclude each other".into()));
    }
    let mut known: Vec<ServiceName> = status.services.keys().cloned().collect();
    let left = logged(directory).map_err(|error| bad(format!("no logs: {error}")))?;
    known.extend(
        left.into_iter()
            .filter(|name| !status.services.contains_key(name)),
    );
    let services = match &query.services {
        Some(selection) => chosen(selection, known, status)?,
        None => known,
    };
    Ok(Wanted {
        directory: directory.to_owned(),
        services,
        is_all: query.services.is_none(),
        since: query.since,
        until: query.until,
        start: query.lines.map_or(Start::Oldest, Start::Last),
        filter,
        is_followed: query.follow,
    })
}

fn chosen(
    selection: &str,
    mut known: Vec<ServiceName>,
    status: &Status,
) -> Result<Vec<ServiceName>, Refusal> {
    let mut selectors = Vec::new();
    for text in selection.split(',') {
        let selector: Selector = text.parse().map_err(|error| bad(format!("{error}")))?;
        let is_meant = |name: &ServiceName| is_meant(&selector, name, status);
        if !known.iter().any(is_meant) {
            return Err(bad(format!("no service is called `{selector}`")));
        }
        selectors.push(selector);
    }
    known.retain(|name| {
        selectors
            .iter()
            .any(|selector| is_meant(selector, name, status))
    });
    Ok(known)
}

fn is_meant(selector: &Selector, name: &ServiceName, status: &Status) -> bool {
    match selector {
        Selector::Service(wanted) => wanted == name,
        Selector::Group(group) => status
            .services
            .get(name)
            .is_some_and(|service| service.groups.contains(group)),
    }
}

/// Begins to read. The stream ends with the last line, when that is not followed, or when the
/// supervisor leaves.
pub(super) fn events(
    wanted: Wanted,
    leaving: watch::Receiver<bool>,
) -> Result<impl Stream<Item = Result<Event, Infallible>> + Send, Refusal> {
    let permit = READERS.try_acquire().map_err(|_| Refusal {
        code: code!("control::too_many_readers").to_string(),
        message: format!("{MOST_READERS} clients read logs already"),
        help: Some("end one of them".into()),
        exit: 1,
    })?;
    let (sender, receiver) = mpsc::channel(QUEUE);
    let (end, other_end) = io::pipe().map_err(|error| bad(format!("no pipe: {error}")))?;
    std::thread::spawn(move || read(wanted, &sender, &other_end, permit));
    let receiving = Receiving {
        receiver,
        leaving,
        _end: end,
    };
    Ok(stream::unfold(receiving, Receiving::next))
}

struct Receiving {
    receiver: mpsc::Receiver<LogLine>,
    leaving: watch::Receiver<bool>,
    /// The thread hears when this is closed, also while it waits for something to be printed.
    _end: PipeReader,
}

impl Receiving {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        let line = tokio::select! {
            line = self.receiver.recv() => line?,
            _ = self.leaving.wait_for(|leaving| *leaving) => return None,
        };
        let data = serde_json::to_string(&line).unwrap_or_default();
        Some((Ok(Event::default().event("line").data(data)), self))
    }
}

/// The thread. Its permit is given back when it ends.
fn read(
    wanted: Wanted,
    sender: &mpsc::Sender<LogLine>,
    end: &PipeWriter,
    _permit: SemaphorePermit<'static>,
) {
    // Whoever reads hears that the stream ended, and can ask again.
    if let Err(error) = read_on(wanted, sender, end) {
        eprintln!("a reader of logs could not be served: {error}");
    }
}

fn read_on(mut wanted: Wanted, sender: &mpsc::Sender<LogLine>, end: &PipeWriter) -> io::Result<()> {
    // What is written between reading and waiting must wake the wait, so the watch comes first.
    let watch = match wanted.is_followed {
        true => Some(Watch::new(&wanted.directory)?),
        false => None,
    };
    let source = |name: &ServiceName| Source {
        path: path_of(&wanted.directory, name),
        since: wanted.since,
        until: wanted.until,
    };
    let sources = wanted.services.iter().map(source).collect();
    let mut merged = Merged::open_chosen(sources, wanted.start, wanted.filter.take())?;
    loop {
        while let Some((index, line)) = merged.next_line()? {
            let line = log_line(&wanted.services[index], &line);
            if sender.blocking_send(line).is_err() {
                return Ok(());
            }
        }
        let Some(watch) = &watch else {
            return Ok(());
        };
        match watch.wait(end.as_fd())? {
            Woken::ReaderGone => return Ok(()),
            Woken::Appeared if wanted.is_all => {
                for name in logged(&wanted.directory)? {
                    if !wanted.services.contains(&name) {
                        merged.add(path_of(&wanted.directory, &name))?;
                        wanted.services.push(name);
                    }
                }
            }
            Woken::Appeared | Woken::Written => {}
        }
        merged.refresh()?;
    }
}

/// One line for programs. What is no UTF-8 is replaced; escape sequences stay as they are.
pub fn log_line(service: &ServiceName, line: &Line) -> LogLine {
    LogLine {
        time: format!("{:.9}", line.time),
        service: service.clone(),
        stream: line.stream.word().to_owned(),
        line: String::from_utf8_lossy(&line.content).into_owned(),
        is_cut: line.is_cut,
        begins_run: line.begins_run,
        is_after_gap: line.is_after_gap,
    }
}
