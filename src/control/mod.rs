//! How the command line and the supervisor talk: HTTP/1.1 with JSON over a unix socket.

pub mod protocol;
