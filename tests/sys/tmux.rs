use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use baudbot::id::RunId;
use baudbot::sys::helper::Helper;
use baudbot::sys::identity::{Exit, Identity, PidFd};
use baudbot::sys::mark::{self, Mark};
use baudbot::sys::pane::Gate;
use baudbot::sys::process::Command;
use baudbot::sys::start_error::{Stage, StartError};
use baudbot::sys::tmux::{Server, Session, Target, TmuxError};

use crate::scene::{PATIENCE, Scene, await_gone, await_readable, make_fifo};

const SIZE: (u16, u16) = (200, 50);

/// A scene with a tmux server, which is ended with it.
struct TmuxScene {
    scene: Scene,
    server: Server,
}

impl TmuxScene {
    fn new() -> Self {
        let scene = Scene::new();
        let target = Target::Private {
            socket: scene.path("tmux"),
            mark: Some(Mark::for_project(scene.project, scene.nesting)),
            open_files_limit: None,
        };
        Self {
            server: server(target),
            scene,
        }
    }

    /// Makes a session whose pane becomes `argv`, as run 7.
    async fn start(&self, name: &str, argv: &[&str]) -> Result<Session, StartError> {
        let command = self.scene.launch(7, argv).command;
        self.start_command(name, &command).await
    }

    async fn start_command(&self, name: &str, command: &Command) -> Result<Session, StartError> {
        let gate = Gate::create(&self.scene.path("gate")).unwrap();
        let argv = gate.argv(Path::new(env!("CARGO_BIN_EXE_baudbot")));
        let session = self
            .server
            .new_session(name, self.scene.dir.path(), &argv, SIZE, "test")
            .await
            .unwrap();
        self.server
            .pipe_pane(&session.pane_id, &self.scene.path("out"))
            .await
            .unwrap();
        gate.open(session.pane_pid, command, PATIENCE).await?;
        Ok(session)
    }

    async fn end(self) {
        let pid = self.server.server_pid().await.unwrap();
        self.server.kill_server().await.unwrap();
        if let Some(pid) = pid {
            await_gone(pid);
        }
        // Each pane's `cat` ends when it has seen the end of its pane.
        for pid in self.scene.marked() {
            await_gone(pid);
        }
    }
}

fn server(target: Target) -> Server {
    Server {
        target,
        executable: "tmux".into(),
        environment: BTreeMap::from([
            ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
            ("TMUX".to_owned(), "/no/such/socket,1,0".to_owned()),
            ("SHELL".to_owned(), "/bin/sh".to_owned()),
        ]),
    }
}

async fn exit_of(server: &Server, session: &Session) -> Option<Exit> {
    await_gone(session.pane_pid);
    let exit = server.exit_of_pane(&session.pane_id, PATIENCE).await;
    exit.unwrap()
}

#[tokio::test]
async fn the_private_server_is_founded_once_and_marked() {
    let scene = TmuxScene::new();
    assert_eq!(scene.server.server_pid().await.unwrap(), None);
    assert!(scene.server.sessions().await.unwrap().is_empty());
    let pid = scene.server.start().await.unwrap();
    assert_eq!(scene.server.start().await.unwrap(), pid);
    assert_eq!(scene.server.server_pid().await.unwrap(), Some(pid));
    assert!(scene.server.sessions().await.unwrap().is_empty());
    let carried = mark::read_mark(pid).unwrap().unwrap();
    assert!(carried.is_project_itself(scene.scene.project));
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let environment = String::from_utf8_lossy(&environment);
    assert!(!environment.contains("TMUX="), "{environment}");
    assert!(!environment.contains("CARGO"), "{environment}");
    scene.end().await;
}

#[tokio::test]
async fn the_private_server_outlives_its_last_session() {
    let scene = TmuxScene::new();
    let pid = scene.server.start().await.unwrap();
    let session = scene.start("one", &["sleep", "1000"]).await.unwrap();
    scene.server.kill_session(&session.id).await.unwrap();
    await_gone(session.pane_pid);
    assert_eq!(scene.server.server_pid().await.unwrap(), Some(pid));
    scene.end().await;
}

#[tokio::test]
async fn a_pane_becomes_the_command_under_its_own_mark() {
    let mut scene = TmuxScene::new();
    scene.server.start().await.unwrap();
    let mut command = scene
        .scene
        .launch(7, &["sh", "-c", "echo $$; pwd; umask; exec sleep 1000"])
        .command;
    command.umask = Some(0o027);
    let session = scene.start_command("one", &command).await.unwrap();
    let carried = mark::read_mark(session.pane_pid).unwrap().unwrap();
    assert!(carried.is_run(scene.scene.project, RunId(7)));
    let said = [scene.scene.line(), scene.scene.line(), scene.scene.line()];
    let expected = [
        session.pane_pid.to_string(),
        scene.scene.dir.path().to_str().unwrap().to_owned(),
        "0027".to_owned(),
    ];
    assert_eq!(said.map(|line| line.trim_end().to_owned()), expected);
    scene.end().await;
}

#[tokio::test]
async fn a_pane_gets_its_environment_from_the_gate_alone() {
    let mut scene = TmuxScene::new();
    scene.server.start().await.unwrap();
    let mut command = scene
        .scene
        .launch(7, &["sh", "-c", "env; echo done; exec sleep 1000"])
        .command;
    command
        .environment
        .insert("SECRET".to_owned(), "x".repeat(100_000));
    let session = scene.start_command("one", &command).await.unwrap();
    let mut names = Vec::new();
    loop {
        let line = scene.scene.line();
        let line = line.trim_end();
        if line == "done" {
            break;
        }
        names.push(line.split('=').next().unwrap().to_owned());
    }
    names.sort();
    assert_eq!(
        names,
        ["PATH", "PWD", "SECRET", "TERM", "TMUX", "TMUX_PANE"]
    );
    // It stands in no argument list and not in the server's memory.
    let arguments = fs::read(format!("/proc/{}/cmdline", session.pane_pid)).unwrap();
    assert!(!String::from_utf8_lossy(&arguments).contains("xxx"));
    scene.end().await;
}

#[tokio::test]
async fn a_dead_pane_tells_how_it_died() {
    let scene = TmuxScene::new();
    scene.server.start().await.unwrap();
    let session = scene.start("one", &["sh", "-c", "exit 3"]).await.unwrap();
    let exit = exit_of(&scene.server, &session).await;
    assert_eq!(exit, Some(Exit::Code(3)));
    let panes = scene.server.panes(&session.id).await.unwrap();
    assert!(panes[0].is_dead);

    let session = scene.start("two", &["sleep", "1000"]).await.unwrap();
    let panes = scene.server.panes(&session.id).await.unwrap();
    assert_eq!(panes.len(), 1);
    assert_eq!((panes[0].is_dead, panes[0].exit), (false, None));
    let handle = PidFd::open(session.pane_pid).unwrap().unwrap();
    handle.send(libc::SIGKILL).unwrap();
    let exit = exit_of(&scene.server, &session).await;
    assert_eq!(exit, Some(Exit::Signal(9)));

    scene.server.kill_session(&session.id).await.unwrap();
    assert!(scene.server.panes(&session.id).await.unwrap().is_empty());
    scene.end().await;
}

#[tokio::test]
async fn an_exit_is_known_while_a_child_lives_on() {
    let mut scene = TmuxScene::new();
    scene.server.start().await.unwrap();
    let script = "trap '' HUP; sleep 1000 & echo $!; exit 4";
    let session = scene.start("one", &["sh", "-c", script]).await.unwrap();
    let child: i32 = scene.scene.line().trim_end().parse().unwrap();
    let exit = exit_of(&scene.server, &session).await;
    assert_eq!(exit, Some(Exit::Code(4)));
    let handle = PidFd::open(child).unwrap().unwrap();
    handle.send(libc::SIGKILL).unwrap();
    await_gone(child);
    scene.end().await;
}

#[tokio::test]
async fn a_stage_that_fails_in_a_pane_is_named() {
    let scene = TmuxScene::new();
    scene.server.start().await.unwrap();
    let missing = scene.start("one", &["no-such-program"]).await.unwrap_err();
    assert!(matches!(missing.stage, Stage::FindExecutable(_)));
    assert!(missing.is_blocked());

    let mut command = scene.scene.launch(7, &["true"]).command;
    command.working_dir = "/no/such/dir".into();
    let missing = scene.start_command("two", &command).await.unwrap_err();
    assert_eq!(missing.stage, Stage::WorkingDir("/no/such/dir".into()));

    let text = scene.scene.path("text");
    fs::write(&text, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&text, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let word = text.to_str().unwrap();
    let missing = scene.start("three", &[word]).await.unwrap_err();
    assert_eq!(missing.stage, Stage::Execute(PathBuf::from(word)));
    scene.end().await;
}

/// The supervisor dies before it answers: the socket closes.
#[tokio::test]
async fn a_pane_whose_gate_closes_exits_without_a_trace() {
    let scene = TmuxScene::new();
    scene.server.start().await.unwrap();
    let gate = Gate::create(&scene.scene.path("gate")).unwrap();
    let argv = gate.argv(Path::new(env!("CARGO_BIN_EXE_baudbot")));
    let session = scene
        .server
        .new_session("one", scene.scene.dir.path(), &argv, SIZE, "test")
        .await
        .unwrap();
    assert!(Identity::of(session.pane_pid).unwrap().is_some());
    drop(gate);
    let exit = exit_of(&scene.server, &session).await;
    assert_eq!(exit, Some(Exit::Code(0)));
    scene.end().await;
}

/// Somebody else who connects to the gate is not told what the pane is to become.
#[tokio::test]
async fn only_the_pane_is_answered() {
    let scene = TmuxScene::new();
    scene.server.start().await.unwrap();
    let path = scene.scene.path("gate");
    let gate = Gate::create(&path).unwrap();
    let mut stranger = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let argv = gate.argv(Path::new(env!("CARGO_BIN_EXE_baudbot")));
    let session = scene
        .server
        .new_session("one", scene.scene.dir.path(), &argv, SIZE, "test")
        .await
        .unwrap();
    let command = scene.scene.launch(7, &["sleep", "1000"]).command;
    gate.open(session.pane_pid, &command, PATIENCE)
        .await
        .unwrap();
    let mut heard = Vec::new();
    stranger.read_to_end(&mut heard).unwrap();
    assert!(heard.is_empty());
    scene.end().await;
}

#[tokio::test]
async fn a_gate_that_nobody_comes_to_gives_up() {
    let scene = Scene::new();
    let gate = Gate::create(&scene.path("gate")).unwrap();
    let command = scene.launch(7, &["true"]).command;
    let error = gate.open(1, &command, Duration::from_millis(10)).await;
    assert_eq!(error.unwrap_err().stage, Stage::Pane);
    assert!(!scene.path("gate").exists());
}

#[tokio::test]
async fn ids_are_exact_where_names_are_not() {
    let scene = TmuxScene::new();
    scene.server.start().await.unwrap();
    for name in ["baudbot", "baudbot-x", "baudbot-slack-bridge"] {
        scene.start(name, &["sleep", "1000"]).await.unwrap();
    }
    let sessions = scene.server.sessions().await.unwrap();
    let bridge = sessions
        .iter()
        .find(|s| s.name == "baudbot-slack-bridge")
        .unwrap();
    scene.server.kill_session(&bridge.id).await.unwrap();
    // Again: it is gone, and nobody else is hit in its place.
    scene.server.kill_session(&bridge.id).await.unwrap();
    let mut left: Vec<String> = scene
        .server
        .sessions()
        .await
        .unwrap()
        .into_iter()
        .map(|session| session.name)
        .collect();
    left.sort();
    assert_eq!(left, ["baudbot", "baudbot-x"]);
    scene.end().await;
}

#[tokio::test]
async fn a_name_that_is_taken_is_refused() {
    let scene = TmuxScene::new();
    scene.server.start().await.unwrap();
    scene.start("one", &["sleep", "1000"]).await.unwrap();
    let argv = ["sleep".to_owned(), "1000".to_owned()];
    let again = scene
        .server
        .new_session("one", Path::new("/"), &argv, SIZE, "test")
        .await
        .unwrap_err();
    assert!(matches!(again, TmuxError::Refused { .. }), "{again}");
    scene.end().await;
}

#[tokio::test]
async fn a_server_that_was_killed_is_no_server() {
    let scene = TmuxScene::new();
    let pid = scene.server.start().await.unwrap();
    let session = scene.start("one", &["sleep", "1000"]).await.unwrap();
    let handle = PidFd::open(pid).unwrap().unwrap();
    handle.send(libc::SIGKILL).unwrap();
    await_gone(pid);
    await_gone(session.pane_pid);
    assert_eq!(scene.server.server_pid().await.unwrap(), None);
    assert!(scene.server.sessions().await.unwrap().is_empty());
    assert!(scene.server.panes(&session.id).await.unwrap().is_empty());
    scene.server.kill_session(&session.id).await.unwrap();
    let pipe = scene.server.pipe_pane("%0", Path::new("/x")).await;
    assert!(matches!(pipe, Err(TmuxError::NoServer { .. })));
    let again = scene.server.start().await.unwrap();
    assert_ne!(again, pid);
    scene.end().await;
}

#[tokio::test]
async fn a_shared_server_is_never_ended() {
    let private = TmuxScene::new();
    let pid = private.server.start().await.unwrap();
    let shared = server(Target::Socket(private.scene.path("tmux")));
    shared.kill_server().await.unwrap();
    assert_eq!(shared.server_pid().await.unwrap(), Some(pid));
    private.end().await;
}

#[tokio::test]
async fn odd_paths_come_through_tmux_and_its_shell() {
    let scene = TmuxScene::new();
    scene.server.start().await.unwrap();
    let odd = scene.scene.path("it's #{pid} %H $HOME; ");
    fs::create_dir(&odd).unwrap();
    make_fifo(&odd.join("out;"));
    let script = "echo here >'out;'; exec sleep 1000;";
    let argv = ["sh", "-c", script].map(str::to_owned);
    // Opened for both, so that nobody waits for anybody.
    let mut reader = fs::File::options()
        .read(true)
        .write(true)
        .open(odd.join("out;"))
        .unwrap();
    let session = scene
        .server
        .new_session("one", &odd, &argv, SIZE, "test")
        .await
        .unwrap();
    // Only in that directory is there such a FIFO.
    let mut said = [0; 5];
    reader.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"here\n");
    scene
        .server
        .pipe_pane(&session.pane_id, &odd.join("out;"))
        .await
        .unwrap();
    // Whatever the pane shows from now on comes: its answer to a key, say.
    let mut keys = tokio::process::Command::new("tmux");
    keys.arg("-S").arg(scene.scene.path("tmux"));
    keys.args(["send-keys", "-t", &session.pane_id, "x"]);
    let sent = Helper::spawn(&mut keys).unwrap().output().await.unwrap();
    assert!(sent.status.success());
    await_readable(reader.as_fd(), Instant::now() + PATIENCE);
    scene.end().await;
}
