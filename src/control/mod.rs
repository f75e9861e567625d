//! How the command line and the supervisor talk: HTTP/1.1 with JSON over a unix socket.
//!
//! The supervisor answers; the command line is a client like any other, and so is
//! `curl --unix-socket`. Three things can be asked: `GET /v1/status` (`?usage=true` for what services take of the
//! machine), `POST /v1/orders`, and
//! `GET /v1/notices`, a stream of server-sent events that begins with a snapshot. A client that
//! wants to see an order through opens the stream first, gives the order, and heeds the notices
//! whose number is above the one in the reply.

pub mod client;
pub mod handshake;
pub mod protocol;
pub mod schema;
pub mod server;
