//! How a service shows that it is ready.

use std::time::Duration;

use super::service::Values;
use super::text::Texts;
use crate::manifest::diagnostic::Diagnostic;
use crate::manifest::field::{Field, Spanned};
use crate::manifest::model::{Probe, Ready};
use crate::manifest::raw;
use crate::manifest::scalars;
use crate::manifest::source::Span;

/// The shortest interval between two attempts.
const SHORTEST: Duration = Duration::from_millis(10);
/// The largest compiled pattern, in bytes.
const LARGEST_PATTERN: usize = 1 << 20;

/// Resolves `ready`. `None` when something is wrong with the probe, which has been reported.
pub(super) fn resolve(
    written: &Spanned<raw::Ready>,
    texts: &Texts<'_>,
    values: &mut Values<'_>,
) -> Option<Ready> {
    let raw = &written.value;
    let timeout = match raw.timeout.written() {
        Some(timeout) => values
            .fit(timeout, "ready.timeout", scalars::Timeout::meaning)
            .flatten(),
        None => Some(Duration::from_secs(60)),
    };
    let interval = raw.interval.written().and_then(|written| {
        let interval = values.fit(written, "ready.interval", scalars::Duration::meaning)?;
        if interval < SHORTEST {
            values.diagnostics.push(
                Diagnostic::error(
                    "bad_duration",
                    format!("{} is shorter than 10ms", values.what("ready.interval")),
                )
                .label(written.span, "too short")
                .help("a probe needs some time; `100ms` is often"),
            );
        }
        Some(interval)
    });
    if !has_one_probe(written, values) {
        return None;
    }
    let probe = probe(raw, texts, values)?;
    let interval = interval.unwrap_or(match &probe {
        Probe::Http { .. } | Probe::Exec { .. } => Duration::from_secs(1),
        Probe::Tcp { .. } | Probe::Unix { .. } | Probe::Log { .. } | Probe::File { .. } => {
            Duration::from_millis(100)
        }
    });
    Some(Ready {
        probe,
        interval,
        timeout,
    })
}

/// The keys of the probes that are written, unfit ones too.
fn written_probes(raw: &raw::Ready) -> Vec<(&'static str, Option<Span>)> {
    fn one<T>(name: &'static str, field: &Field<T>) -> Option<(&'static str, Option<Span>)> {
        (!field.is_absent()).then(|| (name, field.written().map(|written| written.key)))
    }
    [
        one("tcp", &raw.tcp),
        one("http", &raw.http),
        one("unix", &raw.unix),
        one("exec", &raw.exec),
        one("log", &raw.log),
        one("file", &raw.file),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn has_one_probe(written: &Spanned<raw::Ready>, values: &mut Values<'_>) -> bool {
    const PROBES: &str = "`tcp`, `http`, `unix`, `exec`, `log` or `file`";
    let probes = written_probes(&written.value);
    let what = values.what("ready");
    match probes.as_slice() {
        [(_, key)] => return key.is_some(),
        [] => values.diagnostics.push(
            Diagnostic::error("missing_probe", format!("{what} does not say what to ask"))
                .label(written.key, "no probe in it")
                .help(format!("add one of {PROBES}")),
        ),
        [first, others @ ..] => {
            let names: Vec<&str> = probes.iter().map(|(name, _)| *name).collect();
            let mut diagnostic = Diagnostic::error(
                "several_probes",
                format!(
                    "{what} has more than one probe: {}",
                    crate::manifest::similar::list(&names)
                ),
            )
            .help("keep one; an `exec` probe can ask several things");
            for (name, key) in others.iter().chain([first]) {
                if let Some(key) = key {
                    diagnostic = diagnostic.label(*key, format!("`{name}` here"));
                }
            }
            values.diagnostics.push(diagnostic);
        }
    }
    false
}

fn probe(raw: &raw::Ready, texts: &Texts<'_>, values: &mut Values<'_>) -> Option<Probe> {
    if let Some(tcp) = raw.tcp.written() {
        let what = values.what("ready.tcp");
        let text = &tcp.value.0.text;
        let text = texts.expand(text, tcp.span, &what, values.diagnostics)?;
        return match scalars::address(&text) {
            Ok((host, port)) => Some(Probe::Tcp { host, port }),
            Err(unfit) => {
                let diagnostic = values.unfit(&unfit, &text, "ready.tcp", tcp.span);
                values.diagnostics.push(diagnostic);
                None
            }
        };
    }
    if let Some(http) = raw.http.written() {
        let what = values.what("ready.http");
        let url = texts.expand(&http.value, http.span, &what, values.diagnostics)?;
        if let Err((label, help)) = check_url(&url) {
            values.diagnostics.push(
                Diagnostic::error(
                    "bad_url",
                    format!("{what} is `{url}`, which cannot be asked"),
                )
                .label(http.span, label)
                .help(help),
            );
            return None;
        }
        return Some(Probe::Http { url });
    }
    if let Some(exec) = &raw.exec.written() {
        let command = values.command(exec, "ready.exec", texts)?;
        return Some(Probe::Exec { command });
    }
    if let Some(log) = raw.log.written() {
        return pattern(log, texts, values).map(|pattern| Probe::Log { pattern });
    }
    let mut path = |field: &Field<String>, name: &str| {
        let written = field.written()?;
        let what = values.what(name);
        texts.path(&written.value, written.span, &what, values.diagnostics)
    };
    if let Some(path) = path(&raw.unix, "ready.unix") {
        return Some(Probe::Unix { path });
    }
    path(&raw.file, "ready.file").map(|path| Probe::File { path })
}

fn pattern(log: &Spanned<String>, texts: &Texts<'_>, values: &mut Values<'_>) -> Option<String> {
    let what = values.what("ready.log");
    let pattern = texts.expand(&log.value, log.span, &what, values.diagnostics)?;
    if pattern.is_empty() {
        values.diagnostics.push(
            Diagnostic::error(
                "bad_pattern",
                format!("{what} is empty, and so matches any line"),
            )
            .label(log.span, "matches any line")
            .help(
                "give it some words of the line that tells; `.` matches any line that is not empty",
            ),
        );
        return None;
    }
    let compiled = regex::RegexBuilder::new(&pattern)
        .size_limit(LARGEST_PATTERN)
        .build();
    if let Err(error) = compiled {
        // The library draws its message over several lines; the last one says what is wrong.
        let error = error.to_string();
        let reason = error.lines().last().unwrap_or_default().trim();
        let reason = reason.strip_prefix("error: ").unwrap_or(reason);
        values.diagnostics.push(
            Diagnostic::error("bad_pattern", format!("{what} is not a regular expression: {reason}"))
                .label(log.span, reason.to_owned())
                .help("a backslash takes the special meaning from a character: `\\(`, `\\[`, `\\.`; single quotes keep backslashes as they are"),
        );
        return None;
    }
    Some(pattern)
}

/// Checks that a URL can be asked: `http://host[:port][/path]`.
fn check_url(url: &str) -> Result<(), (&'static str, &'static str)> {
    let Some(rest) = url.strip_prefix("http://") else {
        let label = if url.starts_with("https://") {
            "`https` is not spoken here"
        } else {
            "does not begin with `http://`"
        };
        return Err((
            label,
            "it takes a URL that begins with `http://`; an `exec` probe can ask anything else",
        ));
    };
    let bad = |label| Err((label, "it takes `http://HOST:PORT/PATH`"));
    if url
        .chars()
        .any(|c| c.is_whitespace() || c.is_control() || !c.is_ascii())
    {
        return bad("has characters that no URL has");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return bad("has a user in it");
    }
    let is_v6 = authority.starts_with('[');
    let has_port = if is_v6 {
        authority.contains("]:")
    } else {
        authority.contains(':')
    };
    let address = if has_port {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    match scalars::address(&address) {
        Ok(_) => Ok(()),
        Err(unfit) if unfit.what == "a port" => bad("has no port that exists"),
        Err(_) => bad("has no host"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for good in [
            "http://localhost",
            "http://127.0.0.1:8080/health?x=1",
            "http://[::1]:80/",
            "http://[::1]/",
        ] {
            assert_eq!(check_url(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "localhost",
            "https://x",
            "http://",
            "http:///x",
            "http://x:0/",
            "http://x:y/",
            "http://u@x/",
            "http://a b/",
            "http://x:99999",
        ] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
    }
}
