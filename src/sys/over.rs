//! Waiting for the end of a process that need not be our child.

use std::io;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::identity::PidFd;

/// Returns the handle when the process is over; a zombie is. A pidfd becomes readable then
/// (`pidfd_open(2)`).
///
/// # Errors
/// When the runtime cannot wait for it.
pub async fn until_over(handle: PidFd) -> io::Result<PidFd> {
    // SAFETY: a `PidFd` owns its descriptor, is one and the same descriptor all its life, and is
    // owned by the `AsyncFd` from here on.
    let handle = unsafe { AsyncFd::register_with_interest(handle, Interest::READABLE) }
        .map_err(io::Error::from)?;
    handle.readable().await.map(drop)?;
    Ok(handle.into_inner())
}
