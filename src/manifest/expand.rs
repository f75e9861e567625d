//! `${…}`: a pure function of a text and a scope.
//!
//! | written | stands for |
//! |---|---|
//! | `${NAME}` | the variable; unset is a mistake |
//! | `${NAME:-word}` `${NAME-word}` | the variable; the word when it is unset (with `:` also when empty) |
//! | `${NAME:+word}` `${NAME+word}` | the word when it is set (with `:` and not empty), else nothing |
//! | `${NAME:?word}` `${NAME?word}` | the variable; a mistake with this message when it is unset (empty) |
//! | `${baudbot.project}` … | what baudbot itself knows |
//! | `${instance}` `${param.NAME}` | what an instance of a template is called, and was given |
//! | `${service.export}` | what a service exports: known later, so a [placeholder](super::reference) |
//! | `$${` | `${` |
//! | `$$` | `$`; in a script `$$`, which is a shell's process number |
//!
//! Words may hold `${…}` again and are looked at only when they are used. A `$` before anything else
//! stays as it is: it belongs to the shell of a command.

use std::collections::BTreeMap;
use std::ops::Range;

use super::reference::placeholder;

/// How deep words may be nested in words.
const DEEPEST: usize = 16;
/// The longest result, in bytes: what Linux takes as one argument (`MAX_ARG_STRLEN`, execve(2)).
const LONGEST: usize = 128 * 1024;

/// Takes note of a reference: where it stands, the service and its export.
pub(crate) type Note<'a> = dyn Fn(Range<usize>, &str, &str) + 'a;

/// Takes note of a variable or a param whose value may enter the text: where it stands, and its name.
pub(crate) type NoteUse<'a> = dyn Fn(Range<usize>, &str) + 'a;

/// What `${…}` can see.
pub(crate) struct Scope<'a> {
    /// The variables that win.
    pub(crate) variables: &'a BTreeMap<String, String>,
    /// The variables behind them.
    pub(crate) fallback: &'a BTreeMap<String, String>,
    /// What stands behind `baudbot.`.
    pub(crate) facts: &'a BTreeMap<String, String>,
    /// Whether a service of this name is declared: `${db.url}` is then meant as its export.
    pub(crate) is_service: &'a dyn Fn(&str) -> bool,
    /// Where references to exports are noted; `None` where there may be none.
    pub(crate) references: Option<&'a Note<'a>>,
    /// Told of each variable and param whose value may enter the text.
    pub(crate) used: &'a NoteUse<'a>,
    /// Whether the text is a script, whose `$$` is its own.
    pub(crate) is_script: bool,
}

impl Scope<'_> {
    fn variable(&self, name: &str) -> Option<&str> {
        let given = self.facts.get(name).filter(|_| is_given(name));
        given
            .or_else(|| self.variables.get(name))
            .or_else(|| self.fallback.get(name))
            .map(String::as_str)
    }
}

/// Whether a name is that of what an instance is given.
fn is_given(name: &str) -> bool {
    name == "instance" || name.starts_with(PARAM)
}

/// What the names of params begin with.
pub(crate) const PARAM: &str = "param.";

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// Where, in bytes of the text.
    pub(crate) range: Range<usize>,
    /// What.
    pub(crate) kind: Kind,
}

/// The kinds of mistakes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A plain `${NAME}` that is unset.
    Unset(String),
    /// `${NAME:?message}`.
    Required(String, String),
    /// `${` without its `}`.
    Unclosed,
    /// Something else between the braces.
    Unknown(String),
    /// `${baudbot.x}` with an unknown `x`.
    UnknownFact(String),
    /// `${service.export}`.
    Export(String),
    /// Words in words in words.
    TooDeep,
    /// The result is too long.
    TooLong,
}

/// Replaces every `${…}` and `$$` in `text`.
///
/// # Errors
/// All mistakes of the text.
pub(crate) fn expand(text: &str, scope: &Scope<'_>) -> Result<String, Vec<Mistake>> {
    let mut expansion = Expansion {
        text,
        scope,
        mistakes: Vec::new(),
    };
    let expanded = expansion.words(0..text.len(), 0);
    if expansion.mistakes.is_empty() {
        Ok(expanded)
    } else {
        Err(expansion.mistakes)
    }
}

struct Expansion<'a> {
    text: &'a str,
    scope: &'a Scope<'a>,
    mistakes: Vec<Mistake>,
}

impl Expansion<'_> {
    fn mistake(&mut self, range: Range<usize>, kind: Kind) {
        self.mistakes.push(Mistake { range, kind });
    }

    fn words(&mut self, range: Range<usize>, depth: usize) -> String {
        let mut expanded = String::new();
        let mut at = range.start;
        while at < range.end {
            let rest = &self.text[at..range.end];
            let plain = rest.find('$').unwrap_or(rest.len());
            expanded.push_str(&rest[..plain]);
            at += plain;
            let rest = &rest[plain..];
            if let Some(behind) = rest.strip_prefix("$$") {
                let is_escape = !self.scope.is_script || behind.starts_with('{');
                expanded.push_str(if is_escape { "$" } else { "$$" });
                at += 2;
            } else if rest.starts_with("${") {
                let Some(length) = closing_brace(rest) else {
                    self.mistake(at..range.end, Kind::Unclosed);
                    return expanded;
                };
                expanded.push_str(&self.reference(at..at + length, depth));
                at += length;
            } else if !rest.is_empty() {
                expanded.push('$');
                at += 1;
            }
            if expanded.len() > LONGEST {
                self.mistake(range, Kind::TooLong);
                return String::new();
            }
        }
        expanded
    }

    /// One `${…}`, braces included.
    fn reference(&mut self, range: Range<usize>, depth: usize) -> String {
        if depth >= DEEPEST {
            self.mistake(range, Kind::TooDeep);
            return String::new();
        }
        let inner = &self.text[range.start + 2..range.end - 1];
        if let Some(dotted) = self.dotted(inner, &range) {
            return dotted;
        }
        let prefix = if inner.starts_with(PARAM) {
            PARAM.len()
        } else {
            0
        };
        let name_length = inner[prefix..]
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .map_or(inner.len(), |length| prefix + length);
        let (name, rest) = inner.split_at(name_length);
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let (counts_empty, operator) = match rest.strip_prefix(':') {
            Some(operator) => (true, operator),
            None => (false, rest),
        };
        let mut operator_chars = operator.chars();
        let kind = operator_chars.next();
        if !is_name || (!rest.is_empty() && !matches!(kind, Some('-' | '+' | '?'))) {
            self.mistake(range, Kind::Unknown(inner.to_owned()));
            return String::new();
        }
        let value = self
            .scope
            .variable(name)
            .filter(|value| !(counts_empty && value.is_empty()))
            .map(str::to_owned);
        let name = name.to_owned();
        let word = range.end - 1 - operator_chars.as_str().len()..range.end - 1;
        if kind != Some('+') {
            // Also when it is empty now: an instance may be given another value.
            (self.scope.used)(range.clone(), &name);
        }
        match (kind, value) {
            (Some('+'), Some(_)) | (Some('-'), None) => self.words(word, depth + 1),
            (Some('+'), None) => String::new(),
            (Some('?'), None) => {
                let message = self.words(word, depth + 1);
                self.mistake(range, Kind::Required(name, message));
                String::new()
            }
            (_, Some(value)) => value,
            (_, None) => {
                self.mistake(range, Kind::Unset(name));
                String::new()
            }
        }
    }

    /// `baudbot.x`, or `service.export`. The name of a service may hold a dash, which is an operator
    /// after the name of a variable; a declared service decides.
    fn dotted(&mut self, inner: &str, range: &Range<usize>) -> Option<String> {
        if let Some(fact) = inner.strip_prefix("baudbot.") {
            return Some(match self.scope.facts.get(fact) {
                Some(value) => value.clone(),
                None => {
                    self.mistake(range.clone(), Kind::UnknownFact(fact.to_owned()));
                    String::new()
                }
            });
        }
        if inner.starts_with(PARAM) {
            return None;
        }
        let (owner, export) = inner.rsplit_once('.')?;
        let is_word = |text: &str| {
            !text.is_empty()
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        };
        let is_plain_owner = owner
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
        if !is_word(owner) || !is_word(export) {
            return None;
        }
        if !is_plain_owner && !(self.scope.is_service)(owner) {
            return None;
        }
        let Some(note) = self.scope.references else {
            self.mistake(range.clone(), Kind::Export(inner.to_owned()));
            return Some(String::new());
        };
        note(range.clone(), owner, export);
        Some(placeholder(inner))
    }
}

/// The length of the `${…}` that `text` begins with, nested ones included.
fn closing_brace(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut open = 0usize;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'$' if bytes.get(at + 1) == Some(&b'$') => at += 2,
            b'$' if bytes.get(at + 1) == Some(&b'{') => {
                open += 1;
                at += 2;
            }
            b'}' => {
                open -= 1;
                at += 1;
                if open == 0 {
                    return Some(at);
                }
            }
            _ => at += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn run(text: &str) -> Result<String, Vec<Kind>> {
        run_as(text, false)
    }

    fn run_as(text: &str, is_script: bool) -> Result<String, Vec<Kind>> {
        let variables = map(&[("A", "a"), ("EMPTY", ""), ("HOME", "/service")]);
        let fallback = map(&[("HOME", "/ordering"), ("B", "b")]);
        let facts = map(&[("project", "shop")]);
        let scope = Scope {
            variables: &variables,
            fallback: &fallback,
            facts: &facts,
            is_service: &|name| name == "control-agent",
            references: None,
            used: &|_, _| {},
            is_script,
        };
        expand(text, &scope).map_err(|all| all.into_iter().map(|one| one.kind).collect())
    }

    fn ok(text: &str) -> Result<String, Vec<Kind>> {
        Ok(text.to_owned())
    }

    #[test]
    fn variables_of_the_service_win() {
        assert_eq!(run("${HOME}/${B}"), ok("/service/b"));
    }

    #[test]
    fn a_plain_dollar_belongs_to_the_shell() {
        assert_eq!(run("echo $A $1 $(date) $"), ok("echo $A $1 $(date) $"));
        assert_eq!(run("kill $$$$; $${A}"), ok("kill $$; ${A}"));
    }

    #[test]
    fn a_scripts_double_dollar_is_its_own_unless_a_brace_follows() {
        for (text, script, elsewhere) in [
            ("echo $$ > pid", "echo $$ > pid", "echo $ > pid"),
            ("$$$$", "$$$$", "$$"),
            ("$${A}", "${A}", "${A}"),
            ("$${A##*/}", "${A##*/}", "${A##*/}"),
            ("x.$$${A}", "x.$$a", "x.$a"),
            ("$$$${A}", "$$${A}", "$${A}"),
            ("${X:-$$}", "$$", "$"),
            ("${X:-$${b}}", "${b}", "${b}"),
            ("$$", "$$", "$"),
        ] {
            assert_eq!(run_as(text, true), ok(script), "{text} in a script");
            assert_eq!(run(text), ok(elsewhere), "{text} elsewhere");
        }
    }

    #[test]
    fn defaults_and_alternatives() {
        assert_eq!(run("${X:-d}${X-d}"), ok("dd"));
        assert_eq!(run("${EMPTY:-d}${EMPTY-d}"), ok("d"));
        assert_eq!(run("${A:+w}${EMPTY:+w}${EMPTY+w}${X+w}"), ok("ww"));
        assert_eq!(run("${A:?no}${EMPTY?no}"), ok("a"));
        assert_eq!(run("${X:-}"), ok(""));
    }

    #[test]
    fn words_nest_and_are_lazy() {
        assert_eq!(run("${X:-${Y:-${A}}}!"), ok("a!"));
        assert_eq!(
            run("${A:-${X}}"),
            ok("a"),
            "an unused word is not looked at"
        );
        assert_eq!(
            run("${X:-a $${b} c}"),
            ok("a ${b c}"),
            "an escaped brace does not nest"
        );
        assert_eq!(run("${X:-{x\\}}"), ok("{x\\}"));
    }

    #[test]
    fn every_mistake_is_found() {
        assert_eq!(
            run("${X} ${Y:?set ${A}} ${A//b/c} ${1} ${} ${#A} ${baudbot.x}"),
            Err(vec![
                Kind::Unset("X".into()),
                Kind::Required("Y".into(), "set a".into()),
                Kind::Unknown("A//b/c".into()),
                Kind::Unknown("1".into()),
                Kind::Unknown(String::new()),
                Kind::Unknown("#A".into()),
                Kind::UnknownFact("x".into()),
            ])
        );
        assert_eq!(run("a ${A"), Err(vec![Kind::Unclosed]));
        assert_eq!(run("${A:-${B}"), Err(vec![Kind::Unclosed]));
    }

    #[test]
    fn facts_and_exports() {
        assert_eq!(run("${baudbot.project}"), ok("shop"));
        assert_eq!(run("${db.url}"), Err(vec![Kind::Export("db.url".into())]));
        assert_eq!(
            run("${control-agent.id}"),
            Err(vec![Kind::Export("control-agent.id".into())])
        );
        assert_eq!(run("${X-other.txt}"), ok("other.txt"));
        assert_eq!(run("${X:-a.b}"), ok("a.b"));
    }

    #[test]
    fn bombs_are_bounded() {
        let deep = format!("{}{}", "${X:-".repeat(5000), "}".repeat(5000));
        assert_eq!(run(&deep), Err(vec![Kind::TooDeep]));
        let long = "${HOME}".repeat(100_000);
        assert_eq!(run(&long), Err(vec![Kind::TooLong]));
    }
}
