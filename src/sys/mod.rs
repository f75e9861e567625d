//! Every system call and all `unsafe` of the project.
//!
//! What lives here is *mechanism*: how a process is started so that nothing of it can be lost
//! ([`process`], [`pane`]), how it is recognised later ([`identity`], [`mark`]), how all that
//! belongs to a run is found ([`census`]) and ended ([`sweep`]), how tmux is spoken to ([`tmux`]), who holds a port ([`ports`]).
//! *When* any of it happens is decided elsewhere; nothing here knows of manifests or states.

pub mod account;
pub mod become_command;
pub mod census;
mod child;
pub mod clock;
pub mod crash;
pub mod descriptors;
pub mod detach;
pub mod directory;
pub mod escape;
pub mod fifo;
pub mod guardian;
pub mod helper;
pub mod identity;
pub mod inherited;
pub mod layers;
pub mod limits;
pub mod mark;
pub mod notify;
pub mod oom;
pub mod over;
pub mod pane;
pub mod ports;
pub mod probe;
pub mod process;
pub mod start_error;
pub mod sweep;
pub mod tmux;
pub mod trust;
pub mod usage;
mod walk;
