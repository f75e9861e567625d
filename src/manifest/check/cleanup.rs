//! Rules about how the last of a service is found and ended.

use super::world::{World, WrittenCleanup, kind_of, memberships};
use crate::id::ServiceName;
use crate::manifest::diagnostic::Diagnostic;
use crate::manifest::field::{Field, Spanned};
use crate::manifest::model::Cleanup;
use crate::manifest::raw::{self, Strategy};
use crate::manifest::source::Span;

/// What is written, reduced to what counts: the strategy and its prefix.
fn strategy(cleanup: &raw::Cleanup) -> Option<(Strategy, &Field<String>)> {
    match cleanup {
        raw::Cleanup::Word(word) => Some((*word, &Field::Absent)),
        raw::Cleanup::Settings(settings) => Some((*settings.strategy.value()?, &settings.prefix)),
    }
}

/// The prefix that is written, when the strategy is `tmux-prefix`.
fn written_prefix(cleanup: &raw::Cleanup) -> Option<&Spanned<String>> {
    match strategy(cleanup)? {
        (Strategy::TmuxPrefix, prefix) => prefix.written(),
        (Strategy::Pgid, _) => None,
    }
}

/// The meaning of a written cleanup for a service with this session; `None` when it is incomplete,
/// which has been or will be reported.
pub(super) fn resolve(
    cleanup: &raw::Cleanup,
    session: Option<&str>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Cleanup> {
    match strategy(cleanup)? {
        (Strategy::Pgid, _) => Some(Cleanup::Pgid),
        (Strategy::TmuxPrefix, Field::Written(prefix)) => {
            if prefix.value.is_empty() {
                return None;
            }
            Some(Cleanup::TmuxPrefix {
                prefix: super::tmux::prefix(prefix, "a cleanup prefix", diagnostics),
                exact: false,
            })
        }
        (Strategy::TmuxPrefix, _) => session.map(|session| Cleanup::TmuxPrefix {
            prefix: session.to_owned(),
            exact: true,
        }),
    }
}

/// A service takes the cleanup of its groups only when they agree.
pub(super) fn groups_disagree(world: &World<'_>) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    for service in world.services.values() {
        let Some(raw) = service.raw else { continue };
        if !raw.cleanup.is_absent() {
            continue;
        }
        let mut first: Option<(&str, &Spanned<raw::Cleanup>)> = None;
        for (name, _) in memberships(service.raw) {
            let Some(cleanup) = world
                .groups
                .get(name)
                .and_then(|group| group.raw?.cleanup.written())
            else {
                continue;
            };
            let Some((first_name, first_cleanup)) = first else {
                first = Some((name, cleanup));
                continue;
            };
            if is_same(&first_cleanup.value, &cleanup.value) {
                continue;
            }
            diagnostics.push(
                Diagnostic::error(
                    "cleanup_clash",
                    format!(
                        "service `{}` is in groups `{first_name}` and `{name}`, which disagree on cleanup",
                        service.name
                    ),
                )
                .label(service.key, "a member of both")
                .label(first_cleanup.key, format!("so says `{first_name}`"))
                .label(cleanup.key, format!("so says `{name}`"))
                .help(format!("give `{}` a `cleanup` of its own", service.name)),
            );
        }
    }
    diagnostics
}

fn is_same(a: &raw::Cleanup, b: &raw::Cleanup) -> bool {
    match (strategy(a), strategy(b)) {
        (Some((one, first)), Some((other, second))) => {
            one == other && first.value() == second.value()
        }
        // Something unfit is in it, which has been reported.
        _ => true,
    }
}

/// `tmux-prefix` has a prefix that is not empty; `pgid` has none.
pub(super) fn prefix_is_missing(world: &World<'_>) -> Vec<Diagnostic> {
    let of_groups = world.groups.values().filter_map(|group| {
        let cleanup = group.raw?.cleanup.written()?;
        Some((cleanup, format!("group `{}`", group.name), false))
    });
    let of_services = world.services.values().filter_map(|service| {
        let raw = service.raw?;
        let is_tmux = kind_of(raw).is_none_or(|kind| kind == raw::Type::Tmux);
        let cleanup = raw.cleanup.written()?;
        Some((cleanup, format!("service `{}`", service.name), is_tmux))
    });
    of_groups
        .chain(of_services)
        .filter_map(|(cleanup, owner, has_session)| prefix_of(cleanup, &owner, has_session))
        .collect()
}

fn prefix_of(
    cleanup: &Spanned<raw::Cleanup>,
    owner: &str,
    has_session: bool,
) -> Option<Diagnostic> {
    match &cleanup.value {
        raw::Cleanup::Settings(settings) if settings.strategy.is_absent() => Some(
            Diagnostic::error("missing_strategy", format!("the cleanup of {owner} has no strategy"))
                .label(cleanup.key, "no `strategy` in it")
                .help("add `strategy: tmux-prefix` or `strategy: pgid`"),
        ),
        other => match strategy(other)? {
            (Strategy::TmuxPrefix, Field::Written(prefix)) if prefix.value.is_empty() => Some(
                Diagnostic::error(
                    "empty_prefix",
                    format!("the cleanup of {owner} has an empty prefix, which every session begins with"),
                )
                .label(prefix.span, "matches every session")
                .help("give it what the names of the sessions begin with, or leave it out for the service's own session"),
            ),
            (Strategy::TmuxPrefix, Field::Absent) if !has_session => Some(
                Diagnostic::error("missing_prefix", format!("the cleanup of {owner} has no prefix"))
                    .label(cleanup.span, "which sessions, is not said")
                    .help("add `prefix`: what the names of the sessions begin with"),
            ),
            (Strategy::Pgid, Field::Written(prefix)) => Some(
                Diagnostic::error(
                    "prefix_without_tmux",
                    format!("the cleanup of {owner} has a prefix, but goes by process group"),
                )
                .label(prefix.key, "only for `tmux-prefix`")
                .help("use `strategy: tmux-prefix`, or remove the prefix"),
            ),
            _ => None,
        },
    }
}

/// A prefix takes no session along that belongs to another service.
pub(super) fn prefix_takes_foreign_sessions(world: &World<'_>) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    for service in world.services.values() {
        let Some(prefix) = service
            .raw
            .and_then(|raw| written_prefix(&raw.cleanup.written()?.value))
        else {
            continue;
        };
        let owner = format!("service `{}`", service.name);
        diagnostics.extend(foreign(world, prefix, &owner, |other| {
            *other == service.name
        }));
    }
    for group in world.groups.values() {
        let Some(prefix) = group
            .raw
            .and_then(|raw| written_prefix(&raw.cleanup.written()?.value))
        else {
            continue;
        };
        let owner = format!("group `{}`", group.name);
        diagnostics.extend(foreign(world, prefix, &owner, |other| {
            world.is_member(other, group.name.as_str())
        }));
    }
    diagnostics
}

/// One diagnostic for a prefix, however many sessions it takes along.
fn foreign(
    world: &World<'_>,
    prefix: &Spanned<String>,
    owner: &str,
    is_own: impl Fn(&ServiceName) -> bool,
) -> Option<Diagnostic> {
    const MOST_LABELS: usize = 5;
    if prefix.value.is_empty() {
        return None;
    }
    let taken: Vec<_> = world
        .sessions
        .iter()
        .filter(|(service, session)| {
            session.name.starts_with(prefix.value.as_str()) && !is_own(service)
        })
        .take(MOST_LABELS)
        .collect();
    let (service, session) = taken.first()?;
    let mut diagnostic = Diagnostic::error(
        "foreign_session",
        format!(
            "the cleanup of {owner} would end the session `{}` of service `{service}`",
            session.name
        ),
    )
    .label(prefix.span, format!("`{}` begins with this", session.name))
    .help("make the prefix longer, or give the other service another `session`");
    for (service, session) in taken {
        diagnostic = diagnostic.label(session.span, format!("the session of `{service}`"));
    }
    Some(diagnostic)
}

/// The prefix of a tmux service matches its own session.
pub(super) fn prefix_misses_own_session(world: &World<'_>) -> Vec<Diagnostic> {
    each_tmux_service(world)
        .filter_map(|(name, session, _, cleanup)| {
            let prefix = written_prefix(&cleanup.cleanup.value)?;
            let is_missed = !prefix.value.is_empty() && !session.starts_with(prefix.value.as_str());
            is_missed.then(|| {
                Diagnostic::error(
                    "prefix_misses_session",
                    format!("the cleanup of service `{name}` does not match its own session `{session}`"),
                )
                .label(prefix.span, format!("`{session}` does not begin with this"))
                .help("leave the prefix out for the service's own session, or give it what that begins with")
            })
        })
        .collect()
}

/// A session is not in the process group of whoever asked for it.
pub(super) fn process_group_of_a_session(world: &World<'_>) -> Vec<Diagnostic> {
    each_tmux_service(world)
        .filter_map(|(name, _, key, written)| {
            let (Strategy::Pgid, _) = strategy(&written.cleanup.value)? else {
                return None;
            };
            let diagnostic = Diagnostic::error(
                "pgid_on_tmux",
                format!("service `{name}` runs in a tmux session, which no process group reaches"),
            )
            .label(written.cleanup.span, "only finds process groups");
            Some(match written.group {
                None => diagnostic.help("leave `cleanup` out: its own session is the default"),
                Some(group) => diagnostic
                    .label(key, format!("a member of `{group}`"))
                    .help(format!(
                        "give `{name}` a cleanup of its own: `cleanup: tmux-prefix`"
                    )),
            })
        })
        .collect()
}

fn each_tmux_service<'a>(
    world: &'a World<'a>,
) -> impl Iterator<Item = (&'a ServiceName, &'a str, Span, WrittenCleanup<'a>)> {
    world.sessions.iter().filter_map(|(name, session)| {
        let service = world.services.get(name)?;
        let cleanup = world.written_cleanup(service)?;
        Some((name, session.name.as_str(), service.key, cleanup))
    })
}
