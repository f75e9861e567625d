//! The supervisor in the background: what `baudbot supervise` is.

use super::{Supervisor, SupervisorError};
use crate::control::handshake::Word;
use crate::exit::ExitCode;
use crate::guardian::COULD_NOT_BEGIN;
use crate::store::Project;

/// Runs the project's supervisor until the project is down. It detaches from whoever started it:
/// a session of its own, no terminal, no inherited descriptors but its log; see
/// [`handshake`](crate::control::handshake) for what it says before that.
///
/// Returns the code to exit with: that of the table, or one that only a guardian understands.
pub fn supervise(project: Project, guardian: Option<i32>) -> u8 {
    if let Err(error) = crate::sys::detach::detach() {
        Word::Failed {
            message: error.to_string(),
            help: None,
        }
        .say();
        return COULD_NOT_BEGIN;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            Word::Failed {
                message: error.to_string(),
                help: None,
            }
            .say();
            return COULD_NOT_BEGIN;
        }
    };
    runtime.block_on(run(project, guardian))
}

async fn run(project: Project, guardian: Option<i32>) -> u8 {
    let mut note = |text: &str| Word::Note(text.to_owned()).say();
    let begun = Supervisor::begin(project, guardian, &mut note).await;
    let (mut supervisor, mut sources, mut door) = match begun {
        Ok(begun) => begun,
        Err(SupervisorError::Locked { .. }) => {
            Word::Locked.say();
            return ExitCode::Done.number();
        }
        Err(error) => {
            let help = error.help();
            let message = super::starting::failure("", &error, false).message;
            Word::Failed { message, help }.say();
            return COULD_NOT_BEGIN;
        }
    };
    Word::Ready.say();
    if let Err(error) = crate::sys::detach::close_stdout() {
        eprintln!("cannot let go of standard output: {error}");
    }
    supervisor.turn(&mut sources, &mut door, |_| ()).await;
    if let Some(program) = supervisor.successor.take() {
        drop(sources);
        return supervisor.hand_over(&program, door).await;
    }
    // Whoever asks from here on hears at once that nobody answers any more.
    drop(sources);
    let proof = supervisor.leave(door).await;
    if proof.is_clean() {
        ExitCode::Done.number()
    } else {
        ExitCode::Failed.number()
    }
}
