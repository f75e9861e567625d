//! The self-test itself: up, look, down, look again; and all of it again with the supervisor killed
//! in between.

use std::io;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};

use super::part::{BEAT, Phase, members, text};
use super::report::{Left, Outcome, Report, Stop, TrickReport};
use super::stage::Stage;
use super::tricks::{ALL, Alive, Trick};
use crate::sys::identity::{Identity, PidFd};
use crate::sys::layers;
use crate::sys::over::until_over;
use crate::sys::sweep::{Present, command_of};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// Somebody wanted it to end.
    #[error("interrupted")]
    Interrupted,
    /// It could not be carried out.
    #[error("the self-test could not {doing}")]
    Broken {
        /// What.
        doing: &'static str,
        /// Why not.
        source: io::Error,
    },
}

fn broken(doing: &'static str) -> impl FnOnce(io::Error) -> Failed {
    move |source| Failed::Broken { doing, source }
}

/// How long the tricks get until they must all be played.
const UP_WITHIN: &str = "60s";
/// For how many beats a heart must stand still to count as dead.
const STILL_BEATS: u32 = 10;
/// How long a heart that beats is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Plays the tricks that are named, or all, and tells what became of them. What it started is gone
/// when it returns, whatever it returns.
///
/// # Errors
/// When it was interrupted or could not be carried out.
pub async fn run(names: &[&'static Trick]) -> Result<Report, Failed> {
    let begun = Instant::now();
    let tricks = with_needed(names);
    let mut interrupt = Interrupt::listen().map_err(broken("listen for signals"))?;
    let stage = Stage::set().map_err(broken("make a scratch directory"))?;
    let played = tokio::select! {
        played = play_twice(&stage, &tricks) => played,
        () = interrupt.comes() => Err(Failed::Interrupted),
    };
    stage
        .clear()
        .await
        .map_err(broken("clear away everything of its own"))?;
    let ((normal, first), (after_kill, second)) = played?;
    let reports = tricks.iter().zip(first).zip(second);
    let tricks: Vec<TrickReport> = reports
        .map(|((trick, normal), after_kill)| TrickReport {
            name: trick.name.to_owned(),
            does: trick.does.to_owned(),
            normal,
            after_kill,
        })
        .collect();
    let is_clean = |stop: &Stop| stop.down_exit == Some(0) && stop.left.is_empty();
    Ok(Report {
        version: 1,
        contained: is_clean(&normal)
            && is_clean(&after_kill)
            && !tricks
                .iter()
                .any(|trick| trick.normal.is_bad() || trick.after_kill.is_bad()),
        layers: tokio::task::spawn_blocking(layers::probe)
            .await
            .map_err(io::Error::other)
            .map_err(broken("try the layers of containment"))?,
        tricks,
        normal,
        after_kill,
        seconds: begun.elapsed(),
    })
}

/// The named tricks, or all, with those that they need, in the order of the table.
fn with_needed(names: &[&'static Trick]) -> Vec<&'static Trick> {
    let is_wanted = |trick: &Trick| {
        names.is_empty()
            || names
                .iter()
                .any(|named| named.name == trick.name || named.needs.contains(&trick.name))
    };
    ALL.iter().filter(|trick| is_wanted(trick)).collect()
}

/// Whoever wants us to end.
struct Interrupt([tokio::signal::unix::Signal; 3]);

impl Interrupt {
    fn listen() -> io::Result<Self> {
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    async fn comes(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => (),
            _ = terminate.recv() => (),
            _ = hangup.recv() => (),
        }
    }
}

type Act = (Stop, Vec<Outcome>);

async fn play_twice(stage: &Stage, tricks: &[&'static Trick]) -> Result<(Act, Act), Failed> {
    Ok((
        act(stage, Phase::Stop, tricks).await?,
        act(stage, Phase::Kill, tricks).await?,
    ))
}

async fn act(stage: &Stage, phase: Phase, tricks: &[&'static Trick]) -> Result<Act, Failed> {
    stage
        .prepare(phase, tricks.iter().copied())
        .map_err(broken("write its manifest"))?;
    let up = stage.baudbot(&["up", "--timeout", UP_WITHIN]);
    let up = up.await.map_err(broken("run `baudbot up`"))?;
    let dir = stage.dir(phase);
    let mut before = Vec::new();
    for trick in tricks {
        let place = Place(dir.join(trick.name));
        let seen = place.before(trick, &up).await;
        before.push(seen.map_err(broken("look at its tricks"))?);
    }
    if phase == Phase::Kill {
        kill_supervisor(stage)
            .await
            .map_err(broken("kill the supervisor"))?;
    }
    let asked = Instant::now();
    let down = stage.baudbot(&["down"]);
    let down = down.await.map_err(broken("run `baudbot down`"))?;
    let down_seconds = asked.elapsed();
    let outcomes = look_again(&dir, tricks, before)
        .await
        .map_err(broken("look at its tricks"))?;
    let left = stage.present().map_err(broken("look at the processes"))?;
    let stop = Stop {
        down_exit: down.status.code(),
        down_said: if down.status.success() {
            String::new()
        } else {
            said(&down)
        },
        down_seconds,
        left: left
            .iter()
            .map(process)
            .filter(|left| !outcomes.iter().any(|outcome| tells_of(outcome, left)))
            .collect(),
    };
    Ok((stop, outcomes))
}

fn tells_of(outcome: &Outcome, left: &Left) -> bool {
    matches!(outcome, Outcome::Survived { left: told } if told.iter().any(|one| one.pid == left.pid))
}

fn process(present: &Present) -> Left {
    let pid = present.member.identity.pid;
    Left {
        pid: Some(pid),
        what: command_of(pid),
    }
}

fn said(output: &Output) -> String {
    let texts = [&output.stderr, &output.stdout].map(|bytes| String::from_utf8_lossy(bytes));
    texts.concat().trim().to_owned()
}

/// Kills the supervisor as if by a bad hand, and its guardian with it, so that nobody brings it back.
async fn kill_supervisor(stage: &Stage) -> io::Result<()> {
    let status = stage.baudbot(&["status", "--json"]).await?;
    let status: serde_json::Value = serde_json::from_slice(&status.stdout)?;
    let pid = |key: &str| i32::try_from(status["supervisor"][key].as_i64()?).ok();
    let open = |pid: i32| match Identity::of(pid)? {
        Some(identity) => PidFd::open_verified(&identity),
        None => Ok(None),
    };
    let guardian = pid("guardian_pid").map(open).transpose()?.flatten();
    let supervisor = pid("pid").map(open).transpose()?.flatten();
    if let Some(guardian) = &guardian {
        // One that stands still starts nobody.
        guardian.send(Signal::SIGSTOP as i32)?;
    }
    for handle in [supervisor, guardian].into_iter().flatten() {
        handle.send(Signal::SIGKILL as i32)?;
        until_over(handle).await?;
    }
    Ok(())
}

/// What was seen of a trick before the stop: `Err` is final.
type Before = Result<(), Outcome>;

async fn look_again(
    dir: &Path,
    tricks: &[&'static Trick],
    before: Vec<Before>,
) -> io::Result<Vec<Outcome>> {
    let places = || tricks.iter().map(|trick| Place(dir.join(trick.name)));
    let hearts: Vec<Option<String>> = places()
        .map(|place| place.heart())
        .collect::<Result<_, _>>()?;
    if hearts.iter().any(Option::is_some) {
        tokio::time::sleep(BEAT * STILL_BEATS).await;
    }
    let looks = places().zip(hearts).zip(before);
    looks
        .map(|((place, heart), before)| match before {
            Ok(()) => place.after(heart.as_deref()),
            // Whatever it was that kept it from being played.
            Err(outcome) => Ok(outcome),
        })
        .collect()
}

/// The directory of a trick.
struct Place(PathBuf);

impl Place {
    fn text(&self, name: &str) -> io::Result<Option<String>> {
        text(&self.0.join(name))
    }

    fn heart(&self) -> io::Result<Option<String>> {
        self.text("heart")
    }

    /// Whether the trick is being played.
    async fn before(&self, trick: &Trick, up: &Output) -> io::Result<Before> {
        if let Some(why) = self.text("skipped")? {
            return Ok(Err(Outcome::Skipped { why }));
        }
        let unplayed = |why: String| Ok(Err(Outcome::Unplayed { why }));
        if let Some(why) = self.text("failed")? {
            return unplayed(why);
        }
        if self.text("ready")?.is_none() {
            return unplayed(format!("it did not become ready: {}", said(up)));
        }
        let members = members(&self.0)?;
        let alive = members.iter().filter(|one| one.is_alive()).count();
        match trick.alive {
            Alive::Members(wanted) if alive < wanted => {
                unplayed(format!("{alive} of its {wanted} processes were alive"))
            }
            Alive::Born(wanted) if members.len() < wanted => {
                let born = members.len();
                unplayed(format!("{born} of its {wanted} processes were ever alive"))
            }
            Alive::Heart if !self.beats().await? => unplayed("its heart did not beat".to_owned()),
            Alive::Members(_) | Alive::Born(_) | Alive::Heart => Ok(Ok(())),
        }
    }

    async fn beats(&self) -> io::Result<bool> {
        let before = self.heart()?;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.heart()? != before {
                return Ok(true);
            }
            tokio::time::sleep(BEAT).await;
        }
        Ok(false)
    }

    /// What is left of a trick; `heart` is as it was some beats ago.
    fn after(&self, heart: Option<&str>) -> io::Result<Outcome> {
        let members = members(&self.0)?;
        let mut left: Vec<Left> = members
            .iter()
            .filter(|one| one.is_alive())
            .map(|one| Left {
                pid: Some(one.pid),
                what: command_of(one.pid),
            })
            .collect();
        let mut is_there = |what: String| left.push(Left { pid: None, what });
        if self.heart()?.as_deref() != heart {
            is_there("its heart beats".to_owned());
        }
        if let Some(port) = self.text("port")?
            && TcpStream::connect(format!("127.0.0.1:{port}")).is_ok()
        {
            is_there(format!("port {port} is listened on"));
        }
        if UnixStream::connect(self.0.join("socket")).is_ok() {
            is_there("its tmux server answers".to_owned());
        }
        if left.is_empty() {
            let note = self.text("note")?;
            Ok(Outcome::Contained { note })
        } else {
            Ok(Outcome::Survived { left })
        }
    }
}
