//! The JSON Schema of a manifest, for editors: made from the same types that are parsed.

/// The schema, draft-07.
pub fn schema() -> serde_json::Value {
    todo!()
}
