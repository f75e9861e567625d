//! The command line's end of the control socket, and how it gets a supervisor to talk to.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixStream;

use super::handshake::Word;
use super::protocol::{
    HandOverReply, HandOverRequest, Notice, OrderReply, OrderRequest, Proof, ProofRequest, Refusal,
    Status, VERSION,
};
use crate::catalogue::Code;
use crate::code;
use crate::id::ServiceName;
use crate::store::{Project, StoreError};
use crate::sys::crash;
use crate::sys::guardian::{ask_for_socket, wake};
use crate::sys::identity::Identity;

/// How long an answer to a question may take. The event loop answers at once; a supervisor that
/// does not is stopped (SIGSTOP) or starved.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long nothing may come on a stream of notices: the server sends a comment more often.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(45);

/// How often a supervisor without a socket is asked for one.
const ASKED_EVERY: Duration = Duration::from_millis(250);

/// How often a supervisor that is just leaving, or just arriving, is met before giving up.
const MOST_ATTEMPTS: u32 = 200;

/// How long a guardian may take to bring a supervisor back.
const BROUGHT_BACK_WITHIN: Duration = Duration::from_secs(5);

/// The same, where it was just started for us and nobody else could be: a busy host is no reason to
/// give up.
const BEGINS_WITHIN: Duration = Duration::from_secs(30);

/// What people are told when a guardian had to do its work.
const BROUGHT_BACK: &str = "the supervisor had crashed; its guardian has started it again";

/// What can go wrong between the command line and the supervisor.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The supervisor said no.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The project's directories.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The connection.
    #[error("cannot talk to the supervisor at {}", socket.display())]
    Connection {
        /// The control socket.
        socket: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// No answer in time.
    #[error("{}", no_answer(supervisor.as_ref(), *is_stopped))]
    NoAnswer {
        /// Who does not answer, as far as the lock tells.
        supervisor: Option<Identity>,
        /// Whether that process is stopped.
        is_stopped: bool,
    },
    /// An answer that makes no sense.
    #[error("the supervisor's answer cannot be read: {0}")]
    BadAnswer(String),
    /// It did not come up.
    #[error("the supervisor could not start: {message}")]
    NotStarted {
        /// Its own words.
        message: String,
        /// What to do about it.
        help: Option<String>,
    },
}

/// Who did not answer, and how long that was waited for.
fn no_answer(supervisor: Option<&Identity>, is_stopped: bool) -> String {
    let who = supervisor.map_or_else(String::new, |one| format!(" (process {})", one.pid));
    let why = if is_stopped { ": it is stopped" } else { "" };
    let within = ANSWER_TIMEOUT.as_secs();
    format!("the supervisor{who} did not answer within {within} s{why}")
}

impl ClientError {
    /// Whether the supervisor went away under the request: the request can be made again, of the
    /// next supervisor.
    pub fn is_leaving(&self) -> bool {
        match self {
            Self::Refused(refusal) => *refusal == Refusal::leaving(),
            Self::Connection { .. } => true,
            Self::Store(_)
            | Self::NoAnswer { .. }
            | Self::BadAnswer(_)
            | Self::NotStarted { .. } => false,
        }
    }

    /// What kind of error it is. What a supervisor of another version says may have no code here.
    pub fn code(&self) -> Code {
        match self {
            Self::Refused(refusal) => {
                Code::received(&refusal.code).unwrap_or(code!("control::bad_answer"))
            }
            Self::Store(error) => error.code(),
            Self::Connection { .. } => code!("control::connection"),
            Self::NoAnswer { .. } => code!("control::no_answer"),
            Self::BadAnswer(_) => code!("control::bad_answer"),
            Self::NotStarted { .. } => code!("supervisor::not_started"),
        }
    }

    /// What to do about it, where that can be said.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Refused(refusal) => refusal.help.clone(),
            Self::Store(error) => error.help(),
            Self::Connection { .. } => {
                Some("try again; `baudbot status` tells whether it runs".into())
            }
            Self::NoAnswer {
                supervisor: Some(supervisor),
                is_stopped,
            } => Some(how_to_wake(supervisor, *is_stopped)),
            Self::NoAnswer {
                supervisor: None, ..
            } => None,
            Self::BadAnswer(_) => Some("use the same version of baudbot at both ends".into()),
            Self::NotStarted { help, .. } => help.clone(),
        }
    }
}

/// What to do about a supervisor that does not answer. A stopped process does not act on TERM.
pub fn how_to_wake(supervisor: &Identity, is_stopped: bool) -> String {
    let pid = supervisor.pid;
    let safe = "services go on, and the next supervisor takes them over";
    if is_stopped {
        format!("let it go on with `kill -CONT {pid}`, or end it with `kill -9 {pid}`: {safe}")
    } else {
        format!("if it does not recover, end it with `kill -9 {pid}`: {safe}")
    }
}

/// A supervisor that can be asked.
#[derive(Debug, Clone)]
pub struct Client {
    project: Project,
}

/// The supervisor of `project`, if one runs. One that holds the project's lock and has no socket is
/// about to answer, or lost its socket: it is asked for one, and waited for.
///
/// # Errors
/// A socket that exists and cannot be connected to, other than for want of a listener; a supervisor
/// that lives and cannot be reached.
pub async fn connect(project: &Project) -> Result<Option<Client>, ClientError> {
    connect_within(project, ANSWER_TIMEOUT).await
}

/// As [`connect`], for at most this long.
///
/// # Errors
/// As [`connect`].
pub async fn connect_within(
    project: &Project,
    limit: Duration,
) -> Result<Option<Client>, ClientError> {
    let until = tokio::time::Instant::now() + limit;
    let mut asked = tokio::time::Instant::now();
    loop {
        let place = project.where_it_answers();
        let place = place.unwrap_or_else(|| project.clone());
        place.check_socket_paths()?;
        if dial(&place).await?.is_some() {
            return Ok(Some(Client { project: place }));
        }
        let Some(supervisor) = project.living_supervisor() else {
            return Ok(None);
        };
        let now = tokio::time::Instant::now();
        if now >= until {
            return Err(silence(project));
        }
        if now >= asked {
            // It may be one that may not be signalled; then only waiting is left.
            let _ = ask_for_socket(&supervisor);
            asked = now + ASKED_EVERY;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A connection to the control socket of a supervisor that is ours or root's; `None` when no process
/// accepts it now. Nothing is sent to any other.
async fn dial(project: &Project) -> Result<Option<UnixStream>, ClientError> {
    project.check()?;
    match UnixStream::connect(project.control_socket()).await {
        Ok(stream) => {
            project.check_peer(&stream)?;
            Ok(Some(stream))
        }
        Err(error)
            if matches!(
                error.kind(),
                // The last one: so many connections wait already for a supervisor that accepts none.
                io::ErrorKind::NotFound
                    | io::ErrorKind::ConnectionRefused
                    // It was killed before it accepted this one.
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::WouldBlock
            ) =>
        {
            Ok(None)
        }
        Err(source) => Err(ClientError::Connection {
            socket: project.control_socket(),
            source,
        }),
    }
}

/// The error for a supervisor that does not answer.
fn silence(project: &Project) -> ClientError {
    let supervisor = project.living_supervisor();
    let is_stopped = supervisor.as_ref().is_some_and(Identity::is_stopped);
    ClientError::NoAnswer {
        supervisor,
        is_stopped,
    }
}

/// The supervisor of `project`; one is started when none runs. `note` hears what a supervisor that
/// starts has to tell, as in "ending what an earlier supervisor left".
///
/// # Errors
/// [`ClientError::NotStarted`] and what goes wrong with directories and connections.
pub async fn connect_or_start(
    project: &Project,
    mut note: impl FnMut(&str),
) -> Result<Client, ClientError> {
    for attempt in 0..MOST_ATTEMPTS {
        if let Some(client) = connect(project).await? {
            return Ok(client);
        }
        if attempt == 0
            && let Some(guardian) = project.living_guardian()
            && let Some(client) = brought_back(project, &guardian).await?
        {
            note(BROUGHT_BACK);
            return Ok(client);
        }
        match start(project, &mut note).await? {
            Started::Ready => {}
            // Another one holds the lock: it is just arriving, or just leaving.
            Started::Locked => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    Err(ClientError::NotStarted {
        message: "another supervisor holds the project's lock and does not answer".into(),
        help: Some(match project.living_supervisor() {
            Some(supervisor) => how_to_wake(&supervisor, supervisor.is_stopped()),
            None => format!(
                "{} names its process",
                project.state_dir().join("lock").display()
            ),
        }),
    })
}

/// The supervisor that its guardian starts now, if it does. One that cannot begin says why to whoever
/// starts it next.
async fn brought_back(
    project: &Project,
    guardian: &Identity,
) -> Result<Option<Client>, ClientError> {
    if wake(guardian).is_err() {
        return Ok(None);
    }
    let until = tokio::time::Instant::now() + BROUGHT_BACK_WITHIN;
    while tokio::time::Instant::now() < until {
        if let Some(client) = connect(project).await? {
            return Ok(Some(client));
        }
        if project.living_guardian().is_none() {
            return Ok(None);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(None)
}

enum Started {
    Ready,
    Locked,
}

async fn start(project: &Project, note: &mut impl FnMut(&str)) -> Result<Started, ClientError> {
    let failed = |message: String| ClientError::NotStarted {
        message,
        help: None,
    };
    project.create_directories()?;
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(project.supervisor_log())
        .map_err(|error| failed(format!("{}: {error}", project.supervisor_log().display())))?;
    let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let mut command = std::process::Command::new(program);
    command
        .arg(crate::guardian::COMMAND)
        .arg(project.name().as_str())
        .arg(project.state_dir())
        .arg(project.runtime_dir())
        .current_dir("/")
        .env_clear()
        .envs(
            SUPERVISOR_ENVIRONMENT
                .iter()
                .chain(crash::VARIABLES)
                .filter_map(|name| Some((*name, std::env::var_os(name)?))),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log);
    let mut child = tokio::process::Command::from(command)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let Some(stdout) = child.stdout.take() else {
        return Err(failed("it has no standard output".into()));
    };
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(Word::Ready) => return Ok(Started::Ready),
            Ok(Word::Locked) => {
                // It says so and exits; waiting here leaves no zombie behind.
                let _ = child.wait().await;
                return Ok(Started::Locked);
            }
            Ok(Word::Note(text)) => note(&text),
            Ok(Word::Failed { message, help }) => {
                let _ = child.wait().await;
                return Err(ClientError::NotStarted { message, help });
            }
            Err(error) => return Err(failed(format!("it said `{line}` ({error})"))),
        }
    }
    died_at_once(project, &mut child, note).await
}

/// The first supervisor died before it was ready: its guardian, which is `child`, starts another, or
/// ends.
async fn died_at_once(
    project: &Project,
    child: &mut tokio::process::Child,
    note: &mut impl FnMut(&str),
) -> Result<Started, ClientError> {
    let help = Some(format!("see {}", project.supervisor_log().display()));
    let until = tokio::time::Instant::now() + BEGINS_WITHIN;
    while tokio::time::Instant::now() < until {
        match child.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => {
                return Err(ClientError::NotStarted {
                    message: format!("it ended before it was ready ({status})"),
                    help,
                });
            }
            Err(error) => {
                return Err(ClientError::NotStarted {
                    message: error.to_string(),
                    help,
                });
            }
        }
        if connect(project).await?.is_some() {
            note(BROUGHT_BACK);
            return Ok(Started::Ready);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err(ClientError::NotStarted {
        message: "it ended before it was ready; its guardian goes on trying".into(),
        help,
    })
}

/// What a supervisor in the background keeps of the environment of whoever started it: what it
/// needs to find programs and places, and no secrets. Services get theirs from the order.
const SUPERVISOR_ENVIRONMENT: [&str; 12] = [
    "HOME",
    "USER",
    "LOGNAME",
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
    "RUST_BACKTRACE",
    "SHELL",
];

impl Client {
    /// The project, with the runtime directory in which the supervisor really is.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// `GET /v1/status`.
    ///
    /// # Errors
    /// No connection, no answer, no sense.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.json(Method::GET, "/v1/status", Bytes::new()).await
    }

    /// `GET /v1/status?usage=true`: with what the services take of the machine.
    ///
    /// # Errors
    /// No connection, no answer, no sense.
    pub async fn status_with_usage(&self) -> Result<Status, ClientError> {
        self.json(Method::GET, "/v1/status?usage=true", Bytes::new())
            .await
    }

    /// `POST /v1/orders`.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the order was not taken; nothing has changed then.
    pub async fn order(&self, request: &OrderRequest) -> Result<OrderReply, ClientError> {
        let body = serde_json::to_vec(request)
            .map_err(|error| ClientError::BadAnswer(error.to_string()))?;
        self.json(Method::POST, "/v1/orders", body.into()).await
    }

    /// `POST /v1/proofs`: what is verified of services that were stopped.
    ///
    /// # Errors
    /// As [`Client::status`].
    pub async fn proof(&self, services: Vec<ServiceName>) -> Result<Proof, ClientError> {
        let request = ProofRequest {
            version: VERSION,
            services,
        };
        let body = serde_json::to_vec(&request)
            .map_err(|error| ClientError::BadAnswer(error.to_string()))?;
        self.json(Method::POST, "/v1/proofs", body.into()).await
    }

    /// `POST /v1/handover`: another supervisor, run by `program`, takes over.
    ///
    /// # Errors
    /// As [`Client::status`].
    pub async fn hand_over(&self, program: PathBuf) -> Result<HandOverReply, ClientError> {
        let request = HandOverRequest {
            version: VERSION,
            program,
        };
        let body = serde_json::to_vec(&request)
            .map_err(|error| ClientError::BadAnswer(error.to_string()))?;
        self.json(Method::POST, "/v1/handover", body.into()).await
    }

    /// `GET /v1/notices`: a snapshot, then what is new, until the supervisor leaves.
    ///
    /// # Errors
    /// As [`Client::status`]; later ones come as items, after which the stream ends.
    pub async fn notices(
        &self,
    ) -> Result<impl Stream<Item = Result<Notice, ClientError>> + use<>, ClientError> {
        let asked = self.ask(Method::GET, "/v1/notices", Bytes::new());
        let response = tokio::time::timeout(ANSWER_TIMEOUT, asked)
            .await
            .map_err(|_| silence(&self.project))??;
        let reading = Reading {
            body: response.into_body(),
            buffer: Vec::new(),
            client: self.clone(),
        };
        Ok(Box::pin(stream::unfold(Some(reading), |reading| async {
            let mut reading = reading?;
            match reading.next().await {
                Ok(Some(notice)) => Some((Ok(notice), Some(reading))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })))
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let whole = async {
            let response = self.ask(method, path, body).await?;
            let bytes = response
                .into_body()
                .collect()
                .await
                .map_err(|e| self.lost(e))?
                .to_bytes();
            serde_json::from_slice(&bytes)
                .map_err(|error| ClientError::BadAnswer(error.to_string()))
        };
        tokio::time::timeout(ANSWER_TIMEOUT, whole)
            .await
            .map_err(|_| silence(&self.project))?
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, ClientError> {
        self.project.check()?;
        let stream = UnixStream::connect(self.project.control_socket())
            .await
            .map_err(|source| self.connection(source))?;
        self.project.check_peer(&stream)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.lost(error))?;
        // It ends with the response's body or with the supervisor; what went wrong shows there.
        tokio::spawn(connection);
        let request = hyper::Request::builder()
            .method(method)
            .uri(path)
            .header("host", "baudbot")
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|error| ClientError::BadAnswer(error.to_string()))?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| self.lost(error))?;
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        let bytes = response
            .into_body()
            .collect()
            .await
            .map_err(|e| self.lost(e))?
            .to_bytes();
        Err(match serde_json::from_slice::<Refusal>(&bytes) {
            Ok(refusal) => ClientError::Refused(refusal),
            Err(error) => ClientError::BadAnswer(error.to_string()),
        })
    }

    fn lost(&self, error: hyper::Error) -> ClientError {
        self.connection(io::Error::other(error))
    }

    fn connection(&self, source: io::Error) -> ClientError {
        ClientError::Connection {
            socket: self.project.control_socket(),
            source,
        }
    }
}

/// Server-sent events, as far as our own server uses them: `data:` lines up to an empty line.
struct Reading {
    body: Incoming,
    buffer: Vec<u8>,
    client: Client,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Notice>, ClientError> {
        loop {
            while let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                if let Some(notice) = parse_event(&block)? {
                    return Ok(Some(notice));
                }
            }
            let frame = tokio::time::timeout(SILENCE_TIMEOUT, self.body.frame()).await;
            match frame.map_err(|_| silence(&self.client.project))? {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Err(self.client.lost(error)),
            }
        }
    }
}

fn parse_event(block: &[u8]) -> Result<Option<Notice>, ClientError> {
    let mut data = String::new();
    for line in String::from_utf8_lossy(block).lines() {
        if let Some(text) = line.strip_prefix("data:") {
            data.push_str(text.strip_prefix(' ').unwrap_or(text));
        }
    }
    if data.is_empty() {
        return Ok(None);
    }
    serde_json::from_str(&data)
        .map(Some)
        .map_err(|error| ClientError::BadAnswer(error.to_string()))
}
