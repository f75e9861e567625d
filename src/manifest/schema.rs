//! The JSON Schema of a manifest, for editors: made from the same types that are parsed.
//!
//! Draft-07, because that is what the YAML language servers of today understand. Every type is
//! inlined: beside a `$ref` they show the description of the type, not that of the field.

use schemars::generate::SchemaSettings;

use super::raw;

/// The schema, draft-07.
pub fn schema() -> serde_json::Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<raw::Manifest>();
    schema.insert("title".into(), "baudbot manifest, version 1".into());
    schema.into()
}

/// The schema as it is committed and printed.
pub fn schema_text() -> String {
    format!("{:#}\n", schema())
}
