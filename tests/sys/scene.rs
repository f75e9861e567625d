//! A place for one test: a scratch directory, a project of its own, and a leak check at the end.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use baudbot::id::{ProjectName, RunId};
use baudbot::sys::census::{Owner, Roots};
use baudbot::sys::identity::{Exit, Identity, PidFd};
use baudbot::sys::mark::{self, Mark, Nesting, ProjectId};
use baudbot::sys::process::{self, Command, Launch};
use baudbot::sys::start_error::{StartError, parse_report};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;

const PRELUDE: &str = r"
import ctypes, os, signal, sys, threading, time
OUT = os.environ['OUT']

def say(*words):
    out = os.open(OUT, os.O_WRONLY)
    os.write(out, (' '.join(map(str, words)) + '\n').encode())
    os.close(out)

def daemonize():
    # The parent stays; what returns is the daemon.
    if os.fork():
        os.wait()
        return False
    os.setsid()
    if os.fork():
        os._exit(0)
    return True

def sleep():
    while True:
        time.sleep(1000)
";

/// Longer than anything here takes on a busy machine; reaching it fails the test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Scene {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) project: ProjectId,
    pub(crate) nesting: Nesting,
    output: Option<File>,
    buffer: Vec<u8>,
}

/// A process that a scene started as a run.
pub(crate) struct Started {
    pub(crate) identity: Identity,
    pub(crate) run: RunId,
}

impl Scene {
    pub(crate) fn new() -> Self {
        process::set_subreaper().unwrap();
        let dir = tempfile::tempdir().unwrap();
        make_fifo(&dir.path().join("out"));
        let mut scene = Self {
            project: project_in("test", dir.path()),
            nesting: Nesting::here().unwrap(),
            output: None,
            buffer: Vec::new(),
            dir,
        };
        scene.open_output();
        scene
    }

    /// Starts to read what the processes of the scene write; what they wrote before is there.
    pub(crate) fn open_output(&mut self) {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        options.custom_flags(libc::O_NONBLOCK);
        self.output = Some(options.open(self.path("out")).unwrap());
    }

    /// Lets go of the output, as a supervisor that dies.
    pub(crate) fn close_output(&mut self) {
        self.output = None;
    }

    /// Starts a process that plays one of the roles of [`crate::roles`], as run 1.
    pub(crate) fn start_role(&self, role: &str) -> Started {
        let mut launch = self.launch(1, &[]);
        become_role(&mut launch, role, self.dir.path());
        self.start_launch(1, &launch).unwrap()
    }

    /// The next line that a role says.
    pub(crate) fn role_line(&mut self) -> String {
        loop {
            if let Some(said) = self.line().strip_prefix("role: ") {
                return said.to_owned();
            }
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A launch whose output the scene reads, in a bare environment.
    pub(crate) fn launch(&self, run: u64, argv: &[&str]) -> Launch {
        let mark = Mark::for_run(self.project, RunId(run), self.nesting);
        launch_in(self.dir.path(), mark, argv)
    }

    pub(crate) fn start(&self, run: u64, argv: &[&str]) -> Started {
        self.start_launch(run, &self.launch(run, argv)).unwrap()
    }

    pub(crate) fn start_launch(&self, run: u64, launch: &Launch) -> Result<Started, StartError> {
        let gated = process::fork_gated(launch)?;
        let identity = gated.identity().clone();
        let report = read_to_end(gated.release());
        parse_report(&report).inspect_err(|_| {
            await_end(identity.pid);
            process::reap(identity.pid).unwrap();
        })?;
        Ok(Started {
            identity,
            run: RunId(run),
        })
    }

    /// The next line that any process of the scene writes.
    pub(crate) fn line(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return String::from_utf8_lossy(&line[..end]).into_owned();
            }
            assert!(Instant::now() < deadline, "no line came");
            let output = self.output.as_mut().unwrap();
            await_readable(output.as_fd(), deadline);
            let mut chunk = [0; 4096];
            if let Ok(read) = output.read(&mut chunk) {
                self.buffer.extend_from_slice(&chunk[..read]);
            }
        }
    }

    /// From what the members of a run are found.
    pub(crate) fn roots(&self, started: &Started) -> Roots {
        Roots {
            owner: Some(Owner::Run(self.project, started.run)),
            leaders: vec![started.identity.clone()],
            spared: vec![std::process::id().cast_signed()],
            ..Roots::default()
        }
    }

    /// Starts a python program as a run. `say(text)` in it writes a line that the scene reads,
    /// whatever became of its descriptors; `daemonize()` leaves parent, group and session.
    pub(crate) fn start_python(&self, run: u64, program: &str) -> Started {
        self.start_launch(run, &self.python(run, program)).unwrap()
    }

    pub(crate) fn python(&self, run: u64, program: &str) -> Launch {
        let mut launch = self.launch(run, &[]);
        become_python(&mut launch, program);
        launch
    }

    /// All pids that carry a mark of this scene, zombies too.
    pub(crate) fn marked(&self) -> Vec<i32> {
        let projects = PROJECTS.map(|name| project_in(name, self.dir.path()));
        all_pids()
            .into_iter()
            .filter(|pid| {
                mark::read_mark(*pid)
                    .unwrap()
                    .is_some_and(|mark| projects.iter().any(|project| mark.is_of(*project)))
            })
            .collect()
    }
}

impl Started {
    pub(crate) fn pid(&self) -> i32 {
        self.identity.pid
    }

    /// Waits for its end, says how it ended, and reaps it.
    pub(crate) fn end(self) -> Exit {
        await_end(self.pid());
        let seen = process::observe_exit(self.pid()).unwrap();
        assert_eq!(process::reap(self.pid()).unwrap(), seen);
        seen.unwrap()
    }

    pub(crate) fn kill(self) -> Exit {
        let handle = PidFd::open_verified(&self.identity).unwrap().unwrap();
        handle.send(libc::SIGKILL).unwrap();
        self.end()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = process::reap_orphans();
        let left: Vec<String> = self
            .marked()
            .into_iter()
            .map(|pid| {
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                if let Ok(Some(handle)) = PidFd::open(pid) {
                    let _ = handle.send(libc::SIGKILL);
                }
                stat.chars().take(80).collect()
            })
            .collect();
        if !std::thread::panicking() {
            assert!(left.is_empty(), "processes are left: {left:#?}");
        }
    }
}

/// A launch below the directory of a scene, in a bare environment.
pub(crate) fn launch_in(dir: &Path, mark: Mark, argv: &[&str]) -> Launch {
    Launch {
        command: Command {
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            environment: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
            working_dir: dir.to_owned(),
            umask: None,
            mark: Some(mark),
            open_files_limit: None,
            limits: Vec::new(),
            user: None,
            passage: None,
        },
        stdout: dir.join("out"),
        stderr: dir.join("out"),
    }
}

/// Lets the launch execute a python program, with the prelude.
pub(crate) fn become_python(launch: &mut Launch, program: &str) {
    let program = format!("{PRELUDE}\n{program}");
    launch.command.argv = ["/usr/bin/python3", "-I", "-c", &program]
        .map(str::to_owned)
        .into();
    let out = launch.stdout.to_str().unwrap().to_owned();
    launch.command.environment.insert("OUT".into(), out);
}

/// Lets the launch execute one of the roles of [`crate::roles`].
pub(crate) fn become_role(launch: &mut Launch, role: &str, dir: &Path) {
    let executable = std::env::current_exe().unwrap();
    let executable = executable.to_str().unwrap();
    launch.command.argv = [
        executable,
        "--ignored",
        "--exact",
        "roles::play",
        "--nocapture",
    ]
    .map(str::to_owned)
    .into();
    let environment = &mut launch.command.environment;
    environment.insert("ROLE".into(), role.into());
    environment.insert("SCENE".into(), dir.to_str().unwrap().into());
}

/// The project of a scene, and those that its processes bring up inside of it.
const PROJECTS: [&str; 3] = ["test", "inner", "innermost"];

pub(crate) fn project_in(name: &str, dir: &Path) -> ProjectId {
    ProjectId::new(&ProjectName::new(name).unwrap(), dir)
}

pub(crate) fn make_fifo(path: &Path) {
    nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
}

pub(crate) fn all_pids() -> Vec<i32> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .collect()
}

/// Waits until the child has ended, and leaves it a zombie.
pub(crate) fn await_end(pid: i32) {
    let handle = PidFd::open(pid).unwrap().unwrap();
    await_readable(handle.as_fd(), Instant::now() + PATIENCE);
    assert!(handle.is_over().unwrap(), "{pid} does not end");
}

/// Waits until whoever has this pid is over.
pub(crate) fn await_gone(pid: i32) {
    if let Some(handle) = PidFd::open(pid).unwrap() {
        await_readable(handle.as_fd(), Instant::now() + PATIENCE);
        assert!(handle.is_over().unwrap(), "{pid} does not end");
    }
}

pub(crate) fn await_readable(descriptor: std::os::fd::BorrowedFd<'_>, deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now());
    let mut polled = [PollFd::new(descriptor, PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(left).unwrap();
    match poll(&mut polled, timeout) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(error) => panic!("poll: {error}"),
    }
}

/// Reads a nonblocking pipe to its end.
pub(crate) fn read_to_end(pipe: OwnedFd) -> Vec<u8> {
    let deadline = Instant::now() + PATIENCE;
    let mut pipe = File::from(pipe);
    let mut all = Vec::new();
    loop {
        assert!(Instant::now() < deadline, "the pipe does not end");
        await_readable(pipe.as_fd(), deadline);
        match pipe.read_to_end(&mut all) {
            Ok(_) => return all,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("read: {error}"),
        }
    }
}
