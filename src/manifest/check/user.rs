//! `user`: who a service runs as.

use std::collections::BTreeMap;

use super::service::Values;
use super::text::Texts;
use crate::manifest::User;
use crate::manifest::diagnostic::Diagnostic;
use crate::manifest::field::Spanned;

/// The user that is written, as far as this host knows one. What the host does not know, and what
/// the ordering user may not become, blocks the service.
pub(super) fn resolve(
    written: &Spanned<String>,
    texts: &Texts<'_>,
    find: &dyn Fn(&str) -> Option<User>,
    values: &mut Values<'_>,
) -> Option<User> {
    let what = values.what("user");
    let name = texts.expand_word(&written.value, written.span, &what, values.diagnostics)?;
    let found = find(&name);
    match &found {
        None => values.diagnostics.push(
            Diagnostic::error(
                "unknown_user",
                format!("{what} is `{name}`, whom this host does not know"),
            )
            .label(written.span, "no such user")
            .help("`getent passwd` lists the users; `useradd` makes one"),
        ),
        Some(user) if !user.may_be_become => values.diagnostics.push(
            Diagnostic::error(
                "needs_root",
                format!("{what} is `{name}`, as whom only root can start anything"),
            )
            .label(
                written.span,
                "another user than the one who gives the order",
            )
            .help("give the order as root, or as that user, or leave `user` out"),
        ),
        Some(_) => {}
    }
    found
}

/// Lets the variables that say who one is follow the user.
pub(super) fn follow(base: &mut BTreeMap<String, String>, user: &User) {
    if user.is_self {
        return;
    }
    for (name, value) in [
        ("HOME", &user.home),
        ("USER", &user.name),
        ("LOGNAME", &user.name),
        ("SHELL", &user.shell),
    ] {
        base.insert(name.to_owned(), value.clone());
    }
    // It is another user's, who alone may look into it.
    base.remove("XDG_RUNTIME_DIR");
}
