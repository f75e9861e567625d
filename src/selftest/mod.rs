//! `baudbot selftest`: does anything escape on *this* host?
//!
//! A scratch project is brought up by a real supervisor, with a service for each
//! [trick](tricks) by which a process can try to outlive its service. It is taken down twice: once
//! in an orderly way, and once after its supervisor was killed. Afterwards every process that ever
//! signed the register of a trick ([`part`]) must be dead, every heart still, every port free. What
//! `down` says of itself is compared, and not believed.
//!
//! Nothing is left, whatever happens in between: the self-test is a subreaper, so that whatever
//! its project started and lost comes to it in the end and is ended ([`stage`]).

mod part;
pub mod report;
mod run;
mod stage;
mod tricks;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use part::{Part, Played, Unplayed};

pub use part::{BEAT, Phase, TRICK_COMMAND, members, text};

pub use run::{Failed, run};
pub use stage::manifest;
pub use tricks::{ALL as TRICKS, Alive, THOUSAND, Trick};

/// The hidden command `baudbot __trick NAME DIRECTORY PHASE`: plays a trick. It must run before
/// anything else in the process: no thread may have been started.
pub fn play(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    let [name, dir, phase] = arguments.as_slice() else {
        return ExitCode::from(2);
    };
    let phase = [Phase::Stop, Phase::Kill]
        .into_iter()
        .find(|known| phase.to_str() == Some(known.word()));
    let (Some(name), Some(phase)) = (name.to_str(), phase) else {
        return ExitCode::from(2);
    };
    let part = Part::new(PathBuf::from(dir), phase);
    let played: Played = match (Trick::named(name), tricks::role(name)) {
        (Some(trick), _) => trick.play(&part),
        (None, Some(role)) => role(&part),
        (None, None) => return ExitCode::from(2),
    };
    let Err(unplayed) = played;
    let told = match &unplayed {
        Unplayed::Skipped(why) => part.note("skipped", why),
        Unplayed::Failed(error) => part.note("failed", &error.to_string()),
    };
    match (unplayed, told.and_then(|()| part.ready())) {
        (Unplayed::Skipped(_), Ok(())) => part.rest(),
        (Unplayed::Skipped(_) | Unplayed::Failed(_), _) => ExitCode::FAILURE,
    }
}
