//! Values that another party gives: what a service exports, and what an instance is given as a param.
//!
//! Wherever one stands in a word, a variable or a path it is data, whatever it holds. In a script it
//! would be code: who writes the file of an export would decide what the service executes. No quoting
//! is right at every place of a script (within quotes, in a here-document, after a `#`), so such a
//! value is refused in scripts, and reaches them through the environment.

use std::collections::BTreeMap;
use std::ops::Range;

use super::text::Texts;
use crate::manifest::diagnostic::Diagnostic;
use crate::manifest::reference::placeholder;
use crate::manifest::source::Span;

/// Variables that hold such a value, and where it comes from: `service.export` or `param.NAME`.
pub(crate) type Given = BTreeMap<String, String>;

/// No variable holds one.
pub(crate) static NOTHING: Given = Given::new();

/// Such a value in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GivenValue {
    /// Where, in bytes of the text.
    pub(crate) range: Range<usize>,
    /// `service.export` or `param.NAME`.
    pub(crate) origin: String,
    /// The variable through which it comes, if it is not named itself.
    pub(crate) variable: Option<String>,
}

/// A script, as it is written.
#[derive(Clone, Copy)]
pub(super) struct Script<'a> {
    pub(super) text: &'a str,
    pub(super) span: Span,
    /// Whether a shell reads it.
    pub(super) is_of_shell: bool,
}

/// The param that a text names, if any: `param.NAME`.
pub(super) fn param_in(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("${param.")?;
    let is_name = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    let name: String = rest.chars().take_while(is_name).collect();
    Some(format!("param.{name}"))
}

/// The diagnostic for a value that another party gives, in a script. `what` names the place.
pub(super) fn in_script(
    value: &GivenValue,
    script: Script<'_>,
    what: &str,
    texts: &Texts<'_>,
) -> Diagnostic {
    let reference = &script.text[value.range.clone()];
    let (origin, holds) = (
        &value.origin,
        match &value.variable {
            Some(_) => format!(", which comes from `${{{}}}`,", value.origin),
            None => String::new(),
        },
    );
    let reader = if script.is_of_shell {
        "a shell"
    } else {
        "the program"
    };
    let read = |name: &str| match script.is_of_shell {
        true => format!("write `\"${name}\"` here"),
        false => format!("let the script read the variable `{name}`"),
    };
    let known = value
        .variable
        .as_deref()
        .or_else(|| variable_with(origin, texts));
    let help = match known {
        Some(name) => format!("`{name}` is in the environment already: {}", read(name)),
        None => {
            let name = variable_for(origin);
            let is_plain = !reference.contains(['"', '\\', '\n']);
            let whole = format!("${{{origin}}}");
            let written = if is_plain { reference } else { &whole };
            format!(
                "put it into `env`, as in `env: {{{name}: \"{written}\"}}`, and {}",
                read(&name)
            )
        }
    };
    Diagnostic::error(
        "value_in_script",
        format!("{what} puts the value of `{reference}`{holds} into a script"),
    )
    .label(
        texts.span_of(&value.range, script.text, script.span),
        format!("{reader} would read the value as code"),
    )
    .help(help)
}

/// The variable that holds the value and nothing else.
fn variable_with<'a>(origin: &str, texts: &Texts<'a>) -> Option<&'a str> {
    let exported = placeholder(origin);
    let value = texts.facts.get(origin).unwrap_or(&exported);
    let is_it = |name: &&String| texts.variables.get(*name) == Some(value);
    let mut names = texts.given.iter().filter(|(_, from)| *from == origin);
    names.find_map(|(name, _)| Some(name).filter(is_it).map(String::as_str))
}

/// A variable for the value: `agent.session-id` gives `AGENT_SESSION_ID`.
fn variable_for(origin: &str) -> String {
    let name: String = origin
        .chars()
        .map(|c| match c.is_ascii_alphanumeric() {
            true => c.to_ascii_uppercase(),
            false => '_',
        })
        .collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        format!("_{name}")
    } else {
        name
    }
}

/// The first `$$NAME` or `$$(` of a script: a reader of compose files means `$NAME` by it, and a shell
/// reads its process number and `NAME`.
pub(super) fn doubled_dollar(text: &str) -> Option<Range<usize>> {
    let mut at = 0;
    while let Some(found) = text[at..].find("$$") {
        let start = at + found;
        let after = &text[start + 2..];
        if after.starts_with(|c: char| c.is_ascii_alphabetic() || c == '(') {
            let length = after
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .unwrap_or(after.len());
            return Some(start..start + 2 + length.max(1));
        }
        at = start + 2;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_a_variable_of_its_own() {
        assert_eq!(variable_for("agent.session-id"), "AGENT_SESSION_ID");
        assert_eq!(variable_for("param.path"), "PARAM_PATH");
        assert_eq!(variable_for("9p.id"), "_9P_ID");
    }

    #[test]
    fn a_doubled_dollar_before_a_name_is_found() {
        for (text, found) in [
            ("echo $$HOME", Some("$$HOME")),
            ("x $$(date)", Some("$$(")),
            ("kill $$; $${A} $$$$ $$_x /tmp/$$.1 $", None),
        ] {
            let seen = doubled_dollar(text).map(|range| &text[range]);
            assert_eq!(seen, found, "{text}");
        }
    }
}
