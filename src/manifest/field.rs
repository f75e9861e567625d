//! What the raw form is made of: values that know where they stand, and wrong ones that do not keep
//! their neighbours from being read.
//!
//! serde stops at the first mistake. Here each value sits in a [`Field`], which turns the failure of
//! its value into [`Field::Unfit`]; the mistake has been reported by then, by the deserializer that
//! saw it pass (see [`super::deserialize`]).

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::source::{FileId, Span};

/// The name by which a [`Spanned`] asks the deserializer for its place.
pub(crate) const SPANNED: &str = "$baudbot::Spanned";
/// The name by which a [`Scalar`] asks the deserializer for the text as it is written.
pub(crate) const SCALAR: &str = "$baudbot::Scalar";

/// The name by which a type with several forms asks the deserializer for the [`Shape`] at hand.
pub(crate) const SHAPE: &str = "$baudbot::Shape";

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Nothing,
    Scalar,
    List,
    Map,
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u32::deserialize(deserializer)?;
        [Self::Nothing, Self::Scalar, Self::List, Self::Map]
            .into_iter()
            .find(|shape| *shape as u32 == number)
            .ok_or_else(|| D::Error::custom("a shape"))
    }
}

/// Implements `Deserialize` for an enum with one variant for each form that a value may have. serde's
/// `untagged` would try them one by one and say only that none of them fits.
macro_rules! read_by_shape {
    ($type:ty, $expected:literal, $($shape:ident => $variant:ident),+ $(,)?) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct ShapeVisitor;

                impl<'de> serde::de::Visitor<'de> for ShapeVisitor {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_enum<A: serde::de::EnumAccess<'de>>(
                        self,
                        access: A,
                    ) -> Result<Self::Value, A::Error> {
                        use serde::de::{Error, VariantAccess};
                        let (shape, value) = access.variant()?;
                        match shape {
                            $($crate::manifest::field::Shape::$shape => {
                                value.newtype_variant().map(<$type>::$variant)
                            })+
                            _ => Err(A::Error::custom($expected)),
                        }
                    }
                }

                deserializer.deserialize_enum($crate::manifest::field::SHAPE, &[], ShapeVisitor)
            }
        }
    };
}
pub(crate) use read_by_shape;

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spanned<T> {
    pub(crate) value: T,
    /// Where the value is written.
    pub(crate) span: Span,
    /// Where its key is written; of a value without a key: the value.
    pub(crate) key: Span,
}

/// What became of a field.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Field<T> {
    /// It is not written.
    #[default]
    Absent,
    /// It is written, and its value was reported as unfit.
    Unfit(Span),
    /// It is written.
    Written(Spanned<T>),
}

impl<T> Field<T> {
    /// The value with its place, when there is one.
    pub(crate) fn written(&self) -> Option<&Spanned<T>> {
        match self {
            Self::Written(spanned) => Some(spanned),
            Self::Absent | Self::Unfit(_) => None,
        }
    }

    /// The value, when there is one.
    pub(crate) fn value(&self) -> Option<&T> {
        self.written().map(|spanned| &spanned.value)
    }

    /// Whether nothing is written.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// A map with keys that people choose, in the order in which they wrote it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Table<T>(pub(crate) Vec<(Spanned<String>, Field<T>)>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// A text, a number or a boolean, as it is written: what `1.10` and `022` were before anyone took
/// them for numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    /// Whether YAML takes it for a text; otherwise it is a number or a boolean.
    pub(crate) is_text: bool,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_tuple_struct(SPANNED, 2, SpannedVisitor(PhantomData))? {
            Field::Written(spanned) => Ok(spanned),
            Field::Absent | Field::Unfit(_) => Err(D::Error::custom("unfit")),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple_struct(SPANNED, 2, SpannedVisitor(PhantomData))
    }
}

struct SpannedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for SpannedVisitor<T> {
    type Value = Field<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value with its place")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Field<T>, A::Error> {
        let unfit = || A::Error::custom("the place is missing");
        let [file, start, end, key_start, key_end]: [usize; 5] =
            sequence.next_element()?.ok_or_else(unfit)?;
        let span = |start, end| Span {
            file: FileId(file),
            start,
            end,
        };
        Ok(match sequence.next_element() {
            Ok(Some(value)) => Field::Written(Spanned {
                value,
                span: span(start, end),
                key: span(key_start, key_end),
            }),
            Ok(None) | Err(_) => Field::Unfit(span(start, end)),
        })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TableVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for TableVisitor<T> {
            type Value = Table<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Table<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Table(entries))
            }
        }

        deserializer.deserialize_map(TableVisitor(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;

        impl<'de> Visitor<'de> for ScalarVisitor {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, a number or a boolean")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Scalar, A::Error> {
                let missing = || A::Error::custom("half a scalar");
                Ok(Scalar {
                    is_text: sequence.next_element()?.ok_or_else(missing)?,
                    text: sequence.next_element()?.ok_or_else(missing)?,
                })
            }
        }

        deserializer.deserialize_tuple_struct(SCALAR, 2, ScalarVisitor)
    }
}

/// A field has the schema of its value: that it may be absent is said by the struct around it.
impl<T: JsonSchema> JsonSchema for Field<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<T: JsonSchema> JsonSchema for Table<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Table_of_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let values = generator.subschema_for::<T>();
        schemars::json_schema!({ "type": "object", "additionalProperties": values })
    }
}
