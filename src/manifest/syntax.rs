//! What is wrong with a text that is not YAML, in words that help.
//!
//! The parser's own messages speak of simple keys and flow sequences. People have left a quote open,
//! or begun a text with `@`.

use super::diagnostic::Diagnostic;
use super::source::Span;

/// One kind of mistake.
struct Kind {
    /// Parts of what the parser says, any of which tells this kind.
    signs: &'static [&'static str],
    message: &'static str,
    label: &'static str,
    help: &'static str,
}

/// The first that fits is taken.
const KINDS: &[Kind] = &[
    Kind {
        signs: &["tab"],
        message: "a tab indents this line",
        label: "a tab",
        help: "indent with spaces: YAML does not take tabs for indentation",
    },
    Kind {
        signs: &[
            "found unexpected end of stream",
            "unexpected document indicator",
        ],
        message: "a quote is not closed",
        label: "still open here",
        help: "close the quote; the mistake may stand far above this place",
    },
    Kind {
        signs: &["flow sequence"],
        message: "a list in brackets is not closed, or lacks a comma",
        label: "expected `,` or `]` here, or above",
        help: "a list is `[a, b]`; a text that holds `, ` or `: ` or begins with `[` or `{` needs quotes",
    },
    Kind {
        signs: &["flow mapping"],
        message: "a map in braces is not closed, or lacks a comma",
        label: "expected `,` or `}` here, or above",
        help: "a map is `{a: 1, b: 2}`; a text that holds `, ` or `: ` or begins with `[` or `{` needs quotes",
    },
    Kind {
        signs: &["unexpected character"],
        message: "a text cannot begin with this character",
        label: "not without quotes",
        help: "put the text in quotes, as in `\"@core\"`",
    },
    Kind {
        signs: &["escape", "hexadecimal number"],
        message: "an escape within double quotes is not known",
        label: "not known",
        help: "`\\\\` is a backslash; single quotes keep a backslash as it is",
    },
    Kind {
        signs: &["trailing content after double-quoted"],
        message: "there is text after a closing quote",
        label: "after the quote",
        help: "quote the whole text; within double quotes `\\\"` is a quote, within single quotes `''`",
    },
    Kind {
        signs: &[
            "did not find expected key",
            "expected '-'",
            "indentation",
            "wrongly indented",
            "block sequence entries are not allowed",
        ],
        message: "the indentation fits nothing above",
        label: "does not line up",
        help: "the lines of one map or list begin in the same column",
    },
    Kind {
        signs: &[
            "simple key",
            "placement of ':'",
            "mapping values are not allowed",
            "expected <document",
        ],
        message: "a `:` is missing, or stands where none can be",
        label: "here",
        help: "an entry is `name: value`, with a space after the `:`; a text that holds `: ` needs quotes",
    },
    Kind {
        signs: &["'-'", "':'"],
        message: "a space is missing",
        label: "a space belongs here",
        help: "an item is `- value`, an entry `name: value`, with a space",
    },
    Kind {
        signs: &["anchor or alias"],
        message: "an anchor or alias has no name",
        label: "no name",
        help: "an anchor is `&name`, an alias `*name`; a text that begins with `&` or `*` needs quotes",
    },
    Kind {
        signs: &["recursion limit"],
        message: "values are nested too deep",
        label: "too deep",
        help: "a manifest needs seven levels at most",
    },
];

/// The diagnostic for what the parser says. `span` is where it stopped, and `line` the indentation of
/// that line when there is a tab in it.
pub(super) fn error(info: &str, span: Span, tab: Option<Span>) -> Diagnostic {
    if info.contains("unknown anchor") {
        return Diagnostic::error("unknown_alias", "an alias names an anchor that does not exist")
            .label(span, "no such anchor above")
            .help("an anchor `&name` stands before its alias `*name`; a text that begins with `*` needs quotes");
    }
    let info = if tab.is_some() { "tab" } else { info };
    let kind = KINDS
        .iter()
        .find(|kind| kind.signs.iter().any(|sign| info.contains(sign)));
    match kind {
        Some(kind) => Diagnostic::error("syntax", format!("this is not YAML: {}", kind.message))
            .label(tab.unwrap_or(span), kind.label)
            .help(kind.help),
        None => Diagnostic::error("syntax", format!("this is not YAML: {info}"))
            .label(span, "here")
            .help("the mistake may stand just before this place"),
    }
}
