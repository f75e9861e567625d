//! Roles that a process of its own must play: the test binary executes itself for them.

use std::path::PathBuf;

use baudbot::id::RunId;
use baudbot::sys::mark::Nesting;
use baudbot::sys::process::{self, fork_gated};

use crate::scene::launch_in;

#[test]
#[ignore = "a role, started by other tests in a process of its own"]
fn play() {
    let Some(role) = std::env::var_os("ROLE") else {
        return;
    };
    let dir = PathBuf::from(std::env::var_os("SCENE").unwrap());
    process::set_subreaper().unwrap();
    match role.to_str().unwrap() {
        "supervisor with a child at its gate" => {
            let nesting = Nesting::here().unwrap();
            let argv = ["sh", "-c", "echo executed; sleep 1000"];
            let gated = fork_gated(&launch_in(&dir, RunId(2), nesting, &argv)).unwrap();
            println!("role: {}", gated.pid());
            loop {
                std::thread::park();
            }
        }
        unknown => panic!("no role called {unknown}"),
    }
}
