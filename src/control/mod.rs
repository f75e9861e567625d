//! How the command line and the supervisor talk: HTTP/1.1 with JSON over a unix socket.
//!
//! The supervisor answers; the command line is a client like any other, and so is
//! `curl --unix-socket`. Four things can be asked: `GET /v1/status`
//! (`?usage=true` for what services take of the machine), `POST /v1/orders`, and two streams of
//! server-sent events, `GET /v1/notices`, which begins with a snapshot, and `GET /v1/logs`. A client that
//! wants to see an order through opens the stream first, gives the order, and heeds the notices
//! whose number is above the one in the reply.

pub mod client;
pub mod handshake;
pub mod logs;
pub mod openapi;
pub mod protocol;
pub mod schema;
pub mod server;
