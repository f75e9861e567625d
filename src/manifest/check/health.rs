//! How it is found out whether a service is still well.

use std::time::Duration;

use super::probe::{self, Probes};
use super::service::Values;
use super::text::Texts;
use crate::manifest::diagnostic::Diagnostic;
use crate::manifest::field::Spanned;
use crate::manifest::model::{Health, HealthAction};
use crate::manifest::raw;

/// Resolves `health`. `None` when something is wrong with the probe, which has been reported.
pub(super) fn resolve(
    written: &Spanned<raw::Health>,
    texts: &Texts<'_>,
    values: &mut Values<'_>,
) -> Option<Health> {
    let raw = &written.value;
    let interval = probe::interval(&raw.interval, "health.interval", values);
    let timeout = raw.timeout.written().and_then(|written| {
        values.some_time(
            written,
            "health.timeout",
            "give a check some time, as in `1s`",
        )
    });
    if let Some(failures) = raw.failures.written()
        && failures.value == 0
    {
        values.diagnostics.push(
            Diagnostic::error(
                "bad_number",
                format!("{} is 0", values.what("health.failures")),
            )
            .label(failures.span, "unhealthy from the start")
            .help("it takes the number of failed checks in a row: 1 or more"),
        );
    }
    let probes = Probes {
        owner: "health",
        key: written.key,
        known: "`tcp`, `http`, `unix`, `exec`, `file` or `watchdog`",
        tcp: &raw.tcp,
        http: &raw.http,
        unix: &raw.unix,
        exec: &raw.exec,
        log: None,
        file: &raw.file,
        notify: None,
        watchdog: Some(&raw.watchdog),
    };
    if !raw.watchdog.is_absent() {
        for (name, key) in [
            ("interval", raw.interval.written().map(|one| one.key)),
            ("timeout", raw.timeout.written().map(|one| one.key)),
        ] {
            let Some(key) = key else { continue };
            let what = values.what(&format!("health.{name}"));
            values.diagnostics.push(
                Diagnostic::error(
                    "not_with_watchdog",
                    format!("{what} stands beside `watchdog`, where nothing is asked"),
                )
                .label(key, "means nothing here")
                .help("remove it: `watchdog` itself says how long the service may be silent"),
            );
        }
    }
    // Silence is no chance event: once is enough.
    let usual_failures = if raw.watchdog.is_absent() { 3 } else { 1 };
    Some(Health {
        probe: probes.resolve(texts, values)?,
        interval: interval.unwrap_or(Duration::from_secs(10)),
        timeout: timeout.unwrap_or(Duration::from_secs(5)),
        failures: raw
            .failures
            .value()
            .copied()
            .unwrap_or(usual_failures)
            .max(1),
        action: match raw.action.value() {
            None | Some(raw::HealthAction::Restart) => HealthAction::Restart,
            Some(raw::HealthAction::Report) => HealthAction::Report,
        },
    })
}
