//! What is said to tmux, and how.
//!
//! - Sessions and panes are addressed by id (`$3`, `%5`) only. A name given to `-t` matches
//!   prefixes and patterns too, and so hits strangers; names are listed, and compared by whoever
//!   asks.
//! - The project's *private* server reads no configuration, is founded with a clean environment
//!   and the project's own mark, and stays when its last session ends. Nothing but sessions is
//!   ever changed on any other server.
//! - A session's first process is executed by tmux itself, without a shell, and is the shim of
//!   [`pane`](super::pane): environment and mark come to it through its gate, and so never stand
//!   in an argument list or in the server's memory.
//! - Every command has a time limit, and is given once more when the server vanished beneath it,
//!   which happens when its last session ended at that moment.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use super::crash;
use super::helper::Helper;
use super::identity::Exit;
use super::mark::Mark;

/// How long one tmux command may take. Milliseconds are usual.
const LIMIT: Duration = Duration::from_secs(10);

/// Between two looks at a pane that has ended.
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(5);

/// Where a server listens, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The project's own server.
    Private {
        /// Its socket.
        socket: PathBuf,
        /// The project's own mark; `None` where no mark can be set.
        mark: Option<Mark>,
        /// Soft and hard limit of open files for what runs in it; `None` keeps ours.
        open_files_limit: Option<(u64, u64)>,
    },
    /// The user's ordinary server: shared property.
    Default,
    /// The server on this socket: shared property too.
    Socket(PathBuf),
}

/// A tmux server, running or not.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where it listens.
    pub target: Target,
    /// The tmux executable.
    pub executable: PathBuf,
    /// The whole environment of each tmux command, and so of a server that one of them founds.
    /// `TMUX` and `TMUX_PANE` are left out of it.
    pub environment: BTreeMap<String, String>,
}

/// A session that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id, as in `$3`.
    pub id: String,
    /// The id of its pane, as in `%5`.
    pub pane_id: String,
    /// The process in the pane.
    pub pane_pid: i32,
}

/// The option of a session that tells its owner.
const OWNER_OPTION: &str = "@baudbot-project";

/// A session that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its id, as in `$3`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What [`new_session`](Server::new_session) was told of its owner; `None` when something else
    /// made it.
    pub owner: Option<String>,
}

/// A pane that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pane {
    /// Its id, as in `%5`.
    pub id: String,
    /// The process that was started in it. Once that is dead, the number may be anybody's.
    pub pid: i32,
    /// Whether the process has ended and nobody else holds the pane's terminal.
    pub is_dead: bool,
    /// How the process ended, as far as tmux knows yet; [`Server::exit_of_pane`] waits for it.
    pub exit: Option<Exit>,
}

/// Why tmux did not do as told.
#[derive(Debug, thiserror::Error)]
pub enum TmuxError {
    /// It could not be executed.
    #[error("cannot execute {}: {source}", executable.display())]
    Execute {
        /// The executable.
        executable: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It did not answer in time.
    #[error("`tmux {command}` did not answer within {} s", LIMIT.as_secs())]
    TimedOut {
        /// The tmux command.
        command: String,
    },
    /// There is no server.
    #[error("no tmux server is running ({message})")]
    NoServer {
        /// What tmux said.
        message: String,
    },
    /// The session, window or pane is gone.
    #[error("`tmux {command}`: {message}")]
    NoTarget {
        /// The tmux command.
        command: String,
        /// What tmux said.
        message: String,
    },
    /// It refused.
    #[error("`tmux {command}` failed: {message}")]
    Refused {
        /// The tmux command.
        command: String,
        /// What it said.
        message: String,
    },
    /// Its answer makes no sense.
    #[error("`tmux {command}` answered {answer:?}")]
    Nonsense {
        /// The tmux command.
        command: String,
        /// What it said.
        answer: String,
    },
}

impl Server {
    /// Starts the private server if it does not run, and returns its pid.
    ///
    /// # Errors
    /// When tmux cannot be executed or refuses.
    pub async fn start(&self) -> Result<i32, TmuxError> {
        crash::point("tmux server: before its start");
        let answer = self
            .ask(&[
                "start-server",
                ";",
                "set-option",
                "-s",
                "exit-empty",
                "off",
                ";",
                "display-message",
                "-p",
                "#{pid}",
            ])
            .await?;
        crash::point("tmux server: after its start");
        parse_pid("start-server", &answer)
    }

    /// The server's pid; `None` when none runs. No server is started.
    ///
    /// # Errors
    /// When tmux cannot be executed or refuses.
    pub async fn server_pid(&self) -> Result<Option<i32>, TmuxError> {
        match self.ask(&["display-message", "-p", "#{pid}"]).await {
            Ok(answer) => parse_pid("display-message", &answer).map(Some),
            Err(TmuxError::NoServer { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a detached session called `name` of `size` (columns, rows) that executes `argv`
    /// without a shell. What the pane shows stays when its process ends, so that its exit can be
    /// asked for.
    ///
    /// # Errors
    /// [`TmuxError::Refused`] when there is a session of that name already, and whatever else tmux
    /// says.
    pub async fn new_session(
        &self,
        name: &str,
        working_dir: &Path,
        argv: &[String],
        size: (u16, u16),
        owner: &str,
    ) -> Result<Session, TmuxError> {
        let (columns, rows) = (size.0.to_string(), size.1.to_string());
        let directory = escape_format(&working_dir.to_string_lossy());
        let argv: Vec<String> = argv.iter().map(|word| escape_separator(word)).collect();
        let format = "#{session_id} #{pane_id} #{pane_pid}";
        let mut command = vec![
            "new-session",
            "-d",
            "-P",
            "-F",
            format,
            "-s",
            name,
            "-x",
            &columns,
            "-y",
            &rows,
            "-c",
            &directory,
            "--",
        ];
        command.extend(argv.iter().map(String::as_str));
        crash::point("tmux session: before it is made");
        let answer = self.ask(&command).await?;
        crash::point("tmux session: after it is made");
        let session = parse_session(&answer).ok_or_else(|| nonsense("new-session", &answer))?;
        // First of all: without an owner nothing of it may stay when we are killed here, and without
        // the second option it goes with its process.
        self.ask(&["set-option", "-t", &session.id, OWNER_OPTION, owner])
            .await?;
        // Its process waits at the gate: it cannot end before the option is set.
        self.ask(&[
            "set-option",
            "-w",
            "-t",
            &session.pane_id,
            "remain-on-exit",
            "on",
        ])
        .await?;
        Ok(session)
    }

    /// All sessions; none when there is no server.
    ///
    /// # Errors
    /// When tmux cannot be executed or refuses.
    pub async fn sessions(&self) -> Result<Vec<SessionInfo>, TmuxError> {
        let format = format!("#{{session_id}} #{{{OWNER_OPTION}}} #{{session_name}}");
        let command = ["list-sessions", "-F", format.as_str()];
        let answer = match self.ask(&command).await {
            Ok(answer) => answer,
            Err(TmuxError::NoServer { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        answer
            .lines()
            .map(|line| parse_session_info(line).ok_or_else(|| nonsense("list-sessions", line)))
            .collect()
    }

    /// All panes of a session, given by its id or that of a pane in it; none when it or the server
    /// is gone.
    ///
    /// # Errors
    /// When tmux cannot be executed or refuses.
    pub async fn panes(&self, id: &str) -> Result<Vec<Pane>, TmuxError> {
        let format = "#{pane_id} #{pane_pid} #{pane_dead} #{pane_dead_status} #{pane_dead_signal}";
        let command = ["list-panes", "-s", "-t", id, "-F", format];
        let answer = match self.ask(&command).await {
            Ok(answer) => answer,
            Err(TmuxError::NoServer { .. } | TmuxError::NoTarget { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        answer
            .lines()
            .map(|line| parse_pane(line).ok_or_else(|| nonsense("list-panes", line)))
            .collect()
    }

    /// How the process of a pane ended, once it has: asks until tmux knows, at most for `limit`.
    /// `None` when the pane is gone or tmux does not come to know.
    ///
    /// tmux learns of an end by SIGCHLD, and sometimes misses one (seen with 3.3a, about once in a
    /// hundred ends): the process then stays a zombie until any other child of the server ends. So
    /// it is given one.
    ///
    /// # Errors
    /// When tmux cannot be executed or refuses.
    pub async fn exit_of_pane(
        &self,
        pane_id: &str,
        limit: Duration,
    ) -> Result<Option<Exit>, TmuxError> {
        let deadline = Instant::now() + limit;
        loop {
            let panes = self.panes(pane_id).await?;
            let Some(pane) = panes.into_iter().find(|pane| pane.id == pane_id) else {
                return Ok(None);
            };
            if pane.exit.is_some() || Instant::now() >= deadline {
                return Ok(pane.exit);
            }
            match self.ask(&["run-shell", ":"]).await {
                Ok(_) | Err(TmuxError::NoServer { .. }) => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(BETWEEN_QUESTIONS).await;
        }
    }

    /// Lets what a pane shows flow into a FIFO, through a `cat` that ends with the pane: once it
    /// has, the FIFO has a writer less and holds all there was.
    ///
    /// # Errors
    /// When the pane is gone, or tmux refuses.
    pub async fn pipe_pane(&self, pane_id: &str, fifo: &Path) -> Result<(), TmuxError> {
        // Formats and times are replaced in the command before `sh` sees it.
        let quoted = escape_time(&escape_format(&quote_for_shell(&fifo.to_string_lossy())));
        // For reading too, so that a death of the supervisor, the only other reader, breaks no pipe.
        let command = format!("exec cat 1<>{quoted}");
        self.ask(&[
            "pipe-pane",
            "-O",
            "-t",
            pane_id,
            &escape_separator(&command),
        ])
        .await
        .map(drop)
    }

    /// Ends a session: its panes are hung up. One that is gone already is well.
    ///
    /// # Errors
    /// When tmux cannot be executed or refuses.
    pub async fn kill_session(&self, session_id: &str) -> Result<(), TmuxError> {
        crash::point("tmux session: before its end");
        let answer = self.ask(&["kill-session", "-t", session_id]).await;
        crash::point("tmux session: after its end");
        match answer {
            Ok(_) | Err(TmuxError::NoServer { .. } | TmuxError::NoTarget { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Ends the private server; one that does not run is well. Any other server is left alone.
    ///
    /// # Errors
    /// When tmux cannot be executed or refuses.
    pub async fn kill_server(&self) -> Result<(), TmuxError> {
        match self.target {
            Target::Private { .. } => {}
            Target::Default | Target::Socket(_) => return Ok(()),
        }
        crash::point("tmux server: before its end");
        let answer = self.ask(&["kill-server"]).await;
        crash::point("tmux server: after its end");
        match answer {
            Ok(_) | Err(TmuxError::NoServer { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The words that come before each command, for people who want to give it themselves.
    pub fn command_line(&self) -> Vec<String> {
        let mut words = vec![self.executable.to_string_lossy().into_owned()];
        match &self.target {
            Target::Private { socket, .. } | Target::Socket(socket) => {
                words.extend(["-S".to_owned(), socket.to_string_lossy().into_owned()]);
            }
            Target::Default => {}
        }
        words
    }

    /// Gives a command, once more if the server vanished beneath it, and returns what it prints.
    async fn ask(&self, command: &[&str]) -> Result<String, TmuxError> {
        let output = match self.execute(command).await? {
            output if is_server_lost(&output) => self.execute(command).await?,
            output => output,
        };
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let command = command.first().copied().unwrap_or_default().to_owned();
        Err(if is_no_server(&message) || is_server_lost(&output) {
            TmuxError::NoServer { message }
        } else if message.starts_with("can't find ") || message == NO_SESSION {
            TmuxError::NoTarget { command, message }
        } else {
            TmuxError::Refused { command, message }
        })
    }

    async fn execute(&self, command: &[&str]) -> Result<Output, TmuxError> {
        let execute_error = |source| TmuxError::Execute {
            executable: self.executable.clone(),
            source,
        };
        let helper = Helper::spawn(&mut self.client(command)).map_err(execute_error)?;
        match tokio::time::timeout(LIMIT, helper.output()).await {
            Ok(output) => output.map_err(execute_error),
            // Dropping the helper has ended the client.
            Err(_) => Err(TmuxError::TimedOut {
                command: command.first().copied().unwrap_or_default().to_owned(),
            }),
        }
    }

    fn client(&self, command: &[&str]) -> tokio::process::Command {
        let mut client = tokio::process::Command::new(&self.executable);
        // Names are told as they are, and not with `_` for what is not ASCII.
        client.arg("-u");
        match &self.target {
            Target::Private {
                socket,
                mark,
                open_files_limit,
            } => {
                client.arg("-f").arg("/dev/null").arg("-S").arg(socket);
                let (mark, limit) = (*mark, *open_files_limit);
                // The client may found the server, which inherits both.
                // SAFETY: runs between fork and exec, and makes async-signal-safe calls only.
                unsafe { client.pre_exec(move || become_server(mark, limit)) };
            }
            Target::Socket(socket) => {
                client.arg("-S").arg(socket);
            }
            Target::Default => {}
        }
        client
            .args(command)
            .env_clear()
            .envs(
                self.environment
                    .iter()
                    .filter(|(name, _)| *name != "TMUX" && *name != "TMUX_PANE"),
            )
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        client
    }
}

/// Async-signal-safe.
fn become_server(mark: Option<Mark>, open_files_limit: Option<(u64, u64)>) -> io::Result<()> {
    if let Some(mark) = mark {
        // Where it cannot be set, the other layers of containment do the work.
        let _ = mark.apply();
    }
    if let Some((rlim_cur, rlim_max)) = open_files_limit {
        let limit = libc::rlimit { rlim_cur, rlim_max };
        // SAFETY: the pointer leads to a structure of that type.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// What tmux says of any target on a server that has no session.
const NO_SESSION: &str = "no current target";

/// Whether a server was there when the command was given, and went before it was done.
fn is_server_lost(output: &Output) -> bool {
    if output.status.success() {
        return false;
    }
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said);
    said.contains("server exited") || said.contains("lost server")
}

fn is_no_server(message: &str) -> bool {
    message.starts_with("no server running") || message.starts_with("error connecting to")
}

fn nonsense(command: &str, answer: &str) -> TmuxError {
    TmuxError::Nonsense {
        command: command.to_owned(),
        answer: answer.to_owned(),
    }
}

fn parse_pid(command: &str, answer: &str) -> Result<i32, TmuxError> {
    answer.trim().parse().map_err(|_| nonsense(command, answer))
}

/// A line of `list-sessions`. A name may hold blanks.
fn parse_session_info(line: &str) -> Option<SessionInfo> {
    let (id, rest) = line.split_once(' ')?;
    let (owner, name) = rest.split_once(' ')?;
    id.starts_with('$').then(|| SessionInfo {
        id: id.to_owned(),
        name: name.to_owned(),
        owner: Some(owner.to_owned()).filter(|owner| !owner.is_empty()),
    })
}

fn parse_session(answer: &str) -> Option<Session> {
    let mut words = answer.split_ascii_whitespace();
    Some(Session {
        id: words.next().filter(|id| id.starts_with('$'))?.to_owned(),
        pane_id: words.next().filter(|id| id.starts_with('%'))?.to_owned(),
        pane_pid: words.next()?.parse().ok()?,
    })
}

fn parse_pane(line: &str) -> Option<Pane> {
    // Of what tmux does not know there is nothing between two spaces.
    let mut words = line.split(' ');
    let id = words.next().filter(|id| id.starts_with('%'))?.to_owned();
    let pid = words.next()?.parse().ok()?;
    let is_dead = words.next()? == "1";
    let status = words.next().and_then(|word| word.parse().ok());
    let signal = words.next().and_then(|word| word.parse().ok());
    Some(Pane {
        id,
        pid,
        is_dead,
        exit: match (status, signal) {
            (_, Some(signal)) => Some(Exit::Signal(signal)),
            (Some(status), None) => Some(Exit::Code(status)),
            (None, None) => None,
        },
    })
}

/// A word that tmux takes as it is, not as the end of a command.
fn escape_separator(word: &str) -> String {
    match word.strip_suffix(';') {
        Some(rest) => format!("{rest}\\;"),
        None => word.to_owned(),
    }
}

/// A text that stays as it is when tmux replaces `#{…}` in it.
fn escape_format(text: &str) -> String {
    text.replace('#', "##")
}

/// A text that stays as it is when tmux replaces `%H` and its like in it.
fn escape_time(text: &str) -> String {
    text.replace('%', "%%")
}

/// One word for `sh`.
fn quote_for_shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The name under which tmux keeps a session that was made with this one: it does not allow `.`
/// and `:`.
pub fn kept_session_name(name: &str) -> String {
    name.replace(['.', ':'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pane_tells_its_end_when_tmux_knows_it() {
        let pane = |line| parse_pane(line).unwrap();
        assert!(!pane("%0 812 0  ").is_dead);
        assert_eq!(pane("%0 812 1  ").exit, None);
        assert_eq!(pane("%0 812 1 3 ").exit, Some(Exit::Code(3)));
        assert_eq!(pane("%0 812 1  15").exit, Some(Exit::Signal(15)));
        // Before 3.3 there is no last field.
        assert_eq!(pane("%0 812 1 0 ").exit, Some(Exit::Code(0)));
        assert_eq!(parse_pane("nonsense"), None);
    }

    #[test]
    fn words_come_through_unchanged() {
        assert_eq!(escape_separator("a;b"), "a;b");
        assert_eq!(escape_separator("a;"), "a\\;");
        assert_eq!(quote_for_shell("it's"), r"'it'\''s'");
        assert_eq!(kept_session_name("web.1"), "web_1");
    }
}
