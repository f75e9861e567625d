//! What serde_yaml says: of a scalar, what it stands for; of a value, how it is written.

use serde_yaml::Value;

use super::{Meaning, quote};

/// The longest text that can stand for anything but itself: no number that a program can hold needs
/// more digits. What is longer is not worth the asking.
const LONGEST: usize = 400;

/// What a plain scalar stands for. A text that would be something else than a scalar if it stood by
/// itself is a text: the parser has seen it as one.
pub(super) fn plain_meaning(text: &str) -> Meaning {
    if text.len() > LONGEST {
        return Meaning::Text;
    }
    // Away from the first column, where `---` would begin a document.
    match serde_yaml::from_str(&format!(" {text}")) {
        Ok(Value::Null) => Meaning::Null,
        Ok(Value::Bool(bool)) => Meaning::Bool(bool),
        Ok(Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Meaning::Integer(integer),
            (None, Some(float)) => Meaning::Float(float),
            (None, None) => Meaning::Text,
        },
        Ok(Value::String(_) | Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_)) => {
            Meaning::Text
        }
        // It recognises whole numbers that its values cannot hold.
        Err(_) if is_whole(text) => text.parse().map_or(Meaning::Text, Meaning::Float),
        Err(_) => Meaning::Text,
    }
}

fn is_whole(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// A value as YAML text, which readers of YAML 1.1 understand in the same way.
///
/// # Errors
/// What the writer says. A JSON value has nothing that it could refuse.
pub fn print(value: &serde_json::Value) -> Result<String, PrintError> {
    match quote::marked(value) {
        None => serde_yaml::to_string(value).map_err(PrintError),
        Some((marked, mark)) => {
            let text = serde_yaml::to_string(&marked).map_err(PrintError)?;
            Ok(quote::unmarked(&text, mark))
        }
    }
}

/// Why a value cannot be written as YAML.
#[derive(Debug, thiserror::Error)]
#[error("cannot write YAML: {0}")]
pub struct PrintError(serde_yaml::Error);
