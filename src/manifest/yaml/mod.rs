//! YAML text to nodes that know where they stand, and values back to YAML text. The one module that
//! names the YAML libraries.
//!
//! There are two, each for what it is good at. serde_yaml is the authority for values: what a scalar
//! stands for is what serde_yaml takes it for ([`value`]), and what is printed is printed by it.
//! saphyr's parser is the authority for places: it is a stream of events with their positions, of
//! which `build` makes the nodes. Building them ourselves gives four things that a ready-made value
//! type does not: each scalar keeps the text that people wrote (`1.10` in an environment stays
//! `1.10`), each value keeps its place behind aliases and merge keys too, merge keys may be chained,
//! and a document that is too deep or too large is refused before it has cost anything: an alias
//! shares its node, and counts.

mod build;
mod places;
mod quote;
#[cfg(test)]
mod tests;
mod value;

use std::rc::Rc;

use super::source::Span;
use build::Weight;

pub(crate) use build::parse;
pub use value::{PrintError, print};

/// One value.
#[derive(Debug)]
pub(crate) struct Node {
    /// Where it is written. Of a block collection: its key, since the collection itself runs on
    /// into whatever white space and comments follow.
    pub(crate) span: Span,
    /// What it is.
    pub(crate) data: Data,
    weight: Weight,
}

/// What a value is.
#[derive(Debug)]
pub(crate) enum Data {
    /// One text, number, …
    Scalar(Scalar),
    /// `[a, b]`
    Sequence(Vec<Rc<Node>>),
    /// `{a: b}`; merge keys are already replaced by what they merge, keys are unique.
    Mapping(Vec<Entry>),
}

/// A scalar, as text and as what YAML 1.2 (core schema) takes it for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scalar {
    /// The text, quotes and escapes resolved.
    pub(crate) text: String,
    /// What it stands for.
    pub(crate) meaning: Meaning,
}

/// What a scalar stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Meaning {
    /// `null`, `~` or nothing at all.
    Null,
    /// `true`, `false`. `yes`, `no`, `on` and `off` are texts.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Float(f64),
    /// Anything else, and all that is quoted.
    Text,
}

/// One key of a mapping with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The key.
    pub(crate) key: String,
    /// Where the key is written.
    pub(crate) span: Span,
    /// The value.
    pub(crate) value: Rc<Node>,
}

impl Node {
    /// What people call a value of this kind.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.data {
            Data::Sequence(_) => "a list",
            Data::Mapping(_) => "a map",
            Data::Scalar(scalar) => match scalar.meaning {
                Meaning::Null => "nothing",
                Meaning::Bool(_) => "a boolean",
                Meaning::Integer(_) => "a number",
                Meaning::Float(_) => "a fractional number",
                Meaning::Text => "text",
            },
        }
    }

    /// The value of `key`, when this is a mapping that has it.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.data {
            Data::Mapping(entries) => entries.iter().find(|entry| entry.key == key),
            Data::Scalar(_) | Data::Sequence(_) => None,
        }
    }
}

impl From<&Node> for serde_json::Value {
    fn from(node: &Node) -> Self {
        match &node.data {
            Data::Sequence(items) => items.iter().map(|item| Self::from(&**item)).collect(),
            Data::Mapping(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), Self::from(&*entry.value)))
                .collect(),
            Data::Scalar(scalar) => match scalar.meaning {
                Meaning::Null => Self::Null,
                Meaning::Bool(bool) => bool.into(),
                Meaning::Integer(integer) => integer.into(),
                Meaning::Float(float) => float.into(),
                Meaning::Text => scalar.text.clone().into(),
            },
        }
    }
}
