//! One look for all who want one at the same time.
//!
//! When a project with two hundred services goes down, two hundred runs ask who is left of them, and
//! again whenever somebody ended. Each answer takes a look at all processes of the host; but one
//! look answers everybody who asked before it began. Whoever asks while nobody looks, looks, for all
//! that have asked by then; whoever asks meanwhile waits for the next look, and one of those takes
//! it.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Census, Roots};

/// A census that was begun after the call and covers `roots`. Blocking.
///
/// # Errors
/// When `/proc` cannot be read.
pub(crate) fn look(roots: &Roots) -> io::Result<Arc<Census>> {
    look_with(&QUEUE, roots, Census::take)
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue {
    waiting: Vec::new(),
    is_looking: false,
});

struct Queue {
    waiting: Vec<Waiting>,
    is_looking: bool,
}

struct Waiting {
    roots: Roots,
    turn: Sender<Turn>,
}

/// An error that can be told to several.
#[derive(Clone)]
struct Failed {
    kind: io::ErrorKind,
    number: Option<i32>,
    message: String,
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self {
            kind: error.kind(),
            number: error.raw_os_error(),
            message: error.to_string(),
        }
    }
}

impl From<Failed> for io::Error {
    fn from(failed: Failed) -> Self {
        match failed.number {
            Some(number) => Self::from_raw_os_error(number),
            None => Self::new(failed.kind, failed.message),
        }
    }
}

/// What one who waits is told.
enum Turn {
    /// Somebody has looked.
    Seen(Result<Arc<Census>, Failed>),
    /// It is your turn to look, for yourself and all that wait.
    Yours,
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

fn look_with(
    queue: &Mutex<Queue>,
    roots: &Roots,
    take: impl Fn(&[Roots]) -> io::Result<Census>,
) -> io::Result<Arc<Census>> {
    let (turn, turns) = channel();
    let is_ours = {
        let mut queue = lock(queue);
        let roots = roots.clone();
        queue.waiting.push(Waiting { roots, turn });
        !std::mem::replace(&mut queue.is_looking, true)
    };
    if is_ours {
        look_for_all(queue, &take);
    }
    loop {
        match turns.recv() {
            Ok(Turn::Yours) => look_for_all(queue, &take),
            Ok(Turn::Seen(Ok(census))) => return Ok(census),
            Ok(Turn::Seen(Err(failed))) => return Err(failed.into()),
            // Whoever looked for us panicked.
            Err(gone) => return Err(io::Error::other(gone)),
        }
    }
}

fn look_for_all(queue: &Mutex<Queue>, take: impl Fn(&[Roots]) -> io::Result<Census>) {
    let handing_over = HandOver(queue);
    let batch = std::mem::take(&mut lock(queue).waiting);
    let (roots, turns): (Vec<Roots>, Vec<Sender<Turn>>) = batch
        .into_iter()
        .map(|waiting| (waiting.roots, waiting.turn))
        .unzip();
    let seen = take(&roots).map(Arc::new).map_err(Failed::from);
    drop(handing_over);
    for turn in turns {
        // Whoever has gone does not want to know.
        let _ = turn.send(Turn::Seen(seen.clone()));
    }
}

/// Gives the turn to the next who waits, even if looking panics.
struct HandOver<'a>(&'a Mutex<Queue>);

impl Drop for HandOver<'_> {
    fn drop(&mut self) {
        let mut queue = lock(self.0);
        let next = queue.waiting.iter();
        queue.is_looking = next
            .map(|waiting| waiting.turn.send(Turn::Yours))
            .any(|sent| sent.is_ok());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Barrier, Condvar};

    use super::*;

    fn roots(number: i32) -> Roots {
        Roots {
            spared: vec![number],
            ..Roots::default()
        }
    }

    fn empty_queue() -> Mutex<Queue> {
        Mutex::new(Queue {
            waiting: Vec::new(),
            is_looking: false,
        })
    }

    /// While the first look is being taken, ten others ask; one more look answers all of them.
    #[test]
    fn one_look_answers_all_who_asked_before_it_began() {
        let queue = empty_queue();
        let looks = Mutex::new(Vec::new());
        let all_have_asked = (Mutex::new(false), Condvar::new());
        let take = |batch: &[Roots]| {
            looks.lock().unwrap().push(batch.len());
            if batch == [roots(0)] {
                let asked = all_have_asked.0.lock().unwrap();
                drop(all_have_asked.1.wait_while(asked, |asked| !*asked));
            }
            Ok(Census::default())
        };
        std::thread::scope(|scope| {
            scope.spawn(|| look_with(&queue, &roots(0), take).unwrap());
            while looks.lock().unwrap().is_empty() {
                std::thread::yield_now();
            }
            for number in 1..=10 {
                let (queue, take) = (&queue, &take);
                scope.spawn(move || look_with(queue, &roots(number), take).unwrap());
            }
            while lock(&queue).waiting.len() < 10 {
                std::thread::yield_now();
            }
            *all_have_asked.0.lock().unwrap() = true;
            all_have_asked.1.notify_all();
        });
        assert_eq!(*looks.lock().unwrap(), [1, 10]);
        assert!(!lock(&queue).is_looking);
    }

    #[test]
    fn everybody_is_answered_in_any_crowd() {
        let queue = empty_queue();
        let looks = AtomicUsize::new(0);
        let start = Barrier::new(8);
        std::thread::scope(|scope| {
            for number in 0..8 {
                let (queue, looks, start) = (&queue, &looks, &start);
                scope.spawn(move || {
                    start.wait();
                    for _ in 0..500 {
                        let take = |batch: &[Roots]| {
                            looks.fetch_add(1, Ordering::Relaxed);
                            assert!(!batch.is_empty());
                            Ok(Census::default())
                        };
                        look_with(queue, &roots(number), take).unwrap();
                    }
                });
            }
        });
        assert!(looks.load(Ordering::Relaxed) <= 8 * 500);
        assert!(!lock(&queue).is_looking && lock(&queue).waiting.is_empty());
    }

    #[test]
    fn a_panic_stops_nobody_else() {
        let queue = empty_queue();
        let panicked = std::panic::catch_unwind(|| {
            look_with(&queue, &roots(1), |_| panic!("on purpose")).unwrap();
        });
        assert!(panicked.is_err());
        assert!(look_with(&queue, &roots(1), |_| Ok(Census::default())).is_ok());
    }

    #[test]
    fn everybody_hears_of_a_failure() {
        let queue = empty_queue();
        let refuse = |_: &[Roots]| Err(io::Error::from(io::ErrorKind::PermissionDenied));
        let error = look_with(&queue, &roots(1), refuse).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(look_with(&queue, &roots(1), |_| Ok(Census::default())).is_ok());
    }
}
