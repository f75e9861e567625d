//! A world for one test: directories of its own, the real program, real processes; and the check that
//! nothing of it is left.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// The world. Its `HOME` is a directory that no other process of the machine has, and services get
/// it too: so whatever is left of a test can be found, and told from everything else.
pub(crate) struct Scene {
    directory: TempDir,
}

/// What a call of the program came to.
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
    what: String,
}

impl Scene {
    /// An empty world.
    pub(crate) fn empty() -> Self {
        // Socket paths have little room (unix(7)), so the directory's is short.
        let directory = tempfile::Builder::new()
            .prefix("bb")
            .tempdir_in("/tmp")
            .unwrap();
        for name in ["home", "state", "run", "work"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        Self { directory }
    }

    /// A world with this manifest as `baudbot.yaml`.
    pub(crate) fn new(manifest: &str) -> Self {
        let scene = Self::empty();
        scene.write("baudbot.yaml", manifest);
        scene
    }

    /// Where commands run and manifests are.
    pub(crate) fn work(&self) -> PathBuf {
        self.directory.path().join("work")
    }

    /// Where the project's state is.
    pub(crate) fn state(&self, project: &str) -> PathBuf {
        self.directory.path().join("state/baudbot").join(project)
    }

    /// Where the project's control socket is.
    pub(crate) fn runtime(&self, project: &str) -> PathBuf {
        self.directory.path().join("run/baudbot").join(project)
    }

    /// Writes a file below the working directory.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.work().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Reads a file below the working directory.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.work().join(name)).unwrap()
    }

    /// A program in this world and in no other.
    pub(crate) fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        let path = |name: &str| self.directory.path().join(name);
        command
            .current_dir(self.work())
            .env_clear()
            .env("HOME", path("home"))
            .env("XDG_STATE_HOME", path("state"))
            .env("XDG_RUNTIME_DIR", path("run"))
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LANG", "C.UTF-8")
            .env("TERM", "dumb")
            .stdin(Stdio::null());
        command
    }

    /// `baudbot` with these words.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.program(env!("CARGO_BIN_EXE_baudbot"));
        command.args(words);
        command
    }

    /// Runs `baudbot` with these words to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Outcome {
        Outcome::of(&mut self.command(words))
    }

    /// The processes of this world, with their command lines.
    pub(crate) fn processes(&self) -> Vec<(i32, String)> {
        let home = format!("HOME={}", self.directory.path().join("home").display());
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        entries
            .filter_map(|entry| {
                let name = entry.ok()?.file_name();
                let pid: i32 = name.to_str()?.parse().ok()?;
                let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
                let is_ours = environment
                    .split(|byte| *byte == 0)
                    .any(|variable| variable == home.as_bytes());
                let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                is_ours.then_some((pid, line))
            })
            .collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let projects = self.directory.path().join("state/baudbot");
        for project in fs::read_dir(projects).into_iter().flatten().flatten() {
            let name = project.file_name();
            let name = name.to_str().unwrap_or_default();
            let _ = self.run(&["-p", name, "down", "--now", "--timeout", "20s"]);
        }
        let left = self.processes();
        for (pid, _) in &left {
            // They are of this test: nobody else has its home directory.
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
        assert!(
            left.is_empty() || std::thread::panicking(),
            "left behind by the test: {left:#?}"
        );
    }
}

impl Outcome {
    pub(crate) fn of(command: &mut Command) -> Self {
        let what = format!("{command:?}");
        let output: Output = command.output().unwrap();
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            what,
        }
    }

    /// Holds that it ended so.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    /// Holds that standard output has this text somewhere.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.out.contains(text), "no `{text}` in {self:?}");
        self
    }

    /// Holds that standard error has this text somewhere.
    #[track_caller]
    pub(crate) fn notes(self, text: &str) -> Self {
        assert!(self.err.contains(text), "no `{text}` in {self:?}");
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}\nexit code {}\n--- standard output\n{}--- standard error\n{}",
            self.what, self.code, self.out, self.err
        )
    }
}

/// The names in a directory, sorted.
pub(crate) fn names_in(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
