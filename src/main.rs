//! The program: hands its arguments to [`baudbot::cli`] and ends with the exit code that comes back.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    // The first process of a tmux pane is this program; it is to become the service's command with
    // as little as possible in between.
    if arguments.nth(1).is_some_and(|word| word == "__pane") {
        return baudbot::sys::pane::main(&arguments.next().unwrap_or_default());
    }
    ExitCode::from(baudbot::cli::run(std::env::args_os()).number())
}
