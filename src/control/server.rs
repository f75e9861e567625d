//! The supervisor's end of the control socket.
//!
//! Handlers hold no state of the project: each passes a [`Request`] to the event loop and waits for
//! its answer. The stream of notices hangs on a broadcast channel, so that a client that reads
//! slowly or not at all costs the supervisor nothing: one that fell behind gets a new snapshot.

use std::convert::Infallible;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, Query, Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use futures_util::stream::{self, Stream, StreamExt};
use serde::de::DeserializeOwned;
use tokio::net::{UnixListener, unix::UCred};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::code;

use crate::event::By;
use crate::id::ServiceName;

use super::logs;
use super::protocol::{
    HandOverReply, HandOverRequest, LogsQuery, News, Notice, OrderReply, OrderRequest, Proof,
    ProofRequest, Refusal, Status,
};

/// The largest order that is read, in bytes: a resolved manifest of some ten thousand services.
const LARGEST_BODY: usize = 64 << 20;

/// How often a stream of notices without news has a comment, by which a client sees that the
/// supervisor lives. The client gives up after several of these times.
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(10);

/// What a handler asks of the event loop.
#[derive(Debug)]
pub enum Request {
    /// The present state.
    Status {
        /// Whether what the services take of the machine is to be found out too.
        usage: bool,
        /// Where the answer goes.
        answer: oneshot::Sender<Snapshot>,
    },
    /// What is left of these services.
    Proof(Vec<ServiceName>, oneshot::Sender<Proof>),
    /// Another supervisor shall take over.
    HandOver(
        HandOverRequest,
        oneshot::Sender<Result<HandOverReply, Refusal>>,
    ),
    /// An order.
    Order(
        Box<OrderRequest>,
        By,
        oneshot::Sender<Result<OrderReply, Refusal>>,
    ),
}

/// The body of a request, or how to refuse it.
#[expect(
    clippy::result_large_err,
    reason = "it is the answer, and there is one"
)]
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Response> {
    serde_json::from_slice(body).map_err(|error| {
        refuse(
            StatusCode::BAD_REQUEST,
            Refusal {
                code: code!("control::bad_order").to_string(),
                message: format!("the request cannot be read: {error}"),
                help: Some("use the same version of baudbot at both ends".into()),
                exit: 1,
            },
        )
    })
}

async fn proof(State(shared): State<Shared>, body: Bytes) -> Response {
    let request: ProofRequest = match read(&body) {
        Ok(request) => request,
        Err(refusal) => return refusal,
    };
    match ask(&shared, |answer| Request::Proof(request.services, answer)).await {
        Some(proof) => Json(proof).into_response(),
        None => leaving(),
    }
}

async fn hand_over(State(shared): State<Shared>, body: Bytes) -> Response {
    let request: HandOverRequest = match read(&body) {
        Ok(request) => request,
        Err(refusal) => return refusal,
    };
    match ask(&shared, |answer| Request::HandOver(request, answer)).await {
        Some(Ok(reply)) => Json(reply).into_response(),
        Some(Err(refusal)) => refuse(StatusCode::CONFLICT, refusal),
        None => leaving(),
    }
}

/// The present state, with the number of the last notice that went before.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The number.
    pub sequence: u64,
    /// The state.
    pub status: Status,
}

/// What the handlers share.
#[derive(Debug, Clone)]
pub struct Shared {
    /// To the event loop.
    pub requests: mpsc::UnboundedSender<Request>,
    /// From the event loop.
    pub notices: broadcast::Sender<Notice>,
    /// Where the logs of the services are.
    pub log_dir: PathBuf,
    /// Becomes true when the supervisor leaves: streams end then.
    pub leaving: watch::Receiver<bool>,
    /// The last notice, once there is one: a client that fell behind hears it all the same.
    pub last: Arc<OnceLock<Notice>>,
}

/// Binds the control socket, which nobody else may use. A socket file that an earlier supervisor
/// left is replaced: whoever calls this holds the project's lock.
///
/// # Errors
/// What `bind` says.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // The directory is ours alone (0700), so nobody connects before the rights are set.
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers on `listener` until [`Shared::leaving`] becomes true and the last answer is given.
///
/// # Errors
/// What accepting connections says.
pub async fn serve(listener: UnixListener, shared: Shared) -> io::Result<()> {
    let mut leaving = shared.leaving.clone();
    let router = Router::new()
        .route("/v1/status", get(status))
        .route("/v1/orders", post(order))
        .route("/v1/proofs", post(proof))
        .route("/v1/handover", post(hand_over))
        .route("/v1/notices", get(notices))
        .route("/v1/logs", get(logs))
        .fallback(nowhere)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn(only_us))
        .with_state(shared)
        .into_make_service_with_connect_info::<Peer>();
    axum::serve(listener, router)
        .with_graceful_shutdown(async move {
            // An error means that the event loop is gone, which is leaving too.
            let _ = leaving.wait_for(|leaving| *leaving).await;
        })
        .await
}

/// Who is at the other end.
#[derive(Debug, Clone)]
struct Peer(Option<UCred>);

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self(stream.io().peer_cred().ok())
    }
}

/// Only the user that the supervisor runs as, and root, are answered. The socket's rights say the
/// same; this holds when somebody loosened them.
async fn only_us(
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: HttpRequest,
    next: Next,
) -> Response {
    let me = nix::unistd::geteuid().as_raw();
    match peer.0.map(|credentials| credentials.uid()) {
        Some(uid) if uid == me || uid == 0 => next.run(request).await,
        Some(_) | None => refuse(
            StatusCode::FORBIDDEN,
            Refusal {
                code: code!("control::forbidden").to_string(),
                message: "this project belongs to another user".into(),
                help: None,
                exit: 1,
            },
        ),
    }
}

fn refuse(status: StatusCode, refusal: Refusal) -> Response {
    (status, Json(refusal)).into_response()
}

fn leaving() -> Response {
    refuse(StatusCode::SERVICE_UNAVAILABLE, Refusal::leaving())
}

async fn nowhere(request: HttpRequest) -> Response {
    refuse(
        StatusCode::NOT_FOUND,
        Refusal {
            code: code!("control::unknown_path").to_string(),
            message: format!(
                "there is nothing at `{} {}`",
                request.method(),
                request.uri().path()
            ),
            help: Some("`docs/control-api.md` lists what is there".into()),
            exit: 1,
        },
    )
}

async fn wrong_method(request: HttpRequest) -> Response {
    refuse(
        StatusCode::METHOD_NOT_ALLOWED,
        Refusal {
            code: code!("control::wrong_method").to_string(),
            message: format!(
                "`{}` takes another method than {}",
                request.uri().path(),
                request.method()
            ),
            help: Some("`docs/control-api.md` lists what is there".into()),
            exit: 1,
        },
    )
}

async fn ask<T>(shared: &Shared, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
    let (sender, receiver) = oneshot::channel();
    shared.requests.send(request(sender)).ok()?;
    receiver.await.ok()
}

/// What may be asked of the status beside it.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusQuery {
    /// What the services take of the machine.
    #[serde(default)]
    usage: bool,
}

async fn status(
    State(shared): State<Shared>,
    query: Result<Query<StatusQuery>, QueryRejection>,
) -> Response {
    let usage = match query {
        Ok(Query(StatusQuery { usage })) => usage,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, logs::bad(error.body_text())),
    };
    match ask(&shared, |answer| Request::Status { usage, answer }).await {
        Some(snapshot) => Json(snapshot.status).into_response(),
        None => leaving(),
    }
}

async fn order(
    State(shared): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: HttpRequest,
) -> Response {
    // Whoever announces too much need not send it first.
    let announced = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > LARGEST_BODY as u64) {
        return unreadable(StatusCode::PAYLOAD_TOO_LARGE, "it is too large");
    }
    let body = match Bytes::from_request(request, &()).await {
        Ok(body) => body,
        Err(rejection) => return unreadable(rejection.status(), &rejection.body_text()),
    };
    let request: OrderRequest = match read(&body) {
        Ok(request) => request,
        Err(refusal) => return refusal,
    };
    let by = By::Process {
        // Without credentials nobody gets here.
        uid: peer.0.map_or(u32::MAX, |credentials| credentials.uid()),
        pid: peer.0.and_then(|credentials| credentials.pid()),
    };
    let asked = ask(&shared, |answer| {
        Request::Order(Box::new(request), by, answer)
    })
    .await;
    match asked {
        Some(Ok(reply)) => Json(reply).into_response(),
        Some(Err(refusal)) if refusal == Refusal::leaving() => leaving(),
        Some(Err(refusal)) => refuse(StatusCode::CONFLICT, refusal),
        None => leaving(),
    }
}

/// The body of an order did not come whole, or is larger than any order.
fn unreadable(status: StatusCode, reason: &str) -> Response {
    refuse(
        status,
        Refusal {
            code: code!("control::unreadable_body").to_string(),
            message: format!("the order was not read: {reason}"),
            help: Some(format!("at most {LARGEST_BODY} bytes are read")),
            exit: 1,
        },
    )
}

type Events = Pin<Box<dyn Stream<Item = Result<Event, Infallible>> + Send>>;

async fn notices(State(shared): State<Shared>) -> Response {
    let receiver = shared.notices.subscribe();
    let Some(first) = snapshot(&shared).await else {
        return leaving();
    };
    let ended = shared.leaving.clone();
    let following = Following {
        receiver,
        shared,
        ended,
        last: first.sequence,
    };
    let events = stream::iter([first]).chain(stream::unfold(following, Following::next));
    let events: Events = Box::pin(events.map(|notice| {
        let data = serde_json::to_string(&notice).unwrap_or_default();
        Ok(Event::default().event(notice.what.word()).data(data))
    }));
    Sse::new(events)
        .keep_alive(KeepAlive::new().interval(SIGN_OF_LIFE_EVERY))
        .into_response()
}

async fn logs(
    State(shared): State<Shared>,
    query: Result<Query<LogsQuery>, QueryRejection>,
) -> Response {
    let Some(present) = snapshot(&shared).await else {
        return leaving();
    };
    let News::Snapshot(status) = &present.what else {
        return leaving();
    };
    let wanted = match logs::wanted(query, status, &shared.log_dir) {
        Ok(wanted) => wanted,
        Err(refusal) => return refuse(StatusCode::BAD_REQUEST, refusal),
    };
    match logs::events(wanted, shared.leaving) {
        Ok(events) => Sse::new(events)
            .keep_alive(KeepAlive::default())
            .into_response(),
        Err(refusal) => refuse(StatusCode::SERVICE_UNAVAILABLE, refusal),
    }
}

async fn snapshot(shared: &Shared) -> Option<Notice> {
    let request = |answer| Request::Status {
        usage: false,
        answer,
    };
    let snapshot = ask(shared, request).await?;
    Some(Notice {
        sequence: snapshot.sequence,
        what: News::Snapshot(snapshot.status),
    })
}

struct Following {
    receiver: broadcast::Receiver<Notice>,
    shared: Shared,
    ended: watch::Receiver<bool>,
    last: u64,
}

impl Following {
    async fn next(mut self) -> Option<(Notice, Self)> {
        loop {
            let received = tokio::select! {
                biased;
                received = self.receiver.recv() => Some(received),
                _ = self.ended.wait_for(|leaving| *leaving) => None,
            };
            let Some(received) = received else {
                return self.end();
            };
            match received {
                // What the snapshot told already.
                Ok(notice) if notice.sequence <= self.last => {}
                Ok(notice) => {
                    self.last = notice.sequence;
                    return Some((notice, self));
                }
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    // The event loop gives no snapshot any more once it has come to its end.
                    let Some(notice) = snapshot(&self.shared).await else {
                        return self.end();
                    };
                    self.last = notice.sequence;
                    return Some((notice, self));
                }
                Err(broadcast::error::RecvError::Closed) => return self.end(),
            }
        }
    }

    /// Nothing more comes but the last notice, if this client has not heard it.
    fn end(mut self) -> Option<(Notice, Self)> {
        let last = self.shared.last.get()?.clone();
        if last.sequence <= self.last {
            return None;
        }
        self.last = last.sequence;
        Some((last, self))
    }
}
