//! Reads the log of the selected service on a thread of its own: files are read in blocks, and a disk
//! may be slow.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::AsFd;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::sync::mpsc;

use crate::id::ServiceName;
use crate::log_reader::{Line, Merged, Start, Watch, Woken};
use crate::render::{Look, log};
use crate::store::Project;
use crate::ui::{Event, LogLine};

/// How many lines of the past are read.
const LINES_BEFORE: usize = 2000;

/// How many lines are told at once.
const BATCH: usize = 500;

/// How often a directory is looked for that is not there before the first start.
const DIRECTORY_EVERY: Duration = Duration::from_millis(300);

/// A log that is being read. The reader ends when this is dropped: its end of the pipe hears of it.
#[derive(Debug)]
pub(super) struct Reading {
    _pipe: Option<PipeReader>,
}

/// Reads the log of `service` and goes on with it.
pub(super) fn read(
    project: &Project,
    service: ServiceName,
    look: Look,
    sender: mpsc::Sender<Event>,
) -> Reading {
    let (reader, writer) = match io::pipe() {
        Ok((reader, writer)) => (Some(reader), Ok(writer)),
        Err(error) => (None, Err(error)),
    };
    let project = project.clone();
    // The screen paints what it is given itself.
    let look = Look {
        has_colour: false,
        ..look
    };
    std::thread::spawn(move || {
        let ended = writer.and_then(|writer| follow(&project, &service, &look, &sender, &writer));
        if let Err(error) = ended {
            let error = format!("the log cannot be read: {error}");
            let _ = sender.blocking_send(Event::LogError(service, error));
        }
    });
    Reading { _pipe: reader }
}

fn follow(
    project: &Project,
    service: &ServiceName,
    look: &Look,
    sender: &mpsc::Sender<Event>,
    end: &PipeWriter,
) -> io::Result<()> {
    let watch = loop {
        match Watch::new(&project.log_dir()) {
            Ok(watch) => break watch,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                std::thread::sleep(DIRECTORY_EVERY);
                if sender.is_closed() {
                    return Ok(());
                }
            }
            Err(error) => return Err(error),
        }
    };
    let zone = TimeZone::system();
    let path = project.log_file(service);
    let mut merged = Merged::open(&[path], Start::Last(LINES_BEFORE))?;
    loop {
        let mut batch = Vec::new();
        while let Some((_, line)) = merged.next_line()? {
            batch.extend(log_lines(&line, &zone, look));
            if batch.len() >= BATCH && !tell(service, &mut batch, sender) {
                return Ok(());
            }
        }
        if !batch.is_empty() && !tell(service, &mut batch, sender) {
            return Ok(());
        }
        if watch.wait(end.as_fd())? == Woken::ReaderGone {
            return Ok(());
        }
        merged.refresh()?;
    }
}

/// Whether anybody hears it.
fn tell(service: &ServiceName, batch: &mut Vec<LogLine>, sender: &mpsc::Sender<Event>) -> bool {
    let lines = std::mem::take(batch);
    sender
        .blocking_send(Event::Lines(service.clone(), lines))
        .is_ok()
}

/// A line, after what is to be told before it.
fn log_lines(line: &Line, zone: &TimeZone, look: &Look) -> Vec<LogLine> {
    let time = line.time.to_zoned_datetime(zone.clone());
    let clock = time.strftime("%H:%M:%S").to_string();
    let of = |text: String, is_note| LogLine {
        clock: clock.clone(),
        text,
        is_note,
    };
    let gap = line.is_after_gap.then(|| of(log::GAP.into(), true));
    let begins = |run| of(log::run_begins(run, look), true);
    let printed = log::plain(log::drawn_last(&line.content)).replace('\t', "    ");
    gap.into_iter()
        .chain(line.begins_run.map(begins))
        .chain([of(printed, false)])
        .collect()
}
