//! What can be asked of a service, be it whether it is ready or whether it is still well.

use std::path::PathBuf;
use std::time::Duration;

use super::service::Values;
use super::text::Texts;
use crate::manifest::diagnostic::{Diagnostic, Severity};
use crate::manifest::field::{Field, Spanned};
use crate::manifest::model::{HttpProbe, Probe, Statuses};
use crate::manifest::raw;
use crate::manifest::reference;
use crate::manifest::scalars;
use crate::manifest::source::Span;

/// The shortest interval between two attempts.
const SHORTEST: Duration = Duration::from_millis(10);
/// The largest compiled pattern, in bytes.
const LARGEST_PATTERN: usize = 1 << 20;
/// What counts as a good answer where nothing is said.
const GOOD: Statuses = Statuses { from: 200, to: 399 };

/// The probes that `ready` or `health` may have, of which one is to be written.
pub(super) struct Probes<'a> {
    /// `ready` or `health`.
    pub(super) owner: &'static str,
    /// Where that is written.
    pub(super) key: Span,
    /// The keys of the probes, in words.
    pub(super) known: &'static str,
    pub(super) tcp: &'a Field<scalars::Port>,
    pub(super) http: &'a Field<raw::Http>,
    pub(super) unix: &'a Field<String>,
    pub(super) exec: &'a Field<raw::Command>,
    pub(super) log: Option<&'a Field<String>>,
    pub(super) file: &'a Field<raw::File>,
    pub(super) notify: Option<&'a Field<bool>>,
    pub(super) watchdog: Option<&'a Field<scalars::Duration>>,
}

/// The pause between two attempts, when one is written.
pub(super) fn interval(
    written: &Field<scalars::Duration>,
    field: &str,
    values: &mut Values<'_>,
) -> Option<Duration> {
    let written = written.written()?;
    let interval = values.fit(written, field, scalars::Duration::meaning)?;
    if interval < SHORTEST {
        values.diagnostics.push(
            Diagnostic::error(
                "bad_duration",
                format!("{} is shorter than 10ms", values.what(field)),
            )
            .label(written.span, "too short")
            .help("a probe needs some time; `100ms` is often"),
        );
    }
    Some(interval)
}

impl Probes<'_> {
    /// The one that is written. `None` when something is wrong with it, which has been reported.
    pub(super) fn resolve(&self, texts: &Texts<'_>, values: &mut Values<'_>) -> Option<Probe> {
        if !self.has_one(values) {
            return None;
        }
        let name = |field: &str| format!("{}.{field}", self.owner);
        if let Some(tcp) = self.tcp.written() {
            return tcp_probe(tcp, &name("tcp"), texts, values);
        }
        if let Some(http) = self.http.written() {
            return http_probe(http, &name("http"), texts, values).map(Probe::Http);
        }
        if let Some(exec) = self.exec.written() {
            let command = values.command(exec, &name("exec"), texts)?;
            return Some(Probe::Exec { command });
        }
        if let Some(log) = self.log.and_then(Field::written) {
            let what = values.what(&name("log"));
            return pattern(log, &what, texts, values).map(|pattern| Probe::Log { pattern });
        }
        if let Some(unix) = self.unix.written() {
            let what = values.what(&name("unix"));
            let path = texts.path(&unix.value, unix.span, &what, values.diagnostics)?;
            return Some(Probe::Unix { path });
        }
        if let Some(notify) = self.notify.and_then(Field::written) {
            if !notify.value {
                let what = values.what(&name("notify"));
                values.diagnostics.push(
                    Diagnostic::error("bad_notify", format!("{what} is `false`"))
                        .label(notify.span, "says nothing")
                        .help("write `true`, or leave it out"),
                );
            }
            return Some(Probe::Notify);
        }
        if let Some(watchdog) = self.watchdog.and_then(Field::written) {
            let field = name("watchdog");
            let within = values.fit(watchdog, &field, scalars::Duration::meaning)?;
            if within < SHORTEST {
                let what = values.what(&field);
                values.diagnostics.push(
                    Diagnostic::error("bad_duration", format!("{what} is shorter than 10ms"))
                        .label(watchdog.span, "too short")
                        .help("no service tells so often; `30s` is usual"),
                );
            }
            return Some(Probe::Watchdog { within });
        }
        file_probe(self.file.written()?, &name("file"), texts, values)
    }

    /// The keys of the probes that are written, unfit ones too.
    fn written(&self) -> Vec<(&'static str, Option<Span>)> {
        fn one<T>(name: &'static str, field: &Field<T>) -> Option<(&'static str, Option<Span>)> {
            (!field.is_absent()).then(|| (name, field.written().map(|written| written.key)))
        }
        [
            one("tcp", self.tcp),
            one("http", self.http),
            one("unix", self.unix),
            one("exec", self.exec),
            self.log.and_then(|log| one("log", log)),
            one("file", self.file),
            self.notify.and_then(|notify| one("notify", notify)),
            self.watchdog.and_then(|watchdog| one("watchdog", watchdog)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn has_one(&self, values: &mut Values<'_>) -> bool {
        let probes = self.written();
        let what = values.what(self.owner);
        match probes.as_slice() {
            [(_, key)] => return key.is_some(),
            [] => values.diagnostics.push(
                Diagnostic::error("missing_probe", format!("{what} does not say what to ask"))
                    .label(self.key, "no probe in it")
                    .help(format!("add one of {}", self.known)),
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
}

fn tcp_probe(
    tcp: &Spanned<scalars::Port>,
    field: &str,
    texts: &Texts<'_>,
    values: &mut Values<'_>,
) -> Option<Probe> {
    let what = values.what(field);
    let text = &tcp.value.0.text;
    let texts = texts.without_references();
    let text = texts.expand_word(text, tcp.span, &what, values.diagnostics)?;
    match scalars::address(&text) {
        Ok((host, port)) => Some(Probe::Tcp { host, port }),
        Err(unfit) => {
            let diagnostic = values.unfit(&unfit, &text, field, tcp.span);
            values.diagnostics.push(diagnostic);
            None
        }
    }
}

/// How many errors have been reported.
fn errors(values: &Values<'_>) -> usize {
    let is_error = |one: &&Diagnostic| one.severity == Severity::Error;
    values.diagnostics.iter().filter(is_error).count()
}

fn http_probe(
    http: &Spanned<raw::Http>,
    field: &str,
    texts: &Texts<'_>,
    values: &mut Values<'_>,
) -> Option<HttpProbe> {
    let raw = match &http.value {
        raw::Http::Url(url) => {
            return Some(HttpProbe {
                url: url_of(url, http.span, &values.what(field), texts, values)?,
                method: "GET".into(),
                headers: Vec::new(),
                body: None,
                status: vec![GOOD],
            });
        }
        raw::Http::Settings(settings) => settings,
    };
    let what = |name: &str, values: &Values<'_>| values.what(&format!("{field}.{name}"));
    let before = errors(values);
    if raw.url.is_absent() {
        values.diagnostics.push(
            Diagnostic::error(
                "missing_url",
                format!("{} does not say where it goes", values.what(field)),
            )
            .label(http.key, "no `url` in it")
            .help("add `url: http://HOST:PORT/PATH`"),
        );
    }
    let url = raw.url.written().and_then(|written| {
        let what = what("url", values);
        url_of(&written.value, written.span, &what, texts, values)
    });
    let body = raw.body.written().and_then(|written| {
        let what = what("body", values);
        texts.expand(&written.value, written.span, &what, values.diagnostics)
    });
    let method = match raw.method.written() {
        None if raw.body.is_absent() => "GET".to_owned(),
        None => "POST".to_owned(),
        Some(written) => method(written, &what("method", values), values),
    };
    let headers = match raw.headers.value() {
        Some(headers) => headers_of(headers, &what("headers", values), texts, values),
        None => Vec::new(),
    };
    let status: Vec<Statuses> = match raw.status.written() {
        None => vec![GOOD],
        Some(written) => {
            if written.value.is_empty() {
                values.diagnostics.push(
                    Diagnostic::error("bad_status", format!("{} is empty", what("status", values)))
                        .label(written.span, "no answer would be good")
                        .help("name the statuses that are a good answer, as in `[200-299, 429]`"),
                );
            }
            let name = format!("{field}.status");
            let items = written.value.iter().filter_map(Field::written);
            items
                .filter_map(|one| values.fit(one, &name, scalars::Status::meaning))
                .collect()
        }
    };
    (errors(values) == before).then_some(())?;
    Some(HttpProbe {
        url: url?,
        method,
        headers,
        body,
        status,
    })
}

fn method(written: &Spanned<String>, what: &str, values: &mut Values<'_>) -> String {
    let method = &written.value;
    if method.is_empty() || !method.chars().all(|c| c.is_ascii_uppercase()) {
        values.diagnostics.push(
            Diagnostic::error(
                "bad_method",
                format!("{what} is `{method}`, which is not a method of HTTP"),
            )
            .label(written.span, "not a method")
            .help("a method is written in capitals, as in `GET`, `HEAD` or `POST`"),
        );
    }
    method.clone()
}

fn headers_of(
    headers: &crate::manifest::field::Table<scalars::Variable>,
    what: &str,
    texts: &Texts<'_>,
    values: &mut Values<'_>,
) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (name, value) in &headers.0 {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+.^_`|~-".contains(c);
        if name.value.is_empty() || !name.value.chars().all(is_token) {
            values.diagnostics.push(
                Diagnostic::error(
                    "bad_header",
                    format!(
                        "{what} has `{}`, which is not the name of a header",
                        name.value
                    ),
                )
                .label(name.span, "not the name of a header")
                .help("a name has letters, digits and dashes, as in `Content-Type`"),
            );
            continue;
        }
        let Some(value) = value.written() else {
            continue;
        };
        let text = &value.value.0.text;
        let Some(text) = texts.expand_word(text, value.span, what, values.diagnostics) else {
            continue;
        };
        if text.chars().any(char::is_control) {
            values.diagnostics.push(
                Diagnostic::error(
                    "bad_header",
                    format!(
                        "{what} has a value for `{}` that no header can have",
                        name.value
                    ),
                )
                .label(value.span, "a control character")
                .help("a value is one line of text"),
            );
            continue;
        }
        found.push((name.value.clone(), text));
    }
    found
}

fn url_of(
    text: &str,
    span: Span,
    what: &str,
    texts: &Texts<'_>,
    values: &mut Values<'_>,
) -> Option<String> {
    let url = texts.expand_word(text, span, what, values.diagnostics)?;
    // Whatever a service exports, it is taken to fit.
    let example = reference::replaced(&url, |_| "1".into());
    if let Err((label, help)) = check_url(&example) {
        values.diagnostics.push(
            Diagnostic::error(
                "bad_url",
                format!("{what} is `{url}`, which cannot be asked"),
            )
            .label(span, label)
            .help(help),
        );
        return None;
    }
    Some(url)
}

fn file_probe(
    file: &Spanned<raw::File>,
    field: &str,
    texts: &Texts<'_>,
    values: &mut Values<'_>,
) -> Option<Probe> {
    let path = |text: &str, span, field: &str, values: &mut Values<'_>| {
        let what = values.what(field);
        texts.path(text, span, &what, values.diagnostics)
    };
    match &file.value {
        raw::File::Path(text) => path(text, file.span, field, values).map(without_age),
        raw::File::Settings(settings) => {
            if settings.path.is_absent() {
                values.diagnostics.push(
                    Diagnostic::error(
                        "missing_path",
                        format!("{} does not say which file", values.what(field)),
                    )
                    .label(file.key, "no `path` in it")
                    .help("add `path: PATH`"),
                );
            }
            let max_age = settings.max_age.written().and_then(|written| {
                let name = format!("{field}.max_age");
                let help = "no file is younger than that: give it some time, as in `2m`";
                values.some_time(written, &name, help)
            });
            let written = settings.path.written()?;
            let name = format!("{field}.path");
            let path = path(&written.value, written.span, &name, values)?;
            Some(Probe::File { path, max_age })
        }
    }
}

fn without_age(path: PathBuf) -> Probe {
    Probe::File {
        path,
        max_age: None,
    }
}

pub(super) fn pattern(
    log: &Spanned<String>,
    what: &str,
    texts: &Texts<'_>,
    values: &mut Values<'_>,
) -> Option<String> {
    let pattern = texts.expand(&log.value, log.span, what, values.diagnostics)?;
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
