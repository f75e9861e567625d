//! What a run exports: taken once it is ready, before anybody may start who refers to it, and watched
//! from then on.
//!
//! A link or a file is watched through its directory, so that a change is seen at once and nothing is
//! asked meanwhile; where that cannot be done, a directory that does not exist say, it is looked at
//! every second. A command is run at its interval. What an earlier run left behind is no value, and
//! what is gone for a moment keeps the value that it had.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use indexmap::IndexMap;
use inotify::{EventStream, Inotify, WatchMask};
use regex::Regex;
use tokio::time::Instant;

use super::asking::{Asked, run_command};
use crate::id::ServiceName;
use crate::log_format::plain::without_sequences;
use crate::manifest::model::{Export, Source};

/// How long a command may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// The longest value, in bytes.
const LONGEST: usize = 64 * 1024;

/// Between two looks at what cannot be watched.
const UNWATCHED: Duration = Duration::from_secs(1);

/// How long several events of one change may be apart.
const ONE_CHANGE: Duration = Duration::from_millis(20);

/// How many changes may follow each other quickly before they are held back.
const QUICK_CHANGES: u32 = 5;

/// The least time between two changes once they are held back.
const HELD_BACK: Duration = Duration::from_secs(5);

/// The values, or why one of them cannot be told yet.
pub(super) async fn take(
    exports: &IndexMap<String, Export>,
    asked: &Asked,
) -> Result<BTreeMap<String, String>, String> {
    let mut values = BTreeMap::new();
    for (name, export) in exports {
        let value = value(export, asked)
            .await
            .map_err(|why| format!("export `{name}`: {why}"))?;
        values.insert(name.clone(), value);
    }
    Ok(values)
}

async fn value(export: &Export, asked: &Asked) -> Result<String, String> {
    let text = match &export.source {
        Source::Readlink(path) => link(path, asked.began).await?,
        Source::File(path) => file(path, asked.began).await?,
        Source::Command(command) => run_command(command, asked, COMMAND_LIMIT).await?,
    };
    if text.len() > LONGEST {
        return Err(format!("it is longer than {} KiB", LONGEST / 1024));
    }
    if text.contains('\0') {
        return Err("it holds a NUL character, which no argument and no variable can hold".into());
    }
    // What a program prints for a terminal is no part of a value.
    let plain = match &export.source {
        Source::Readlink(_) => text.clone(),
        Source::File(_) | Source::Command(_) => without_sequences(&text),
    };
    let value = match &export.pattern {
        None => plain.trim(),
        Some(pattern) => {
            let compiled = Regex::new(pattern).map_err(|error| error.to_string())?;
            let found = [&plain, &text]
                .into_iter()
                .find_map(|text| compiled.captures(text.trim()))
                .ok_or_else(|| format!("`{pattern}` does not match"))?;
            let part = found.get(1).or_else(|| found.get(0));
            part.map_or("", |part| part.as_str())
        }
    };
    if value.is_empty() {
        return Err("it is empty".into());
    }
    Ok(value.to_owned())
}

/// A link counts when it, or what it leads to, is newer than the start.
async fn link(path: &Path, began: SystemTime) -> Result<String, String> {
    let failed = |error: std::io::Error| told(path, &error);
    let target = tokio::fs::read_link(path).await.map_err(failed)?;
    let is_new = |found: std::io::Result<std::fs::Metadata>| {
        let modified = found.and_then(|found| found.modified());
        modified.is_ok_and(|at| at >= began)
    };
    if !is_new(tokio::fs::symlink_metadata(path).await) && !is_new(tokio::fs::metadata(path).await)
    {
        return Err(format!("{} is older than this start", path.display()));
    }
    target
        .into_os_string()
        .into_string()
        .map_err(|_| format!("what {} says is no UTF-8", path.display()))
}

async fn file(path: &Path, began: SystemTime) -> Result<String, String> {
    let failed = |error: std::io::Error| told(path, &error);
    let found = tokio::fs::metadata(path).await.map_err(failed)?;
    if found.modified().map_err(failed)? < began {
        return Err(format!("{} is older than this start", path.display()));
    }
    if found.len() > LONGEST as u64 || !found.is_file() {
        return Err(format!(
            "{} is too long, or no regular file",
            path.display()
        ));
    }
    let bytes = tokio::fs::read(path).await.map_err(failed)?;
    String::from_utf8(bytes).map_err(|_| format!("{} holds no UTF-8", path.display()))
}

fn told(path: &Path, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => format!("{} does not exist yet", path.display()),
        _ => format!("{}: {error}", path.display()),
    }
}

/// Calls `tell` with all values whenever one has changed, for ever.
pub(super) async fn watch(
    service: ServiceName,
    exports: IndexMap<String, Export>,
    asked: Asked,
    mut known: BTreeMap<String, String>,
    tell: impl Fn(BTreeMap<String, String>),
) {
    let mut directories = Directories::of(&exports);
    let mut flapping = Flapping::default();
    let mut commands_at = Instant::now() + command_interval(&exports);
    loop {
        // Watched first and read then: nothing falls between the two.
        let is_watched = directories.watch();
        let may_run = Instant::now() >= commands_at;
        let mut now = known.clone();
        for (name, export) in &exports {
            let is_command = matches!(export.source, Source::Command(_));
            if is_command && !may_run {
                continue;
            }
            if let Ok(value) = value(export, &asked).await {
                now.insert(name.clone(), value);
            }
        }
        if may_run {
            commands_at = Instant::now() + command_interval(&exports);
        }
        if now != known {
            known.clone_from(&now);
            tell(now);
            // Each change restarts what refers to it. After the pause the newest value counts.
            if flapping.changed(Instant::now()) {
                if flapping.is_told_now() {
                    eprintln!(
                        "`{service}`: what it exports changes again and again; a change is taken \
                         every {} at most until it stays the same for a while",
                        humantime::format_duration(HELD_BACK)
                    );
                }
                tokio::time::sleep(HELD_BACK).await;
            }
        }
        let unwatched = async {
            if is_watched {
                std::future::pending::<()>().await;
            } else {
                tokio::time::sleep(UNWATCHED).await;
            }
        };
        tokio::select! {
            () = directories.changed() => tokio::time::sleep(ONE_CHANGE).await,
            () = unwatched => {}
            () = tokio::time::sleep_until(commands_at) => {}
        }
    }
}

/// Whether changes follow each other so quickly that they are to be held back.
#[derive(Default)]
struct Flapping {
    last: Option<Instant>,
    quick: u32,
}

impl Flapping {
    /// Counts a change; whether the next one is to be held back.
    fn changed(&mut self, now: Instant) -> bool {
        let before = self.last.replace(now);
        let is_quick = before.is_some_and(|before| now - before < 2 * HELD_BACK);
        self.quick = if is_quick {
            self.quick.saturating_add(1)
        } else {
            0
        };
        self.quick >= QUICK_CHANGES
    }

    /// Whether the last change is the first of a row that is held back.
    fn is_told_now(&self) -> bool {
        self.quick == QUICK_CHANGES
    }
}

/// The shortest pause between two runs of a command; very long when there is none.
fn command_interval(exports: &IndexMap<String, Export>) -> Duration {
    let commands = exports
        .values()
        .filter(|export| matches!(export.source, Source::Command(_)));
    commands
        .map(|export| export.interval)
        .min()
        .unwrap_or(Duration::from_secs(365 * 24 * 3600))
}

/// The directories of links and files.
struct Directories {
    paths: BTreeSet<PathBuf>,
    events: Option<EventStream<[u8; 4096]>>,
}

impl Directories {
    fn of(exports: &IndexMap<String, Export>) -> Self {
        let paths = exports.values().filter_map(|export| match &export.source {
            Source::Readlink(path) | Source::File(path) => path.parent().map(Path::to_owned),
            Source::Command(_) => None,
        });
        Self {
            paths: paths.collect(),
            events: Inotify::init()
                .and_then(|inotify| inotify.into_event_stream([0; 4096]))
                .ok(),
        }
    }

    /// Watches all of them; a second time changes nothing. Returns whether all are watched.
    fn watch(&mut self) -> bool {
        let mask = WatchMask::CREATE
            | WatchMask::MOVED_TO
            | WatchMask::CLOSE_WRITE
            | WatchMask::ATTRIB
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        let Some(events) = &self.events else {
            return self.paths.is_empty();
        };
        let mut watches = events.watches();
        let mut are_all = true;
        for path in &self.paths {
            are_all &= watches.add(path, mask).is_ok();
        }
        are_all
    }

    /// Waits for an event.
    async fn changed(&mut self) {
        match &mut self.events {
            Some(events) => {
                if events.next().await.is_none() {
                    std::future::pending::<()>().await;
                }
            }
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_that_flaps_is_held_back_and_told_once() {
        let mut flapping = Flapping::default();
        let mut now = Instant::now();
        let (mut held, mut told) = (0, 0);
        for _ in 0..100 {
            let is_held = flapping.changed(now);
            held += u32::from(is_held);
            told += u32::from(is_held && flapping.is_told_now());
            now += if is_held { HELD_BACK } else { ONE_CHANGE };
        }
        assert_eq!((held, told), (100 - QUICK_CHANGES, 1));
        assert!(!flapping.changed(now + 2 * HELD_BACK));
    }
}
