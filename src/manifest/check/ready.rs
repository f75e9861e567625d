//! How a service shows that it is ready.

use std::time::Duration;

use super::probe::{self, Probes};
use super::service::Values;
use super::text::Texts;
use crate::manifest::field::Spanned;
use crate::manifest::model::{Probe, Ready};
use crate::manifest::raw;
use crate::manifest::scalars;

/// Resolves `ready`. `None` when something is wrong with the probe, which has been reported.
pub(super) fn resolve(
    written: &Spanned<raw::Ready>,
    texts: &Texts<'_>,
    values: &mut Values<'_>,
) -> Option<Ready> {
    let raw = &written.value;
    let timeout = match raw.timeout.written() {
        Some(written) => {
            let timeout = values.fit(written, "ready.timeout", scalars::Timeout::meaning);
            if timeout == Some(Some(Duration::ZERO)) {
                let help = "give the service some time, as in `60s`; `never` waits for ever";
                values.no_time(written.span, "ready.timeout", help);
            }
            timeout.flatten()
        }
        None => Some(Duration::from_secs(60)),
    };
    let interval = probe::interval(&raw.interval, "ready.interval", values);
    let probes = Probes {
        owner: "ready",
        key: written.key,
        known: "`tcp`, `http`, `unix`, `exec`, `log`, `file` or `notify`",
        tcp: &raw.tcp,
        http: &raw.http,
        unix: &raw.unix,
        exec: &raw.exec,
        log: Some(&raw.log),
        file: &raw.file,
        notify: Some(&raw.notify),
        watchdog: None,
    };
    let probe = probes.resolve(texts, values)?;
    let interval = interval.unwrap_or(match &probe {
        Probe::Http(_) | Probe::Exec { .. } => Duration::from_secs(1),
        Probe::Tcp { .. }
        | Probe::Unix { .. }
        | Probe::Log { .. }
        | Probe::File { .. }
        | Probe::Notify
        | Probe::Watchdog { .. } => Duration::from_millis(100),
    });
    Some(Ready {
        probe,
        interval,
        timeout,
    })
}
