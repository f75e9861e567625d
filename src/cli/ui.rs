//! `baudbot ui`: the terminal around [`crate::ui`].
//!
//! Everything that is decided is decided there; here keys, news and lines are brought to it, what it
//! draws is put on the terminal, and what it wants done is done by this same program, called as a
//! person would call it. The terminal is given back on every way out: at the end, by a signal, by a
//! panic, while another program has it, and while this one is suspended.

mod commands;
mod lines;
mod news;
mod screen;

use std::io::{self, IsTerminal};
use std::time::Duration;

use clap::Args;
use crossterm::event::{Event as TerminalEvent, EventStream, KeyEventKind};
use futures_util::StreamExt;
use jiff::Timestamp;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::{Call, Failure, project};
use crate::code;
use crate::exit::ExitCode;
use crate::store::Project;
use crate::ui::{Effect, Event, Model, update};
use lines::Reading;
use screen::Screen;

/// Ages are shown in seconds.
const TICK: Duration = Duration::from_secs(1);

/// So many events are taken in before the screen is drawn again.
const EVENTS_PER_DRAWING: usize = 500;

/// What happens is drawn this much later, together with what comes meanwhile.
const DRAWING_DELAY: Duration = Duration::from_millis(15);

#[derive(Debug, Args)]
pub(super) struct Arguments {}

pub(super) async fn run(call: &Call) -> Result<ExitCode, Failure> {
    let project = project::to_look_at(call)?;
    if !(io::stdin().is_terminal() && io::stdout().is_terminal() && call.out.is_live) {
        return Err(Failure::new(
            code!("cli::needs_terminal"),
            ExitCode::Failed,
            "the full-screen interface needs a terminal that can move its cursor",
        )
        .help(format!(
            "see what runs with `{}`, and what is printed with `{}`",
            call.typed("status"),
            call.typed("logs -f")
        )));
    }
    let (sender, receiver) = mpsc::channel(64);
    let mut shell = Shell {
        call,
        project: project.clone(),
        model: Model::new(
            project.name().clone(),
            Timestamp::now(),
            call.out.has_unicode,
            call.out.has_colour,
        ),
        screen: Screen::enter().map_err(|error| no_screen(&error))?,
        keys: Some(EventStream::new()),
        signals: Signals::listen().map_err(|error| no_screen(&error))?,
        reading: None,
        sender: sender.clone(),
        receiver,
    };
    // The news never end; the screen does.
    tokio::select! {
        result = shell.turn() => result,
        () = news::tell(call, &project, &sender) => Ok(ExitCode::Done),
    }
}

fn no_screen(error: &io::Error) -> Failure {
    Failure::system("cannot use the terminal", error)
}

struct Shell<'a> {
    call: &'a Call,
    project: Project,
    model: Model,
    screen: Screen,
    /// `None` while another program has the terminal.
    keys: Option<EventStream>,
    signals: Signals,
    /// The log that is shown. A log that is not read any more is let go of with this.
    reading: Option<Reading>,
    sender: mpsc::Sender<Event>,
    receiver: mpsc::Receiver<Event>,
}

struct Signals {
    terminate: Signal,
    hangup: Signal,
    interrupt: Signal,
    resume: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            resume: signal(SignalKind::from_raw(
                nix::sys::signal::Signal::SIGCONT as i32,
            ))?,
        })
    }
}

/// What the loop was woken by.
enum Item {
    Happened(Box<Event>),
    /// The program goes on after it was stopped: whatever ran meanwhile may have used the terminal.
    Resumed,
    /// Somebody wants this to end.
    Asked,
    /// The terminal is gone.
    Gone,
}

impl Shell<'_> {
    async fn turn(&mut self) -> Result<ExitCode, Failure> {
        if let Ok((width, height)) = crossterm::terminal::size() {
            update(&mut self.model, Event::Resized(width, height));
        }
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            self.screen
                .draw(&self.model)
                .map_err(|error| no_screen(&error))?;
            let item = tokio::select! {
                item = next(&mut self.keys, &mut self.receiver, &mut self.signals) => item,
                _ = tick.tick() => Item::Happened(Box::new(Event::Now(Timestamp::now()))),
            };
            if let Some(exit) = self.take(item).await? {
                return Ok(exit);
            }
            // What comes in a burst is drawn once.
            let until = tokio::time::Instant::now() + DRAWING_DELAY;
            for _ in 0..EVENTS_PER_DRAWING {
                let more = next(&mut self.keys, &mut self.receiver, &mut self.signals);
                let Ok(item) = tokio::time::timeout_at(until, more).await else {
                    break;
                };
                if let Some(exit) = self.take(item).await? {
                    return Ok(exit);
                }
            }
        }
    }

    async fn take(&mut self, item: Item) -> Result<Option<ExitCode>, Failure> {
        let event = match item {
            Item::Happened(event) => *event,
            Item::Resumed => {
                self.screen
                    .enter_again()
                    .map_err(|error| no_screen(&error))?;
                let (width, height) = crossterm::terminal::size().unwrap_or((80, 24));
                Event::Resized(width, height)
            }
            Item::Asked => return Ok(Some(ExitCode::Interrupted)),
            Item::Gone => return Ok(Some(ExitCode::Done)),
        };
        for effect in update(&mut self.model, event) {
            match effect {
                Effect::Quit => return Ok(Some(ExitCode::Done)),
                Effect::ShowLog(service) => {
                    self.reading = Some(lines::read(
                        &self.project,
                        service,
                        self.call.out,
                        self.sender.clone(),
                    ));
                }
                Effect::Run { words, shows_page } => {
                    commands::run(self.call, words, shows_page, self.sender.clone());
                }
                Effect::HandOver(words) => self.hand_over(words).await?,
                Effect::Suspend => self.suspend()?,
            }
        }
        Ok(None)
    }

    /// Another program has the terminal until it ends.
    async fn hand_over(&mut self, words: Vec<String>) -> Result<(), Failure> {
        self.keys = None;
        self.screen.leave();
        let ended = commands::in_foreground(self.call, &words).await;
        self.come_back()?;
        update(&mut self.model, ended);
        Ok(())
    }

    /// As Ctrl-Z does it to programs that do not take the terminal over.
    fn suspend(&mut self) -> Result<(), Failure> {
        self.keys = None;
        self.screen.leave();
        // Where no shell could continue us, the kernel does not stop us (a process group without a
        // parent in its session, signal(7) and POSIX 11.1.4), and this is over at once.
        let stopped = nix::sys::signal::raise(nix::sys::signal::Signal::SIGTSTP);
        self.come_back()?;
        stopped.map_err(|error| no_screen(&error.into()))
    }

    fn come_back(&mut self) -> Result<(), Failure> {
        self.screen
            .enter_again()
            .map_err(|error| no_screen(&error))?;
        self.keys = Some(EventStream::new());
        if let Ok((width, height)) = crossterm::terminal::size() {
            update(&mut self.model, Event::Resized(width, height));
        }
        Ok(())
    }
}

async fn next(
    keys: &mut Option<EventStream>,
    receiver: &mut mpsc::Receiver<Event>,
    signals: &mut Signals,
) -> Item {
    loop {
        let key = async {
            match keys {
                Some(keys) => keys.next().await,
                None => std::future::pending().await,
            }
        };
        return tokio::select! {
            biased;
            _ = signals.terminate.recv() => Item::Asked,
            _ = signals.hangup.recv() => Item::Asked,
            _ = signals.interrupt.recv() => Item::Asked,
            _ = signals.resume.recv() => Item::Resumed,
            key = key => match key {
                Some(Ok(TerminalEvent::Key(key))) if key.kind == KeyEventKind::Press => {
                    Item::Happened(Box::new(Event::Key(key)))
                }
                Some(Ok(TerminalEvent::Resize(width, height))) => {
                    Item::Happened(Box::new(Event::Resized(width, height)))
                }
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => Item::Gone,
            },
            // The shell holds a sender of its own.
            Some(event) = receiver.recv() => Item::Happened(Box::new(event)),
        };
    }
}
