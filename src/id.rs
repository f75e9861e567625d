//! Names and numbers that identify things, each a type of its own so that they cannot be mixed up.
//!
//! A name is checked once, where it enters the program; whoever holds a [`ServiceName`] need not
//! ask again whether it is fit for a file name, a tmux target or an environment variable.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest name, in bytes. It leaves room for suffixes in file names (255) and socket paths (107).
pub const LONGEST_NAME: usize = 64;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing between the quotes.
    #[error("a name cannot be empty")]
    Empty,
    /// More than [`LONGEST_NAME`] bytes.
    #[error("a name has at most {LONGEST_NAME} characters, this one has {0}")]
    TooLong(usize),
    /// The first character is not a letter or a digit.
    #[error("a name starts with a letter or a digit, not with `{0}`")]
    BadStart(char),
    /// A character outside `A-Z a-z 0-9 . _ -`.
    #[error("a name has letters, digits, `.`, `_` and `-` only, not `{0}`")]
    BadCharacter(char),
}

fn check_name(text: &str) -> Result<(), NameError> {
    let first = text.chars().next().ok_or(NameError::Empty)?;
    if !first.is_ascii_alphanumeric() {
        return Err(NameError::BadStart(first));
    }
    if let Some(bad) = text
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
    {
        return Err(NameError::BadCharacter(bad));
    }
    if text.len() > LONGEST_NAME {
        return Err(NameError::TooLong(text.len()));
    }
    Ok(())
}

/// A name, or `template@instance`.
fn check_service_name(text: &str) -> Result<(), NameError> {
    let Some((template, instance)) = text.split_once('@') else {
        return check_name(text);
    };
    check_name(template)?;
    check_name(instance)?;
    if text.len() > LONGEST_NAME {
        return Err(NameError::TooLong(text.len()));
    }
    Ok(())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `text` and takes it as a name.
            ///
            /// # Errors
            /// [`NameError`] says which rule the text breaks.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(text))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$",
                    "maxLength": LONGEST_NAME,
                })
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

name_type! {
    /// The name of a declared service, or of an instance of a template: `template@instance`.
    ServiceName, check_service_name
}
name_type! {
    /// The name of a group of services, written `@name` wherever a service name may stand.
    GroupName, check_name
}
name_type! {
    /// The name of a project: one manifest's world.
    ProjectName, check_name
}

impl ServiceName {
    /// The name of an instance of a template.
    ///
    /// # Errors
    /// [`NameError`], of either part or of the whole.
    pub fn of_instance(template: &Self, instance: &str) -> Result<Self, NameError> {
        Self::new(format!("{template}@{instance}"))
    }

    /// The template and the instance, if it is the name of one.
    pub fn instance(&self) -> Option<(&str, &str)> {
        self.0.split_once('@')
    }
}

/// One incarnation of a service. Whatever is observed belongs to a run.
///
/// Numbers grow over the life of a project, across supervisors too, so that a late event can never
/// be taken for one of the present run.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    Default,
)]
#[serde(transparent)]
pub struct RunId(pub u64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_taken() {
        for name in ["a", "control-agent", "web.1", "A_b-9", "7890"] {
            assert_eq!(ServiceName::new(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn bad_names_say_what_is_wrong() {
        assert_eq!(ServiceName::new(""), Err(NameError::Empty));
        assert_eq!(ServiceName::new("-a"), Err(NameError::BadStart('-')));
        assert_eq!(ServiceName::new("a b"), Err(NameError::BadCharacter(' ')));
        assert_eq!(ServiceName::new("a/b"), Err(NameError::BadCharacter('/')));
        assert_eq!(ServiceName::new("é"), Err(NameError::BadStart('é')));
        assert_eq!(
            ServiceName::new("x".repeat(65)),
            Err(NameError::TooLong(65))
        );
    }

    #[test]
    fn an_instance_has_two_names_and_only_a_service_may_be_one() {
        let name = ServiceName::new("dev@repo-42").unwrap();
        assert_eq!(name.instance(), Some(("dev", "repo-42")));
        assert!(ServiceName::new("dev@").is_err());
        assert!(ServiceName::new("@repo").is_err());
        assert!(ServiceName::new("a@b@c").is_err());
        assert!(GroupName::new("a@b").is_err());
    }

    #[test]
    fn a_name_is_checked_when_it_is_read_too() {
        assert!(serde_json::from_str::<ServiceName>("\"web\"").is_ok());
        assert!(serde_json::from_str::<ServiceName>("\"../web\"").is_err());
    }
}
