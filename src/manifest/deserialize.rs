//! Nodes to raw types, by serde, without stopping at the first mistake.
//!
//! Three things differ from an ordinary deserializer. A mistake is reported the moment it is met,
//! with the place of the node that it is about, and what travels on as serde's error is only
//! [`Mistake::Told`]. An unknown key of a struct is reported and passed over. And a
//! [`Field`](super::field::Field), which asks for its value as the second element of a tuple struct
//! of a certain name, survives the failure of that value.

use std::cell::RefCell;
use std::fmt;

use serde::de::value::{BorrowedStrDeserializer, SeqDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::diagnostic::Diagnostic;
use super::field::{SCALAR, SHAPE, SPANNED, Shape};
use super::path::{Path, Step};
use super::similar;
use super::source::Span;
use super::yaml::{Data, Entry, Meaning, Node, Scalar};

/// Reads `node` as a `T`. Mistakes go into `diagnostics`; `None` when no `T` came of it at all.
pub(crate) fn deserialize<'de, T: de::Deserialize<'de>>(
    node: &'de Node,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<T> {
    let sink = RefCell::new(Vec::new());
    let root = Value {
        node,
        key: node.span,
        path: Path::ROOT,
        sink: &sink,
    };
    let result = root.read(|value| T::deserialize(value));
    diagnostics.append(&mut sink.into_inner());
    result.ok()
}

/// Why a value could not be read.
#[derive(Debug)]
pub(crate) enum Mistake {
    /// It has been reported.
    Told,
    /// It has not: this was expected.
    Expected(String),
    /// It has not: this word is not among those.
    UnknownWord(String, &'static [&'static str]),
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told => f.write_str("already reported"),
            Self::Expected(what) => write!(f, "expected {what}"),
            Self::UnknownWord(word, _) => write!(f, "unknown word {word}"),
        }
    }
}

impl std::error::Error for Mistake {}

impl de::Error for Mistake {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Expected(message.to_string())
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::Expected(expected.to_string())
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownWord(word.to_owned(), known)
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::Expected(expected.to_string())
    }
}

/// How many diagnostics of one document are enough: more unknown fields are passed over in silence.
const ENOUGH: usize = 1000;

type Sink = RefCell<Vec<Diagnostic>>;

/// One node, on the way to a type.
struct Value<'de, 'a> {
    node: &'de Node,
    key: Span,
    path: Path<'a>,
    sink: &'a Sink,
}

impl<'de, 'a> Value<'de, 'a> {
    /// Runs `read` and reports the mistake that comes of it, unless that was done before.
    fn read<T>(self, read: impl FnOnce(Self) -> Result<T, Mistake>) -> Result<T, Mistake> {
        let Self {
            node, path, sink, ..
        } = self;
        read(self).map_err(|mistake| {
            let diagnostic = match mistake {
                Mistake::Told => return Mistake::Told,
                Mistake::Expected(what) => wrong_type(node, &path, &what),
                Mistake::UnknownWord(word, known) => unknown_value(&word, node.span, &path, known),
            };
            sink.borrow_mut().push(diagnostic);
            Mistake::Told
        })
    }

    fn expected<T>(&self, what: &str) -> Result<T, Mistake> {
        self.sink
            .borrow_mut()
            .push(wrong_type(self.node, &self.path, what));
        Err(Mistake::Told)
    }

    fn spanned<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_seq(SpannedAccess {
            value: Some(self),
            has_place: false,
        })
    }
}

fn wrong_type(node: &Node, path: &Path<'_>, expected: &str) -> Diagnostic {
    let found = node.kind();
    if let Data::Scalar(scalar) = &node.data
        && scalar.meaning == Meaning::Null
    {
        let label = if scalar.text.is_empty() {
            "nothing follows"
        } else {
            "this is no value"
        };
        return Diagnostic::error("wrong_type", format!("{path} has no value"))
            .label(node.span, label)
            .help(help_for_nothing(path, expected));
    }
    let help = match &node.data {
        Data::Scalar(scalar) => help_for_scalar(scalar, expected),
        Data::Mapping(_) if path.is_dependency_in_list() => Some(
            "conditions stand in a map, without the `-`: `depends_on: {db: {condition: ready}}`"
                .to_owned(),
        ),
        Data::Sequence(_) | Data::Mapping(_) => None,
    };
    let help = help.unwrap_or_else(|| match expected {
        "a map" => "a map is written as indented lines of `key: value`".to_owned(),
        _ => format!("it takes {expected}"),
    });
    Diagnostic::error(
        "wrong_type",
        format!("{path} must be {expected}, not {found}"),
    )
    .label(node.span, format!("this is {found}"))
    .help(help)
}

fn help_for_nothing(path: &Path<'_>, expected: &str) -> String {
    if path.is_variable() {
        let taken = path.keys().pop().map_or_else(String::new, |name| {
            format!("`env_inherit: [{name}]` takes it over from the command that gives the order; ")
        });
        return format!("{taken}`\"\"` sets a variable to nothing; `env_unset` removes one");
    }
    match expected {
        "a map" => {
            "`{}` is a map without entries; a key that is not needed can be removed".to_owned()
        }
        _ => format!("it takes {expected}; a key that is not needed can be removed"),
    }
}

fn help_for_scalar(scalar: &Scalar, expected: &str) -> Option<String> {
    let text = &scalar.text;
    match expected {
        "text" => Some(format!("quotes make a text of it: `\"{text}\"`")),
        "a list" => Some(format!(
            "a list is written `[{text}]`, or with a line `- {text}` for each item"
        )),
        "a number" | "a whole number, not negative" if scalar.meaning == Meaning::Text => {
            let is_padded = text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
            Some(if is_padded {
                "a number does not begin with 0".to_owned()
            } else {
                "a number stands without quotes".to_owned()
            })
        }
        "`true` or `false`" if scalar.meaning == Meaning::Text => Some(
            "`true` and `false` stand without quotes; `yes`, `no`, `on` and `off` are texts"
                .to_owned(),
        ),
        // A type that is written in several forms, one of them a list.
        _ if expected.starts_with("a list of ") => Some(format!("a list is written `[{text}]`")),
        _ => None,
    }
}

impl<'de> Deserializer<'de> for Value<'de, '_> {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.read(|value| match &value.node.data {
            Data::Sequence(_) => value.sequence(visitor),
            Data::Mapping(_) => value.mapping(None, visitor),
            Data::Scalar(scalar) => match scalar.meaning {
                Meaning::Null => visitor.visit_unit(),
                Meaning::Bool(bool) => visitor.visit_bool(bool),
                Meaning::Integer(integer) => visitor.visit_i64(integer),
                Meaning::Float(float) => visitor.visit_f64(float),
                Meaning::Text => visitor.visit_borrowed_str(&scalar.text),
            },
        })
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.node.data {
            Data::Scalar(scalar) if scalar.meaning == Meaning::Text => {
                self.read(|_| visitor.visit_borrowed_str(&scalar.text))
            }
            _ => self.expected("text"),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.node.data {
            Data::Scalar(scalar) if matches!(scalar.meaning, Meaning::Bool(_)) => {
                self.deserialize_any(visitor)
            }
            _ => self.expected("`true` or `false`"),
        }
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.node.data {
            Data::Scalar(scalar) if matches!(scalar.meaning, Meaning::Integer(integer) if u32::try_from(integer).is_ok()) => {
                self.deserialize_any(visitor)
            }
            _ => self.expected("a whole number, not negative"),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.node.data {
            Data::Scalar(scalar)
                if matches!(scalar.meaning, Meaning::Integer(_) | Meaning::Float(_)) =>
            {
                self.deserialize_any(visitor)
            }
            _ => self.expected("a number"),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.node.data {
            Data::Sequence(_) => self.read(|value| value.sequence(visitor)),
            _ => self.expected("a list"),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.node.data {
            Data::Mapping(_) => self.read(|value| value.mapping(None, visitor)),
            _ => self.expected("a map"),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        match &self.node.data {
            Data::Mapping(_) => self.read(|value| value.mapping(Some(fields), visitor)),
            _ => self.expected("a map"),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        if name == SHAPE {
            return self.read(|value| visitor.visit_enum(ShapeAccess(value)));
        }
        let Data::Scalar(scalar) = &self.node.data else {
            return self.expected(&similar::one_of(variants));
        };
        if scalar.meaning == Meaning::Null {
            return self.expected(&similar::one_of(variants));
        }
        self.read(|_| visitor.visit_enum(BorrowedStrDeserializer::new(&scalar.text)))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        match (name, &self.node.data) {
            (SPANNED, _) => self.spanned(visitor),
            (SCALAR, Data::Scalar(scalar)) if scalar.meaning != Meaning::Null => {
                visitor.visit_seq(ScalarAccess {
                    is_text: Some(scalar.meaning == Meaning::Text),
                    text: Some(&scalar.text),
                })
            }
            (SCALAR, _) => self.expected("text or a number"),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u64 u128 f32 char bytes byte_buf option unit unit_struct tuple
        identifier
    }
}

fn unknown_value(text: &str, span: Span, path: &Path<'_>, known: &[&str]) -> Diagnostic {
    let help = similar::value_help(text, known);
    Diagnostic::error("unknown_value", format!("{path} cannot be `{text}`"))
        .label(span, format!("not {}", similar::one_of(known)))
        .help(help)
}

fn unknown_field(entry: &Entry, path: &Path<'_>, known: &[&str]) -> Diagnostic {
    let owner = path.owner();
    Diagnostic::error(
        "unknown_field",
        format!("unknown field `{}` {}", entry.key, owner.inside),
    )
    .label(entry.span, format!("not a field of {}", owner.what))
    .help(similar::field_help(&entry.key, path, known))
}

impl<'de, 'a> Value<'de, 'a> {
    fn sequence<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let Data::Sequence(items) = &self.node.data else {
            return self.expected("a list");
        };
        visitor.visit_seq(Items {
            items: items.iter().enumerate(),
            path: &self.path,
            sink: self.sink,
        })
    }

    fn mapping<V: Visitor<'de>>(
        self,
        fields: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let Data::Mapping(entries) = &self.node.data else {
            return self.expected("a map");
        };
        visitor.visit_map(Entries {
            all: entries,
            meant: Vec::new(),
            entries: entries.iter(),
            value: None,
            fields,
            path: &self.path,
            sink: self.sink,
        })
    }
}

struct Items<'de, 'a> {
    items: std::iter::Enumerate<std::slice::Iter<'de, std::rc::Rc<Node>>>,
    path: &'a Path<'a>,
    sink: &'a Sink,
}

impl<'de> de::SeqAccess<'de> for Items<'de, '_> {
    type Error = Mistake;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Mistake> {
        let Some((index, node)) = self.items.next() else {
            return Ok(None);
        };
        let value = Value {
            node,
            key: node.span,
            path: self.path.join(Step::Index(index)),
            sink: self.sink,
        };
        value.read(|value| seed.deserialize(value)).map(Some)
    }
}

struct Entries<'de, 'a> {
    all: &'de [Entry],
    /// Fields that were taken to be meant by unknown keys.
    meant: Vec<&'static str>,
    entries: std::slice::Iter<'de, Entry>,
    value: Option<(&'de str, &'de Entry)>,
    fields: Option<&'static [&'static str]>,
    path: &'a Path<'a>,
    sink: &'a Sink,
}

impl<'de> de::MapAccess<'de> for Entries<'de, '_> {
    type Error = Mistake;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Mistake> {
        while let Some(entry) = self.entries.next() {
            let Some(name) = self.known(entry) else {
                continue;
            };
            self.value = Some((name, entry));
            return seed.deserialize(Key { name, entry }).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mistake> {
        let Some((name, entry)) = self.value.take() else {
            return Err(de::Error::custom("a value before its key"));
        };
        let value = Value {
            node: &entry.value,
            key: entry.span,
            path: self.path.join(Step::Key(name)),
            sink: self.sink,
        };
        value.read(|value| seed.deserialize(value))
    }
}

impl<'de> Entries<'de, '_> {
    /// The field that a key stands for. An unknown one is reported, and then read as the field that
    /// was meant, where that can be told: so its value is checked too, and the field is not missed.
    fn known(&mut self, entry: &'de Entry) -> Option<&'de str> {
        let key = entry.key.as_str();
        let Some(fields) = self.fields else {
            return Some(key);
        };
        if fields.contains(&key) {
            return Some(key);
        }
        if self.path.is_root() && key.starts_with("x-") {
            return None;
        }
        if self.sink.borrow().len() >= ENOUGH {
            return None;
        }
        let diagnostic = unknown_field(entry, self.path, fields);
        self.sink.borrow_mut().push(diagnostic);
        let meant = similar::meant(key, fields)?;
        let is_written = self.all.iter().any(|other| other.key == meant);
        if is_written || self.meant.contains(&meant) {
            return None;
        }
        self.meant.push(meant);
        Some(meant)
    }
}

/// A key, on the way to a text with its place, or to the name of a field.
struct Key<'de> {
    name: &'de str,
    entry: &'de Entry,
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_borrowed_str(self.name)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        if name != SPANNED {
            return self.deserialize_any(visitor);
        }
        visitor.visit_seq(KeyAccess {
            key: Some(self),
            has_place: false,
        })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple map struct enum identifier ignored_any
    }
}

fn place(span: Span, key: Span) -> SeqDeserializer<std::array::IntoIter<usize, 5>, Mistake> {
    SeqDeserializer::new([span.file.0, span.start, span.end, key.start, key.end].into_iter())
}

struct KeyAccess<'de> {
    key: Option<Key<'de>>,
    has_place: bool,
}

impl<'de> de::SeqAccess<'de> for KeyAccess<'de> {
    type Error = Mistake;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Mistake> {
        if !self.has_place
            && let Some(key) = &self.key
        {
            self.has_place = true;
            return seed
                .deserialize(place(key.entry.span, key.entry.span))
                .map(Some);
        }
        match self.key.take() {
            Some(key) => seed.deserialize(key).map(Some),
            None => Ok(None),
        }
    }
}

/// First the place, then the value: whose failure is reported here, before it is swallowed.
struct SpannedAccess<'de, 'a> {
    value: Option<Value<'de, 'a>>,
    has_place: bool,
}

impl<'de> de::SeqAccess<'de> for SpannedAccess<'de, '_> {
    type Error = Mistake;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Mistake> {
        if !self.has_place {
            self.has_place = true;
            let Some(value) = &self.value else {
                return Ok(None);
            };
            return seed
                .deserialize(place(value.node.span, value.key))
                .map(Some);
        }
        match self.value.take() {
            Some(value) => value.read(|value| seed.deserialize(value)).map(Some),
            None => Ok(None),
        }
    }
}

/// What a value looks like; then the value itself, read as the type that this shape calls for.
struct ShapeAccess<'de, 'a>(Value<'de, 'a>);

impl<'de, 'a> de::EnumAccess<'de> for ShapeAccess<'de, 'a> {
    type Error = Mistake;
    type Variant = Shaped<'de, 'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self::Variant), Mistake> {
        let shape = match &self.0.node.data {
            Data::Scalar(scalar) if scalar.meaning == Meaning::Null => Shape::Nothing,
            Data::Scalar(_) => Shape::Scalar,
            Data::Sequence(_) => Shape::List,
            Data::Mapping(_) => Shape::Map,
        };
        let shape = seed.deserialize((shape as u32).into_deserializer())?;
        Ok((shape, Shaped(self.0)))
    }
}

struct Shaped<'de, 'a>(Value<'de, 'a>);

impl<'de> de::VariantAccess<'de> for Shaped<'de, '_> {
    type Error = Mistake;

    fn unit_variant(self) -> Result<(), Mistake> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Mistake> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Mistake> {
        self.0.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        self.0.deserialize_struct("", fields, visitor)
    }
}

struct ScalarAccess<'de> {
    is_text: Option<bool>,
    text: Option<&'de str>,
}

impl<'de> de::SeqAccess<'de> for ScalarAccess<'de> {
    type Error = Mistake;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Mistake> {
        if let Some(is_text) = self.is_text.take() {
            return seed.deserialize(is_text.into_deserializer()).map(Some);
        }
        match self.text.take() {
            Some(text) => seed
                .deserialize(BorrowedStrDeserializer::new(text))
                .map(Some),
            None => Ok(None),
        }
    }
}
