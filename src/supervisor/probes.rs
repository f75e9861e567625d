//! Asking a run whether it is ready.
//!
//! One task for each run that has a probe: attempt, verdict, pause, and again, until the first
//! success or the end of the run. An attempt has a limit of its own, so that none can hang; the
//! next begins only when it is over, so that none can pile up.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use regex::bytes::Regex;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::Supervisor;
use super::input::Outbox;
use crate::id::{RunId, ServiceName};
use crate::machine::RunEvent;
use crate::manifest::model::{Command, Probe, Ready};
use crate::sys::account::Account;
use crate::sys::mark::Mark;
use crate::sys::probe::{self, ProbeCommand};

/// The longest that one attempt may take.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(10);

/// What a probe needs to know of its run.
struct Asked {
    began: SystemTime,
    environment: Arc<BTreeMap<String, String>>,
    working_dir: PathBuf,
    mark: Option<Mark>,
    user: Option<Account>,
}

impl Supervisor {
    /// Begins to ask, if the run has a probe.
    pub(super) fn begin_probing(&mut self, id: RunId) -> Option<AbortOnDropHandle<()>> {
        let run = self.runs.get(&id)?;
        let ready = run.service.ready.clone()?;
        let asked = Asked {
            began: run.began,
            environment: Arc::clone(&run.environment),
            working_dir: run.service.working_dir.clone(),
            mark: self.mark(id),
            user: run.user.clone(),
        };
        let (service, outbox) = (run.service.name.clone(), self.outbox.clone());
        // Lines are listened for from the very start: see `watch_log`.
        let seen = self.log_watch(&service, &ready.probe);
        Some(AbortOnDropHandle::new(tokio::spawn(async move {
            match seen {
                Some(seen) => wait_for_line(seen, &service, id, &outbox).await,
                None => keep_asking(&ready, &asked, &service, id, &outbox).await,
            }
        })))
    }

    /// Watches the log from before the command is executed, so that its first line counts.
    pub(super) fn watch_log(&mut self, id: RunId) {
        let Some(run) = self.runs.get(&id) else {
            return;
        };
        let Some(Ready {
            probe: Probe::Log { pattern },
            ..
        }) = &run.service.ready
        else {
            return;
        };
        let (service, pattern) = (run.service.name.clone(), pattern.clone());
        match Regex::new(&pattern) {
            Ok(pattern) => {
                if let Some(output) = self.outputs.get_mut(&service) {
                    output.watch(pattern);
                }
            }
            // The manifest's rules have compiled it before.
            Err(error) => eprintln!("`{service}`: {error}"),
        }
    }

    fn log_watch(&mut self, service: &ServiceName, probe: &Probe) -> Option<oneshot::Receiver<()>> {
        match probe {
            Probe::Log { .. } => self.outputs.get_mut(service)?.take_watch(),
            Probe::Tcp { .. }
            | Probe::Http { .. }
            | Probe::Unix { .. }
            | Probe::Exec { .. }
            | Probe::File { .. } => None,
        }
    }
}

async fn wait_for_line(
    seen: oneshot::Receiver<()>,
    service: &ServiceName,
    run: RunId,
    outbox: &Outbox,
) {
    outbox.run(
        service,
        run,
        RunEvent::NotReady("no line of its output matches yet".into()),
    );
    // The sender is dropped when another run takes the watch over; this one is then over.
    if seen.await.is_ok() {
        outbox.run(service, run, RunEvent::Ready);
    }
}

async fn keep_asking(
    ready: &Ready,
    asked: &Asked,
    service: &ServiceName,
    run: RunId,
    outbox: &Outbox,
) {
    let mut last = String::new();
    loop {
        let verdict = match tokio::time::timeout(ATTEMPT_LIMIT, attempt(&ready.probe, asked)).await
        {
            Ok(verdict) => verdict,
            Err(_) => Err(format!("no answer within {} s", ATTEMPT_LIMIT.as_secs())),
        };
        match verdict {
            Ok(()) => return outbox.run(service, run, RunEvent::Ready),
            // The same again is no news.
            Err(why) if why == last => {}
            Err(why) => {
                last.clone_from(&why);
                outbox.run(service, run, RunEvent::NotReady(why));
            }
        }
        tokio::time::sleep(ready.interval).await;
    }
}

/// Asks once; the error is for people.
async fn attempt(probe: &Probe, asked: &Asked) -> Result<(), String> {
    match probe {
        Probe::Tcp { host, port } => tcp(host, *port).await.map(drop),
        Probe::Http { url } => http(url).await,
        Probe::Unix { path } => unix(path, asked.began).await,
        Probe::Exec { command } => exec(command, asked).await,
        Probe::File { path } => newer(path, asked.began),
        // Heard, not asked for.
        Probe::Log { .. } => Err("no line of its output matches yet".into()),
    }
}

async fn tcp(host: &str, port: u16) -> Result<TcpStream, String> {
    TcpStream::connect((host, port))
        .await
        .map_err(|error| format!("{host}:{port}: {error}"))
}

async fn http(url: &str) -> Result<(), String> {
    let uri: hyper::Uri = url.parse().map_err(|error| format!("`{url}`: {error}"))?;
    let host = uri.host().ok_or_else(|| format!("`{url}` names no host"))?;
    let bare_host = host.trim_start_matches('[').trim_end_matches(']');
    let stream = tcp(bare_host, uri.port_u16().unwrap_or(80)).await?;
    let failed = |error: hyper::Error| format!("GET {url}: {error}");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    // It must not outlive the attempt.
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or(host, |authority| authority.as_str());
    let request = hyper::Request::get(path)
        .header("host", authority)
        .header("user-agent", "baudbot")
        .body(Empty::<Bytes>::new())
        .map_err(|error| format!("GET {url}: {error}"))?;
    let status = sender.send_request(request).await.map_err(failed)?.status();
    if status.is_success() || status.is_redirection() {
        Ok(())
    } else {
        Err(format!("GET {url}: answered {status}"))
    }
}

async fn unix(path: &Path, began: SystemTime) -> Result<(), String> {
    newer(path, began)?;
    UnixStream::connect(path)
        .await
        .map(drop)
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// What an earlier run left behind does not count.
fn newer(path: &Path, began: SystemTime) -> Result<(), String> {
    let found = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("{} does not exist yet", path.display()),
        _ => format!("{}: {error}", path.display()),
    })?;
    let modified = found
        .modified()
        .map_err(|error| format!("{}: {error}", path.display()))?;
    if modified >= began {
        Ok(())
    } else {
        Err(format!("{} is older than this start", path.display()))
    }
}

async fn exec(command: &Command, asked: &Asked) -> Result<(), String> {
    let argv = command.argv();
    let probe = probe::Probe::start(&ProbeCommand {
        argv: &argv,
        environment: &asked.environment,
        working_dir: &asked.working_dir,
        mark: asked.mark,
        user: asked.user.as_ref(),
    })
    .map_err(|error| error.to_string())?;
    match probe.finish().await {
        Ok((status, _)) if status.success() => Ok(()),
        Ok((status, said)) => {
            let said = said.lines().last().unwrap_or_default().trim();
            let said = if said.is_empty() {
                String::new()
            } else {
                format!(": {said}")
            };
            Err(format!("`{}`: {status}{said}", argv.join(" ")))
        }
        Err(error) => Err(format!("`{}`: {error}", argv.join(" "))),
    }
}
