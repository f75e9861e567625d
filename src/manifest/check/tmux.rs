//! Names of tmux sessions.

use std::path::PathBuf;

use super::text::Texts;
use super::world::{World, kind_of};
use crate::id::ServiceName;
use crate::manifest::diagnostic::Diagnostic;
use crate::manifest::field::{Field, Spanned};
use crate::manifest::raw;
use crate::manifest::source::Span;

/// Makes a name fit for a session, as tmux itself would (it turns `.` and `:` into `_`).
pub(super) fn fit(name: &str) -> String {
    name.replace('.', "_")
}

fn is_session_text(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
        && !text.starts_with('-')
}

const CHARACTERS: &str = "the name of a session has letters, digits, `_` and `-`, and does not begin with `-`; tmux turns `.` and `:` into `_`";

/// The names of sessions that a service had once.
pub(super) fn legacy_sessions(
    raw: &raw::Service,
    service: &ServiceName,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<String> {
    written_legacy_sessions(raw)
        .map(|session| {
            session_name(session, service, diagnostics);
            session.value.clone()
        })
        .collect()
}

fn written_legacy_sessions(raw: &raw::Service) -> impl Iterator<Item = &Spanned<String>> {
    let items = raw.legacy_sessions.value().map_or(&[][..], Vec::as_slice);
    items.iter().filter_map(Field::written)
}

/// What is ended as an old name of one service is not the session of any.
pub(super) fn legacy_session_in_use(world: &World<'_>) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    for service in world.services.values() {
        let Some(raw) = service.raw else { continue };
        for legacy in written_legacy_sessions(raw) {
            let mut sessions = world.sessions.iter();
            let Some((owner, session)) = sessions.find(|(_, one)| one.name == legacy.value) else {
                continue;
            };
            let message = if *owner == service.name {
                format!(
                    "service `{owner}` would end its own session `{}`",
                    session.name
                )
            } else {
                format!(
                    "service `{}` would end the session `{}` of service `{owner}`",
                    service.name, session.name
                )
            };
            diagnostics.push(
                Diagnostic::error("legacy_session_in_use", message)
                    .label(legacy.span, "ended at each start and stop")
                    .label(session.span, format!("the session of `{owner}`"))
                    .help("`legacy_sessions` lists old names only: remove this one"),
            );
        }
    }
    diagnostics
}

/// Checks the name of a session.
pub(super) fn session_name(
    session: &Spanned<String>,
    service: &ServiceName,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let name = &session.value;
    if name.is_empty() || !is_session_text(name) {
        diagnostics.push(
            Diagnostic::error(
                "bad_session",
                format!("`{name}` cannot be the tmux session of service `{service}`"),
            )
            .label(session.span, "not the name of a session")
            .help(CHARACTERS),
        );
    }
}

/// Checks the beginning of the names of sessions, and gives it.
pub(super) fn prefix(
    prefix: &Spanned<String>,
    what: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> String {
    if !is_session_text(&prefix.value) {
        diagnostics.push(
            Diagnostic::error(
                "bad_session",
                format!(
                    "{what} is `{}`, with which no session can begin",
                    prefix.value
                ),
            )
            .label(prefix.span, "not the beginning of a session's name")
            .help(CHARACTERS),
        );
    }
    prefix.value.clone()
}

/// The socket of a tmux server that is given by its path.
pub(super) fn server_path(
    texts: &Texts<'_>,
    server: &Spanned<String>,
    what: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<PathBuf> {
    let text = &server.value;
    if !text.contains('/') && !text.contains("${") && text != "~" {
        let help = match crate::manifest::similar::nearest(text, ["private", "default"]) {
            Some(near) => format!("a server with a similar name exists: `{near}`"),
            None => "it takes `private`, `default` or the path of a socket, which holds a `/`"
                .to_owned(),
        };
        diagnostics.push(
            Diagnostic::error("bad_tmux_server", format!("`{text}` is not a {what}"))
                .label(server.span, "neither a word that is known nor a path")
                .help(help),
        );
        return None;
    }
    texts.path(text, server.span, "`tmux.server`", diagnostics)
}

/// A session belongs to one service.
pub(super) fn two_services_with_one_session(world: &World<'_>) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    let mut taken: indexmap::IndexMap<&str, (&ServiceName, Span)> = indexmap::IndexMap::new();
    for (service, session) in &world.sessions {
        match taken.get(session.name.as_str()) {
            None => {
                taken.insert(&session.name, (service, session.span));
            }
            Some((first, span)) => diagnostics.push(
                Diagnostic::error(
                    "session_clash",
                    format!(
                        "services `{first}` and `{service}` share the tmux session `{}`",
                        session.name
                    ),
                )
                .label(session.span, "again here")
                .label(*span, "first here")
                .help("give one of them another `session`"),
            ),
        }
    }
    diagnostics
}

/// Only a tmux service has a session.
pub(super) fn session_of_another_type(world: &World<'_>) -> Vec<Diagnostic> {
    world
        .services
        .values()
        .filter_map(|service| {
            let raw = service.raw?;
            let session = raw.session.written()?;
            let kind = kind_of(raw)?;
            (kind != raw::Type::Tmux).then(|| {
                Diagnostic::error(
                    "session_without_tmux",
                    format!(
                        "service `{}` has a session, but is not of type `tmux`",
                        service.name
                    ),
                )
                .label(session.key, "only for tmux services")
                .help("add `type: tmux`, or remove `session`")
            })
        })
        .collect()
}
