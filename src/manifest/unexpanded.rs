//! `$NAME`, `$(command)` and `~/` in texts that no shell reads: they stay as they are, which is hardly
//! ever what was meant.
//!
//! Pure. It is looked for in what is written, to warn of it, and in what could not be used (a
//! directory that does not exist), to say why.

use std::ops::Range;

/// Something that only a shell expands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unexpanded {
    /// Where it stands in the text.
    pub range: Range<usize>,
    /// What to write to have it expanded, or instead.
    pub instead: String,
    /// What to write to keep it as it is, where there is a way.
    pub kept: Option<String>,
}

/// Each `$NAME` and `$(command)` of a text. `${NAME}` is expanded, `$$` stands for a `$`, and what
/// follows any other `$` is no name.
pub fn dollars(text: &str) -> impl Iterator<Item = Unexpanded> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        while let Some(found) = text[at..].find('$') {
            let start = at + found;
            let after = &text[start + 1..];
            if after.starts_with(['$', '{']) {
                at = start + 2;
                continue;
            }
            at = start + 1;
            let found = unexpanded_at(start, after);
            if found.is_some() {
                return found;
            }
        }
        None
    })
}

/// What a `$` at `start` begins, with `after` behind it.
fn unexpanded_at(start: usize, after: &str) -> Option<Unexpanded> {
    let length = after
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(after.len());
    let name = &after[..length];
    if name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return Some(Unexpanded {
            range: start..start + 1 + length,
            instead: format!("`${{{name}}}`"),
            kept: Some(format!("`$${name}`")),
        });
    }
    (after.starts_with('(') && !after.starts_with("((")).then(|| Unexpanded {
        range: start..start + 2,
        instead: "a text for a shell (`command: \"…\"`, without a list)".to_owned(),
        kept: Some("`$$(`".to_owned()),
    })
}

/// `~/`, `~` or `~USER/` at the beginning of a text.
pub fn tilde(text: &str) -> Option<Unexpanded> {
    let rest = text.strip_prefix('~')?;
    let (user, path) = match rest.split_once('/') {
        Some((user, path)) => (user, Some(path)),
        None => (rest, None),
    };
    let is_user = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let instead = match (user, path) {
        ("", None) => "`${HOME}`".to_owned(),
        ("", Some(_)) => "`${HOME}/…`".to_owned(),
        (user, Some(_)) if user.chars().all(is_user) => "the path of that home".to_owned(),
        // A text that happens to begin so.
        (_, _) => return None,
    };
    Some(Unexpanded {
        range: 0..1 + user.len() + usize::from(path.is_some()),
        instead,
        kept: None,
    })
}

/// A remark about a value that could not be used, in brackets, or nothing.
pub fn remark(text: &str) -> String {
    let Some(found) = dollars(text).next().or_else(|| tilde(text)) else {
        return String::new();
    };
    let Unexpanded { range, instead, .. } = found;
    let what = &text[range];
    format!(" (`{what}` is not expanded here: write {instead})")
}

/// Programs whose arguments are scripts in a language of their own, or are read by a shell elsewhere.
const INTERPRETERS: &[&str] = &[
    "awk", "egrep", "envsubst", "expect", "gawk", "grep", "jq", "mawk", "mysql", "nawk", "perl",
    "psql", "rg", "ruby", "sed", "sqlite3", "ssh", "tclsh", "yq",
];

/// Whether a word of an argument vector is a script, in which a `$` has a meaning: what follows an
/// option such as `-c`, `-lc` or `-e`, and whatever an interpreter is given.
pub fn is_script(words: &[&str], at: usize) -> bool {
    let before = &words[..at];
    let takes_script = before
        .last()
        .is_some_and(|option| match option.strip_prefix("--") {
            Some(long) => matches!(long, "command" | "eval" | "exec" | "execute" | "expression"),
            None => {
                option.starts_with('-')
                    && option.ends_with(['c', 'e', 'E'])
                    && option[1..].chars().all(|c| c.is_ascii_alphabetic())
            }
        });
    let is_interpreter = |word: &&str| {
        let name = word.rsplit('/').next().unwrap_or(word);
        INTERPRETERS.contains(&name)
    };
    takes_script || before.iter().any(is_interpreter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_a_shell_expands_is_found() {
        for (text, found) in [
            ("$HOME/x", Some(("$HOME", "`${HOME}`"))),
            ("a:$PATH", Some(("$PATH", "`${PATH}`"))),
            ("${A}$_b-c", Some(("$_b", "`${_b}`"))),
            (
                "$(date)",
                Some((
                    "$(",
                    "a text for a shell (`command: \"…\"`, without a list)",
                )),
            ),
            ("${A} $$B $$(c) $1 $@ $ 5$", None),
            ("$((1 + 2))", None),
            ("$$$A", Some(("$A", "`${A}`"))),
        ] {
            let seen = dollars(text).next();
            let seen = seen
                .as_ref()
                .map(|one| (&text[one.range.clone()], &*one.instead));
            assert_eq!(seen, found, "{text}");
        }
        assert_eq!(dollars("$HOME/bin:$PATH:$(x)").count(), 3);
        for (text, found) in [
            ("~", Some("`${HOME}`")),
            ("~/x", Some("`${HOME}/…`")),
            ("~bob/x", Some("the path of that home")),
            ("~bob", None),
            ("~ / x", None),
            ("x~/", None),
        ] {
            assert_eq!(
                tilde(text).map(|one| one.instead).as_deref(),
                found,
                "{text}"
            );
        }
    }

    #[test]
    fn scripts_are_told_apart_from_words() {
        for (words, is) in [
            (&["sh", "-c", "x"][..], true),
            (&["timeout", "5", "bash", "-lc", "x"], true),
            (&["node", "--eval", "x"], true),
            (&["/usr/bin/awk", "-F:", "x"], true),
            (&["ssh", "host", "x"], true),
            (&["echo", "x"], false),
            (&["sh", "script.sh", "x"], false),
            (&["web", "--config", "x"], false),
            (&["-c"], false),
        ] {
            assert_eq!(is_script(words, words.len() - 1), is, "{words:?}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_explained() {
        assert_eq!(
            remark("/p/$HOME/x"),
            " (`$HOME` is not expanded here: write `${HOME}`)"
        );
        assert_eq!(remark("/p/x"), "");
    }
}
