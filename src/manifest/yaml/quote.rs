//! Texts that a reader of YAML 1.1 takes for something else.
//!
//! The writer quotes what YAML 1.2 would misread. Many readers (PyYAML, Ruby's Psych, older ones of
//! Go) still speak YAML 1.1, in which `NO` is a boolean, `22:22` is 1342 and `2026-01-01` is a date.
//! The writer cannot be told to quote a text, so such texts are put between marks, which become
//! quotes in what it has written.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};

/// Words, in any case.
const WORDS: &[&str] = &[
    "y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", "=", "<<",
];

/// Numbers (binary, octal, hexadecimal, with `_` or `,` in them, to the base 60, fractional) and
/// times; a colon first makes a symbol in Ruby.
const FORMS: &str = r"(?xi)
      ^[-+]?[0-9][0-9_,]*$
    | ^[-+]?0[bxo][0-9a-f_]+$
    | ^[-+]?[0-9][0-9_]*(:[0-9]{1,2})+(\.[0-9_]*)?$
    | ^[-+]?[0-9][0-9_,]*\.[0-9_]*(e[-+]?[0-9]+)?$
    | ^[-+]?\.[0-9][0-9_]*(e[-+]?[0-9]+)?$
    | ^[-+]?[0-9][0-9_]*e[-+]?[0-9]+$
    | ^[-+]?\.(inf|nan)$
    | ^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(([T]|[\ \t]+)[-+0-9:.Z\ \t]*)?$
    | ^:[a-z_]
";

/// Whether a reader of YAML 1.1 takes this plain text for something else.
fn is_ambiguous(text: &str) -> bool {
    #[expect(clippy::expect_used, reason = "the pattern is a constant of this file")]
    static PATTERN: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(FORMS).expect("the pattern compiles"));
    WORDS.iter().any(|word| word.eq_ignore_ascii_case(text)) || PATTERN.is_match(text)
}

/// The value with its ambiguous texts between marks, and the mark; `None` when there are none.
pub(super) fn marked(value: &Value) -> Option<(Value, char)> {
    let whole = value.to_string();
    // From the area for private use, which the writer takes for ordinary letters.
    let mark = ('\u{e000}'..='\u{f8ff}').find(|mark| !whole.contains(*mark))?;
    let mut value = value.clone();
    put(&mut value, mark).then_some((value, mark))
}

/// What was written, with quotes in place of the marks.
pub(super) fn unmarked(text: &str, mark: char) -> String {
    text.replace(mark, "'")
}

/// Puts marks around what is ambiguous; returns whether anything was.
fn put(value: &mut Value, mark: char) -> bool {
    match value {
        Value::String(text) => {
            let found = is_ambiguous(text);
            if found {
                *text = format!("{mark}{text}{mark}");
            }
            found
        }
        Value::Array(items) => items
            .iter_mut()
            .fold(false, |found, item| put(item, mark) | found),
        Value::Object(map) => {
            let mut found = false;
            let old = std::mem::take(map);
            *map = old
                .into_iter()
                .map(|(key, mut value)| {
                    found |= put(&mut value, mark);
                    if !is_ambiguous(&key) {
                        return (key, value);
                    }
                    found = true;
                    (format!("{mark}{key}{mark}"), value)
                })
                .collect::<Map<String, Value>>();
            found
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_yaml_1_1_takes_for_something_else_is_ambiguous() {
        for text in [
            "NO",
            "no",
            "Yes",
            "y",
            "N",
            "on",
            "OFF",
            "True",
            "null",
            "~",
            "Null",
            "=",
            "<<",
            "1",
            "-7",
            "+7",
            "010",
            "0o10",
            "0x1F",
            "0b101",
            "1_000",
            "1,000",
            "22:22",
            "190:20:30",
            "190:20:30.15",
            "1.5",
            "1.",
            ".5",
            "-.5e3",
            "6.8523015e+5",
            "1e5",
            ".inf",
            "-.INF",
            ".NaN",
            "2026-01-01",
            "2001-12-14t21:59:43.10-05:00",
            "2001-12-14 21:59:43.10 -5",
            ":symbol",
        ] {
            assert!(is_ambiguous(text), "{text}");
        }
        for text in [
            "",
            "none",
            "nope",
            "10s",
            "10MiB",
            "127.0.0.1",
            "127.0.0.1:8080",
            "a:b",
            "1.2.3",
            "0xzz",
            "2026-01",
            "2026-01-01-x",
            "v1",
            "node",
            "-",
            "e5",
            "::1",
        ] {
            assert!(!is_ambiguous(text), "{text}");
        }
    }

    #[test]
    fn ambiguous_texts_and_keys_are_quoted_and_nothing_else() {
        let value = json!({"no": "NO", "list": ["22:22", "x", 5, true], "private": "\u{e000}"});
        let text = super::super::print(&value).unwrap();
        assert_eq!(
            text,
            "'no': 'NO'\nlist:\n- '22:22'\n- x\n- 5\n- true\nprivate: \u{e000}\n"
        );
    }
}
