//! The schema that editors use is the one that the program knows.

use baudbot::control::openapi::openapi_text;
use baudbot::control::schema::status_schema_text;
use baudbot::manifest::schema::schema_text;

#[test]
fn the_committed_schema_is_the_programs() {
    assert!(
        include_str!("../../schema/baudbot.schema.json") == schema_text(),
        "schema/baudbot.schema.json is old; make it anew: cargo run -- schema > schema/baudbot.schema.json"
    );
}

#[test]
fn the_committed_document_of_the_control_socket_is_the_programs() {
    assert!(
        include_str!("../../schema/control-api.json") == openapi_text(),
        "schema/control-api.json is old; make it anew: cargo run -- schema control-api > schema/control-api.json"
    );
}

#[test]
fn the_committed_schema_of_the_status_is_the_programs() {
    assert!(
        include_str!("../../schema/status.schema.json") == status_schema_text(),
        "schema/status.schema.json is old; make it anew: cargo run -- schema status > schema/status.schema.json"
    );
}

#[test]
fn every_field_has_a_description() {
    fn look(path: &str, schema: &serde_json::Value, missing: &mut Vec<String>) {
        if !schema.is_object() {
            return;
        }
        if let Some(properties) = schema["properties"].as_object() {
            for (name, property) in properties {
                let path = format!("{path}.{name}");
                if property["description"].as_str().is_none_or(str::is_empty) {
                    missing.push(path.clone());
                }
                look(&path, property, missing);
            }
        }
        for key in ["additionalProperties", "items"] {
            look(path, &schema[key], missing);
        }
        for choice in schema["anyOf"].as_array().into_iter().flatten() {
            look(path, choice, missing);
        }
    }
    let schema = serde_json::from_str(&schema_text()).unwrap();
    let mut missing = Vec::new();
    look("", &schema, &mut missing);
    assert_eq!(missing, [""; 0]);
}
