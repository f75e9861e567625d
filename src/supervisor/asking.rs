//! One attempt of a probe: what is asked, within what time, and what came of it.
//!
//! No attempt outlives its limit, whatever the other side does: it may accept and say nothing, drip
//! a byte a second, send headers without end, or fork. What a command leaves behind is ended after
//! each attempt, also when the command itself ended well, so that nothing piles up: all of it carries
//! a mark of its own beside that of the run.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};

use super::ending::force;
use super::listening::Listening;
use super::patience;
use crate::manifest::environment::masked;
use crate::manifest::model::{Command, HttpProbe, Probe};
use crate::sys::account::Account;
use crate::sys::census::Roots;
use crate::sys::mark::Mark;
use crate::sys::probe::{self, ProbeCommand};

/// What a probe needs to know of its run.
#[derive(Clone)]
pub(super) struct Asked {
    /// When the run's start began, by the clock that file times are taken from.
    pub(super) began: SystemTime,
    pub(super) environment: Arc<BTreeMap<String, String>>,
    pub(super) working_dir: PathBuf,
    /// Whom the commands of its probes run as, if not as we do.
    pub(super) user: Option<Account>,
    /// What the commands of its probes carry.
    pub(super) mark: Option<Mark>,
    /// From what they are found.
    pub(super) roots: Roots,
    /// What must not be told.
    pub(super) secrets: Vec<String>,
    /// Whose answers count, and where the run listens.
    pub(super) listening: Listening,
}

/// What an attempt came to.
pub(super) struct Verdict {
    /// What is wrong, for people.
    pub(super) outcome: Result<(), String>,
    /// What a command said, or nothing.
    pub(super) said: String,
}

impl From<Result<(), String>> for Verdict {
    fn from(outcome: Result<(), String>) -> Self {
        Self {
            outcome,
            said: String::new(),
        }
    }
}

/// Asks once.
pub(super) async fn ask(probe: &Probe, asked: &Asked, limit: Duration) -> Verdict {
    let attempt = attempt(probe, asked);
    let verdict = match patience::within(limit, attempt).await {
        Some(verdict) => verdict,
        None => Err(format!(
            "no answer within {}",
            humantime::format_duration(limit)
        ))
        .into(),
    };
    if matches!(probe, Probe::Exec { .. }) {
        end_leftovers(asked).await;
    }
    Verdict {
        outcome: verdict
            .outcome
            .map_err(|error| masked(error, &asked.secrets)),
        said: masked(verdict.said, &asked.secrets),
    }
}

async fn end_leftovers(asked: &Asked) {
    if asked.roots.owner.is_none() {
        return;
    }
    for left in force(asked.roots.clone()).await {
        eprintln!(
            "process {} ({}) of a probe does not end: {}",
            left.pid, left.command, left.reason
        );
    }
}

async fn attempt(probe: &Probe, asked: &Asked) -> Verdict {
    match probe {
        Probe::Tcp { host, port } => {
            let connected = connect(host, *port, asked, probe.word()).await;
            connected.map(drop).into()
        }
        Probe::Http(request) => http(request, asked).await.into(),
        Probe::Unix { path } => unix(path, asked.began).await.into(),
        Probe::Exec { command } => exec(command, asked).await,
        Probe::File { path, max_age } => file(path, *max_age, asked.began).await.into(),
        // Heard, not asked for.
        Probe::Log { .. } | Probe::Notify | Probe::Watchdog { .. } => {
            Err("it has not told yet".into()).into()
        }
    }
}

/// Connects to a listener whose answer counts: to the first of the host's addresses that has one.
async fn connect(host: &str, port: u16, asked: &Asked, probe: &str) -> Result<TcpStream, String> {
    let failed = |error: std::io::Error| format!("{host}:{port}: {error}");
    let mut refused = None;
    let mut stranger = None;
    for address in addresses(host, port).await.map_err(failed)? {
        match TcpStream::connect(address).await {
            Ok(stream) => match asked.listening.judge(&stream).await {
                Ok(()) => return Ok(stream),
                Err(why) => stranger = stranger.or(Some(why)),
            },
            Err(error) => refused = refused.or(Some((address, error))),
        }
    }
    match (stranger, refused) {
        (Some(why), _) => Err(why),
        (None, Some((address, error))) => {
            let is_here = address.ip().is_loopback() || address.ip().is_unspecified();
            let elsewhere = match error.kind() {
                std::io::ErrorKind::ConnectionRefused if is_here => {
                    asked.listening.elsewhere(address, probe).await
                }
                _ => String::new(),
            };
            Err(failed(error) + &elsewhere)
        }
        (None, None) => Err(format!("{host}:{port}: the host has no address")),
    }
}

/// The addresses of a host. `localhost` is 127.0.0.1 and ::1, as in `ports`, whatever the resolver
/// says.
async fn addresses(host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    if host.eq_ignore_ascii_case("localhost") {
        let both = [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            IpAddr::from(Ipv6Addr::LOCALHOST),
        ];
        return Ok(both.map(|address| SocketAddr::new(address, port)).to_vec());
    }
    Ok(tokio::net::lookup_host((host, port)).await?.collect())
}

async fn http(request: &HttpProbe, asked: &Asked) -> Result<(), String> {
    let HttpProbe { url, method, .. } = request;
    let uri: hyper::Uri = url.parse().map_err(|error| format!("`{url}`: {error}"))?;
    let host = uri.host().ok_or_else(|| format!("`{url}` names no host"))?;
    let bare_host = host.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(80);
    let stream = connect(bare_host, port, asked, "http").await?;
    // What is asked for may be told, what is given along may be a token.
    let url = url.split('?').next().unwrap_or_default();
    let failed = |error: hyper::Error| format!("{method} {url}: {error}");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    let expected = &request.status;
    let request =
        self::request(request, &uri).map_err(|error| format!("{method} {url}: {error}"))?;
    // The connection knows better what is wrong with it, and must not outlive the attempt.
    let response = sender.send_request(request);
    tokio::pin!(response);
    let response = tokio::select! {
        response = &mut response => response.map_err(failed)?,
        ended = connection => match (response.await, ended) {
            (Ok(response), _) => response,
            (Err(_), Err(error)) | (Err(error), Ok(())) => return Err(failed(error)),
        },
    };
    let status = response.status();
    let number = status.as_u16();
    if expected
        .iter()
        .any(|good| (good.from..=good.to).contains(&number))
    {
        Ok(())
    } else {
        Err(format!("{method} {url}: answered {status}"))
    }
}

fn request(asked: &HttpProbe, uri: &hyper::Uri) -> Result<hyper::Request<Full<Bytes>>, String> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let body = asked.body.clone().unwrap_or_default();
    let mut request = hyper::Request::builder()
        .method(asked.method.as_str())
        .uri(path)
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| error.to_string())?;
    let headers = request.headers_mut();
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let value = |text: &str| HeaderValue::from_str(text).map_err(|error| error.to_string());
    headers.insert(HOST, value(authority)?);
    headers.insert(USER_AGENT, HeaderValue::from_static("baudbot"));
    for (name, text) in &asked.headers {
        let name: HeaderName = name.parse().map_err(|_| format!("no header `{name}`"))?;
        headers.insert(name, value(text)?);
    }
    Ok(request)
}

async fn unix(path: &Path, began: SystemTime) -> Result<(), String> {
    newer(path, began).await?;
    UnixStream::connect(path)
        .await
        .map(drop)
        .map_err(|error| format!("{}: {error}", path.display()))
}

async fn file(path: &Path, max_age: Option<Duration>, began: SystemTime) -> Result<(), String> {
    let written = newer(path, began).await?;
    let Some(most) = max_age else { return Ok(()) };
    // A time to come is no age.
    let age = SystemTime::now()
        .duration_since(written)
        .unwrap_or_default();
    if age <= most {
        return Ok(());
    }
    let age = Duration::from_secs(age.as_secs());
    Err(format!(
        "{} was last written {} ago, over {}",
        path.display(),
        humantime::format_duration(age),
        humantime::format_duration(most)
    ))
}

/// When the file was written. What an earlier run left behind does not count.
async fn newer(path: &Path, began: SystemTime) -> Result<SystemTime, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let found = tokio::fs::metadata(path)
        .await
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => format!("{} does not exist yet", path.display()),
            _ => failed(error),
        })?;
    let modified = found.modified().map_err(failed)?;
    if modified >= began {
        Ok(modified)
    } else {
        Err(format!("{} is older than this start", path.display()))
    }
}

/// What a command writes to its standard output. What it leaves behind is ended.
pub(super) async fn run_command(
    command: &Command,
    asked: &Asked,
    limit: Duration,
) -> Result<String, String> {
    let limited = patience::within(limit, exec(command, asked)).await;
    end_leftovers(asked).await;
    let verdict =
        limited.ok_or_else(|| format!("no answer within {}", humantime::format_duration(limit)))?;
    verdict.outcome.map(|()| verdict.said)
}

async fn exec(command: &Command, asked: &Asked) -> Verdict {
    let argv = command.argv();
    let started = probe::Probe::start(&ProbeCommand {
        argv: &argv,
        environment: &asked.environment,
        working_dir: &asked.working_dir,
        mark: asked.mark,
        user: asked.user.as_ref(),
    });
    let probe = match started {
        Ok(probe) => probe,
        Err(error) => return Err(error.to_string()).into(),
    };
    let (status, said) = match probe.finish().await {
        Ok(finished) => finished,
        Err(error) => return Err(format!("`{}`: {error}", argv.join(" "))).into(),
    };
    let last = said.lines().last().unwrap_or_default().trim();
    let outcome = match (status.success(), last) {
        (true, _) => Ok(()),
        (false, "") => Err(format!("`{}`: {status}", argv.join(" "))),
        (false, last) => Err(format!("`{}`: {status}: {last}", argv.join(" "))),
    };
    Verdict { outcome, said }
}
