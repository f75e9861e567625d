//! A stage for tests with real parts: a project in directories of its own, the real program, real
//! processes, and at the end the proof that nothing of it is left on the machine.
//!
//! ```ignore
//! let scene = Scene::new("services: {a: {command: [sleep, '1000']}}");
//! scene.run(["up"]).success();
//! scene.expect_state("a", "ready");
//! scene.end(); // down, exit 0, and the leak check
//! ```

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set its scene has failed"
)]
#![allow(dead_code, reason = "each test binary uses its own part of the stage")]

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use baudbot::id::ProjectName;
use baudbot::sys::mark::{ProjectId, read_mark};

/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The project of every scene, unless its manifest says otherwise.
pub(crate) const PROJECT: &str = "scene";

/// The stage.
pub(crate) struct Scene {
    directory: tempfile::TempDir,
    project: String,
    environment: Vec<(String, String)>,
    executable: PathBuf,
    user: Option<u32>,
    ended: bool,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Fails the test unless the command exited with 0.
    #[track_caller]
    pub(crate) fn success(self) -> Self {
        self.code(0)
    }

    /// Fails the test unless the command exited with `code`.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "--- stdout\n{}\n--- stderr\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!(
                "{error}\n--- stdout\n{}\n--- stderr\n{}",
                self.stdout, self.stderr
            )
        })
    }
}

impl Scene {
    /// A scene with this manifest. `version: 1` and the project's name are put before it.
    pub(crate) fn new(manifest: &str) -> Self {
        let scene = Self::bare();
        scene.edit(manifest);
        scene
    }

    /// A scene without a manifest.
    pub(crate) fn bare() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("bb-")
            .tempdir_in("/tmp")
            .unwrap();
        for name in ["home", "run", "state", "tmux", "work"] {
            let path = directory.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        }
        let at = |name: &str| directory.path().join(name).display().to_string();
        let environment = vec![
            ("HOME".into(), at("home")),
            ("XDG_RUNTIME_DIR".into(), at("run")),
            ("XDG_STATE_HOME".into(), at("state")),
            // A test that uses the default tmux server gets one of its own.
            ("TMUX_TMPDIR".into(), at("tmux")),
            ("PATH".into(), std::env::var("PATH").unwrap()),
            ("LANG".into(), "C.UTF-8".into()),
            ("USER".into(), "somebody".into()),
            ("SHELL".into(), "/bin/sh".into()),
        ];
        Self {
            directory,
            project: PROJECT.into(),
            environment,
            executable: PathBuf::from(env!("CARGO_BIN_EXE_baudbot")),
            user: None,
            ended: false,
        }
    }

    /// From now on every command runs as this user, to whom the scene belongs. Only root can do that.
    pub(crate) fn become_user(&mut self, user: u32) {
        for name in [".", "home", "run", "state", "tmux", "work"] {
            self.give(&self.directory.path().join(name), user);
        }
        let is_open = |path: &Path| {
            fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o005 == 0o005)
        };
        if !self.executable.ancestors().all(is_open) {
            let copy = self.directory.path().join("baudbot");
            fs::copy(&self.executable, &copy).unwrap();
            self.executable = copy;
        }
        self.user = Some(user);
    }

    fn give(&self, path: &Path, user: u32) {
        std::os::unix::fs::chown(path, Some(user), Some(user)).unwrap();
    }

    /// The program as the commands of this scene execute it.
    pub(crate) fn executable(&self) -> &Path {
        &self.executable
    }

    /// Makes a directory that belongs to whoever the commands run as.
    pub(crate) fn make_directory(&self, path: &Path) {
        fs::create_dir(path).unwrap();
        if let Some(user) = self.user {
            self.give(path, user);
        }
    }

    /// A scene in which the manifest of this file runs as it is; it calls its project `project`.
    pub(crate) fn of(manifest: &Path, project: &str) -> Self {
        let mut scene = Self::bare();
        scene.project = project.into();
        std::os::unix::fs::symlink(manifest, scene.path("baudbot.yaml")).unwrap();
        scene
    }

    /// Adds a variable to the environment of the commands that are run from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.into(), value.into()));
    }

    /// Replaces the manifest.
    pub(crate) fn edit(&self, manifest: &str) {
        let text = format!("version: 1\nproject: {PROJECT}\n{manifest}");
        fs::write(self.work().join("baudbot.yaml"), text).unwrap();
    }

    /// The directory that commands are run in.
    pub(crate) fn work(&self) -> PathBuf {
        self.directory.path().join("work")
    }

    /// A path in that directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.work().join(name)
    }

    /// Everything of the scene is below this.
    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    /// The home directory.
    pub(crate) fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// The state directory of the project.
    pub(crate) fn state_dir(&self) -> PathBuf {
        let states = self.directory.path().join("state/baudbot");
        states.join(&self.project)
    }

    /// The runtime directory of the project.
    pub(crate) fn runtime_dir(&self) -> PathBuf {
        let runtimes = self.directory.path().join("run/baudbot");
        runtimes.join(&self.project)
    }

    /// The command `baudbot ARGUMENTS`, not started yet.
    pub(crate) fn command<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new(&self.executable);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
            .args(arguments)
            .current_dir(self.work())
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Any other program in the scene's environment and directory.
    pub(crate) fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.work())
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs `baudbot ARGUMENTS` to its end.
    #[track_caller]
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Outcome {
        finish(self.command(arguments).spawn().unwrap())
    }

    /// `status --json`.
    #[track_caller]
    pub(crate) fn status(&self) -> serde_json::Value {
        self.run(["status", "--json"]).json()
    }

    /// What `status` says of one service.
    #[track_caller]
    pub(crate) fn service(&self, name: &str) -> serde_json::Value {
        self.status()["services"][name].clone()
    }

    /// Fails the test unless the service is in this state now.
    #[track_caller]
    pub(crate) fn expect_state(&self, name: &str, state: &str) {
        let service = self.service(name);
        assert_eq!(service["state"], state, "{name}: {service}");
    }

    /// The leader's pid.
    #[track_caller]
    pub(crate) fn pid(&self, name: &str) -> i32 {
        let service = self.service(name);
        let pid = service["pid"].as_i64();
        i32::try_from(pid.unwrap_or_else(|| panic!("{name} has no pid: {service}"))).unwrap()
    }

    /// The supervisor's pid.
    #[track_caller]
    pub(crate) fn supervisor(&self) -> i32 {
        let status = self.status();
        let pid = status["supervisor"]["pid"].as_i64();
        i32::try_from(pid.unwrap_or_else(|| panic!("no supervisor: {status}"))).unwrap()
    }

    /// The guardian's pid.
    #[track_caller]
    pub(crate) fn guardian(&self) -> i32 {
        let status = self.status();
        let pid = status["supervisor"]["guardian_pid"].as_i64();
        i32::try_from(pid.unwrap_or_else(|| panic!("no guardian: {status}"))).unwrap()
    }

    /// Kills the supervisor with -9, and its guardian with it, so that nobody brings it back; waits
    /// for the end of both.
    #[track_caller]
    pub(crate) fn kill_supervisor(&self) {
        let supervisor = &self.status()["supervisor"];
        let pid = |name: &str| Some(i32::try_from(supervisor[name].as_i64()?).unwrap());
        let all: Vec<i32> = [pid("guardian_pid"), pid("pid")]
            .into_iter()
            .flatten()
            .collect();
        // A guardian that stands still starts nobody, and is no lost parent either.
        if let [guardian, _] = all[..] {
            kill(guardian, 19);
        }
        for pid in all.iter().rev() {
            kill(*pid, 9);
        }
        wait_until("the supervisor is gone", || {
            !all.iter().any(|pid| is_alive(*pid))
        });
    }

    /// Kills the supervisor alone with -9 and waits for its end. Its guardian starts another.
    #[track_caller]
    pub(crate) fn crash_supervisor(&self) {
        let pid = self.supervisor();
        kill(pid, 9);
        wait_until("the supervisor is gone", || !is_alive(pid));
    }

    /// What `logs NAME` prints.
    pub(crate) fn logs(&self, name: &str) -> String {
        self.run(["logs", name]).stdout
    }

    /// A tmux command for the project's own server.
    pub(crate) fn tmux<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Outcome {
        let uid = nix::unistd::getuid();
        let socket = self.runtime_dir().join(format!("tmux-{uid}/default"));
        let mut command = self.program("tmux");
        command.arg("-S").arg(socket).args(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command.spawn().unwrap())
    }

    /// Takes everything down and proves that nothing is left.
    #[track_caller]
    pub(crate) fn end(mut self) {
        self.run(["down"]).success();
        self.expect_nothing_left();
        self.ended = true;
    }

    /// Proves that nothing is left of what was never a project of this scene, or is down already.
    #[track_caller]
    pub(crate) fn close(mut self) {
        self.expect_nothing_left();
        self.ended = true;
    }

    /// The leak check: no process, no socket, no tmux server, no runtime file.
    #[track_caller]
    pub(crate) fn expect_nothing_left(&self) {
        // A process that was killed and is being reaped by init may be seen for an instant.
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut left = self.processes();
        while !left.is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
            left = self.processes();
        }
        assert!(
            left.is_empty(),
            "processes are left: {:#?}",
            describe(&left)
        );
        let root = self.root().display().to_string();
        let sockets: Vec<String> = fs::read_to_string("/proc/net/unix")
            .unwrap()
            .lines()
            .filter(|line| line.contains(&root) && !line.contains(&format!("{root}/work")))
            .map(str::to_owned)
            .collect();
        assert!(sockets.is_empty(), "sockets are left: {sockets:#?}");
        assert!(
            !self.runtime_dir().exists(),
            "runtime files are left: {:?}",
            fs::read_dir(self.runtime_dir()).map(|files| files.flatten().collect::<Vec<_>>())
        );
    }

    /// Every process that has to do with this scene: by its environment, directory, arguments, or
    /// by the mark of the scene's project.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let root = self.root().as_os_str().as_encoded_bytes();
        let id = fs::canonicalize(self.state_dir()).ok().map(|state| {
            let name = ProjectName::new(self.project.as_str()).unwrap();
            ProjectId::new(&name, &state)
        });
        let me = std::process::id();
        let contains = |bytes: &[u8]| bytes.windows(root.len()).any(|window| window == root);
        fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
            .filter(|pid| pid.cast_unsigned() != me && is_alive(*pid))
            .filter(|pid| {
                let of = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
                let link = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
                contains(&of("environ"))
                    || contains(&of("cmdline"))
                    || link.starts_with(self.root())
                    || matches!((read_mark(*pid), id), (Ok(Some(mark)), Some(id)) if mark.is_of(id))
            })
            .collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // A failed test: what it started must not disturb the others.
        if std::thread::panicking() {
            let log = self.state_dir().join("supervisor.log");
            eprintln!(
                "--- supervisor.log\n{}",
                fs::read_to_string(log).unwrap_or_default()
            );
        }
        for _ in 0..50 {
            let left = self.processes();
            if left.is_empty() {
                break;
            }
            for pid in left {
                kill(pid, 9);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Waits for a command's end, at most [`PATIENCE`].
#[track_caller]
pub(crate) fn finish(mut child: Child) -> Outcome {
    let reader = |stream: Option<Box<dyn std::io::Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut stream) = stream {
                let _ = stream.read_to_end(&mut bytes);
            }
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let stdout = reader(child.stdout.take().map(|stream| Box::new(stream) as _));
    let stderr = reader(child.stderr.take().map(|stream| Box::new(stream) as _));
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
    let Some(status) = status else {
        panic!("the command does not end\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
    };
    Outcome {
        code: status.code(),
        stdout,
        stderr,
    }
}

/// Waits until something is true, at most [`PATIENCE`].
#[track_caller]
pub(crate) fn wait_until(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_true() {
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for a file and returns what is in it.
#[track_caller]
pub(crate) fn wait_for_file(path: &Path) -> String {
    wait_until(&format!("{}", path.display()), || {
        fs::metadata(path).is_ok_and(|found| found.len() > 0)
    });
    fs::read_to_string(path).unwrap()
}

/// Whether there is such a process that is no zombie.
pub(crate) fn is_alive(pid: i32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    let state = stat
        .rsplit(')')
        .next()
        .and_then(|rest| rest.trim().chars().next());
    !matches!(state, Some('Z' | 'X'))
}

/// Sends a signal to one process.
pub(crate) fn kill(pid: i32, signal: i32) {
    let signal = nix::sys::signal::Signal::try_from(signal).unwrap();
    // It may have ended meanwhile.
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal);
}

/// A port of 127.0.0.1 that nobody listens on. It lies below those that the kernel gives to outgoing
/// connections (`ip_local_port_range`, ip(7)), and each test begins to look at another place: nobody
/// else takes it while it is not listened on.
pub(crate) fn free_port() -> u16 {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let turn = std::process::id() * 16 + ASKED.fetch_add(1, Ordering::Relaxed);
    (0..20_000)
        .map(|step| u16::try_from(10_000 + (turn + step) % 20_000).unwrap())
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap()
}

fn describe(pids: &[i32]) -> Vec<String> {
    pids.iter()
        .map(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            format!(
                "{pid} {}",
                String::from_utf8_lossy(&line).replace('\0', " ")
            )
        })
        .collect()
}

/// Appends to a file, for tests that edit what a service reads.
pub(crate) fn append(path: &Path, text: &str) {
    let mut file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
