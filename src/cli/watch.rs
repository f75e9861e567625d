//! `baudbot up --watch`: applies edits as they are saved.
//!
//! Each application is an ordinary `up`, with the same plan, the same words and the same refusals.
//! What is watched are the directories of everything that the manifest was made from, since editors
//! save by renaming; an event counts if it is about one of those files, or about anything in a
//! directory that an `include` looks into. A save comes in several events, so it is applied when
//! they have ended.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use inotify::{Event, EventStream, Inotify, WatchDescriptor, WatchMask};
use tokio::signal::unix::Signal;

use super::failure::Failure;
use super::follow::interrupts;
use super::up::{Waiting, bring_up};
use super::{Call, project, session};
use crate::control::protocol::News;
use crate::exit::ExitCode;
use crate::manifest::{ReadFrom, is_gone};
use crate::plan::{Order, Selector};
use crate::render::outcome;
use crate::store::Project;

/// How long nothing may happen before a save counts as ended.
const QUIET: Duration = Duration::from_millis(150);
/// How long it is waited for that.
const LONGEST_SAVE: Duration = Duration::from_secs(2);
/// Room for a burst of events; what does not fit is read next.
const BUFFER: usize = 16 << 10;

/// Brings up, and again after each edit, until Ctrl-C or until the project is taken down.
pub(super) async fn run(call: &Call, selection: Vec<Selector>) -> Result<ExitCode, Failure> {
    let (file, loaded) = project::load(call)?;
    let mut watched = loaded.from;
    watched.files.insert(file.clone());
    let mut edits = Edits::of(&watched)?;
    let waiting = Waiting::default();
    let mut interrupted = interrupts()?;
    let mut last = bring_up(call, Order::Up, selection.clone(), &[], &waiting).await?;
    let place = project::subject(call)?.project;
    // Whoever interrupts `up` was told what goes on.
    while last != ExitCode::Interrupted {
        call.note(&outcome::watching(watched.files.len(), &call.err));
        match wait(&mut edits, &place, &mut interrupted).await? {
            Waited::Edited => {}
            Waited::Down => {
                call.note(&outcome::went_down(&call.err));
                return Ok(ExitCode::Done);
            }
            Waited::Interrupted => {
                call.note(&outcome::goes_on(
                    &call.typed("status"),
                    &call.typed("down"),
                    &call.err,
                ));
                break;
            }
        }
        let loaded = match project::load(call) {
            Ok((found, loaded)) if found == file && !is_gone(&file) => loaded,
            // An editor or a checkout has put it away for a moment. Another manifest, further up, is
            // not the one that is watched.
            Ok(_) | Err(_) => {
                call.note(&outcome::away(&file, &call.err));
                continue;
            }
        };
        // Of a broken manifest only a part is known: what was watched stays so.
        if loaded.manifest.is_some() {
            watched
                .files
                .retain(|known| loaded.from.files.contains(known));
        }
        watched.files.extend(loaded.from.files);
        watched.directories.extend(loaded.from.directories);
        edits = Edits::of(&watched)?;
        last = match bring_up(call, Order::Up, selection.clone(), &[], &waiting).await {
            Ok(exit) => exit,
            Err(failure) => {
                let exit = failure.tell(call);
                call.note(&outcome::not_applied(&call.err));
                exit
            }
        };
    }
    Ok(ExitCode::Interrupted)
}

/// What ended the waiting.
enum Waited {
    Edited,
    /// Somebody took the project down: then nobody wants it up again at the next edit.
    Down,
    Interrupted,
}

async fn wait(
    edits: &mut Edits,
    place: &Project,
    interrupted: &mut Signal,
) -> Result<Waited, Failure> {
    tokio::select! {
        result = edits.next() => result
            .map(|()| Waited::Edited)
            .map_err(|error| Failure::system("cannot watch the manifest", &error)),
        () = went_down(place) => Ok(Waited::Down),
        _ = interrupted.recv() => Ok(Waited::Interrupted),
    }
}

/// Returns when the supervisor says that the project is down. That it was killed is not that.
async fn went_down(place: &Project) {
    if let Ok(Some(client)) = session::running(place).await
        && let Ok(notices) = client.notices().await
    {
        tokio::pin!(notices);
        while let Some(Ok(notice)) = notices.next().await {
            if matches!(notice.what, News::Finished(_)) {
                return;
            }
        }
    }
    std::future::pending::<()>().await;
}

/// Which names in a directory matter.
#[derive(Debug, PartialEq, Eq)]
enum Names {
    Any,
    These(BTreeSet<OsString>),
}

impl Names {
    fn matter(&self, name: Option<&OsStr>) -> bool {
        match (self, name) {
            // The directory itself was moved or removed.
            (_, None) | (Self::Any, _) => true,
            (Self::These(names), Some(name)) => names.contains(name),
        }
    }
}

/// The directories to watch, with the names in them that matter. Of a file behind a symbolic link
/// both places; where a directory does not exist, the nearest one above it that does.
fn directories(from: &ReadFrom) -> BTreeMap<PathBuf, Names> {
    let mut found: BTreeMap<PathBuf, Names> = BTreeMap::new();
    let mut these = |path: &Path| {
        let mut child = path;
        let parent = loop {
            let Some(parent) = child.parent() else { return };
            if parent.is_dir() {
                break parent;
            }
            child = parent;
        };
        let Some(name) = child.file_name() else {
            return;
        };
        let names = found
            .entry(parent.to_owned())
            .or_insert_with(|| Names::These(BTreeSet::new()));
        if let Names::These(names) = names {
            names.insert(name.to_owned());
        }
    };
    for file in &from.files {
        these(file);
        if let Ok(real) = std::fs::canonicalize(file) {
            these(&real);
        }
    }
    for directory in &from.directories {
        // That it appears or goes matters too.
        these(directory);
    }
    for directory in from.directories.iter().filter(|one| one.is_dir()) {
        found.insert(directory.clone(), Names::Any);
    }
    found
}

/// What is watched.
struct Edits {
    events: EventStream<Vec<u8>>,
    names: HashMap<WatchDescriptor, Names>,
}

impl Edits {
    fn of(from: &ReadFrom) -> Result<Self, Failure> {
        Self::watch(from).map_err(|error| {
            Failure::system("cannot watch the manifest", &error).help(
                "each user may have a limited number of watches: \
                 see `sysctl fs.inotify.max_user_instances fs.inotify.max_user_watches`",
            )
        })
    }

    fn watch(from: &ReadFrom) -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let mask = WatchMask::CLOSE_WRITE
            | WatchMask::MOVED_TO
            | WatchMask::MOVED_FROM
            | WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::ATTRIB
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF;
        let mut names: HashMap<WatchDescriptor, Names> = HashMap::new();
        for (directory, matter) in directories(from) {
            let watch = inotify.watches().add(&directory, mask)?;
            match (names.get_mut(&watch), matter) {
                // Two ways to one directory.
                (Some(Names::These(known)), Names::These(more)) => known.extend(more),
                (Some(Names::Any), _) => {}
                (_, matter) => {
                    names.insert(watch, matter);
                }
            }
        }
        Ok(Self {
            events: inotify.into_event_stream(vec![0; BUFFER])?,
            names,
        })
    }

    fn matters(&self, event: &Event<OsString>) -> bool {
        self.names
            .get(&event.wd)
            // Events were lost: anything may have happened.
            .is_none_or(|names| names.matter(event.name.as_deref()))
    }

    /// The next edit, once it has ended.
    async fn next(&mut self) -> io::Result<()> {
        while let Some(event) = self.events.next().await {
            if self.matters(&event?) {
                let quiet = async {
                    while let Ok(Some(Ok(_))) =
                        tokio::time::timeout(QUIET, self.events.next()).await
                    {}
                };
                // Whoever writes without an end is read as far as he has come.
                let _ = tokio::time::timeout(LONGEST_SAVE, quiet).await;
                return Ok(());
            }
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_watched_for_the_names_that_matter() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("services.d")).unwrap();
        std::fs::create_dir(root.join("real")).unwrap();
        std::fs::write(root.join("real/one.yaml"), "").unwrap();
        std::os::unix::fs::symlink(root.join("real/one.yaml"), root.join("link.yaml")).unwrap();
        let from = ReadFrom {
            files: ["link.yaml", "missing/deeper/some.env"]
                .map(|name| root.join(name))
                .into(),
            directories: [root.join("services.d")].into(),
        };
        let these = |names: &[&str]| Names::These(names.iter().map(Into::into).collect());
        let expected = BTreeMap::from([
            (root.clone(), these(&["link.yaml", "missing", "services.d"])),
            (root.join("real"), these(&["one.yaml"])),
            (root.join("services.d"), Names::Any),
        ]);
        assert_eq!(directories(&from), expected);
        assert!(!expected[&root].matter(Some(OsStr::new("noise"))));
        assert!(expected[&root].matter(None));
    }
}
