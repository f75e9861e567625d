//! One requirement on the environment: a variable, or several of which one is enough.
//!
//! Programs that rename a variable go on to take its old name for a while. So wherever a manifest
//! asks for a variable, it may ask for `NEW|OLD`.

use serde::{Deserialize, Serialize};

/// Variables of which at least one is asked for; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct AnyOf(Vec<String>);

impl AnyOf {
    /// The names, as they are written: with a `|` between them.
    pub fn new(text: &str) -> Self {
        Self(text.split('|').map(str::to_owned).collect())
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether one of them is set and not empty.
    pub fn is_met<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.names()
            .any(|name| value(name).is_some_and(|value| !value.is_empty()))
    }

    /// What is to be said when it is not met: `A is not set`, `none of A, B is set`.
    pub fn unmet(&self) -> String {
        match &self.0[..] {
            [name] => format!("{name} is not set"),
            names => format!("none of {} is set", names.join(", ")),
        }
    }
}

impl From<String> for AnyOf {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl From<AnyOf> for String {
    fn from(any: AnyOf) -> Self {
        any.0.join("|")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_set_and_not_empty_is_enough() {
        let value = |name: &str| match name {
            "A" => Some("x"),
            "EMPTY" => Some(""),
            _ => None,
        };
        for (text, is_met) in [
            ("A", true),
            ("B", false),
            ("EMPTY", false),
            ("B|A", true),
            ("B|EMPTY", false),
        ] {
            assert_eq!(AnyOf::new(text).is_met(value), is_met, "{text}");
        }
        assert_eq!(AnyOf::new("A").unmet(), "A is not set");
        assert_eq!(AnyOf::new("A|B").unmet(), "none of A, B is set");
    }

    #[test]
    fn it_is_written_as_it_was_read() {
        let text = serde_json::to_string(&AnyOf::new("A|B")).unwrap();
        assert_eq!(text, "\"A|B\"");
        assert_eq!(
            serde_json::from_str::<AnyOf>(&text).unwrap(),
            AnyOf::new("A|B")
        );
    }
}
