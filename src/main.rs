//! The program: hands its arguments to [`baudbot::cli`] and ends with the exit code that comes back.

use std::process::ExitCode;

use baudbot::guardian;
use baudbot::selftest;
use baudbot::sys::pane::PANE_COMMAND;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    // Three hidden commands do without the command line's parser. The first process of a tmux pane is
    // this program; it is to become the service's command with as little as possible in between. A
    // guardian is to be small. And the tricks of the self-test fork, which threads would not take.
    match arguments.next() {
        Some(word) if word == PANE_COMMAND => {
            return baudbot::sys::pane::main(&arguments.next().unwrap_or_default());
        }
        Some(word) if word == guardian::COMMAND => return guardian::main(arguments),
        Some(word) if word == selftest::TRICK_COMMAND => return selftest::play(arguments),
        Some(_) | None => {}
    }
    ExitCode::from(baudbot::cli::run(std::env::args_os()).number())
}
