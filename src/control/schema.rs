//! The JSON Schema of what `status --json` prints and `GET /v1/status` answers: made from the types
//! that are printed.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::protocol::{Status, VERSION};

/// The schema, draft-07 as that of the manifest is.
pub fn status_schema() -> Value {
    let generated = SchemaSettings::draft07()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<Status>();
    let mut schema = generated.to_value();
    schema["title"] = json!(format!("baudbot status, version {VERSION}"));
    schema
}

/// The schema as it is committed and printed.
pub fn status_schema_text() -> String {
    format!("{:#}\n", status_schema())
}
