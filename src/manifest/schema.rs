//! The JSON Schema of a manifest, for editors: made from the same types that are parsed.
//!
//! Draft-07, because that is what the YAML language servers of today understand. Three things are
//! shaped for them. Every type is inlined: beside a `$ref` they show the description of the type, not
//! that of the field. A closed set of words is one `enum`: of a `oneOf` of constants they can only say
//! that none of them fits. And descriptions are one line to a paragraph, since they keep line breaks.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::source::Sources;
use super::{raw, yaml};

/// The schema, draft-07.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let generated = settings
        .into_generator()
        .into_root_schema_for::<raw::Manifest>();
    let mut generated = generated.to_value();
    polish(&mut generated);
    leave_out_of_services(&mut generated);
    let mut schema = Map::from_iter([
        ("$schema".to_owned(), generated["$schema"].clone()),
        ("title".to_owned(), json!("baudbot manifest, version 1")),
    ]);
    if let Value::Object(generated) = generated {
        for (key, value) in generated {
            schema.entry(key).or_insert(value);
        }
    }
    Value::Object(schema)
}

/// The schema as it is committed and printed.
pub fn schema_text() -> String {
    format!("{:#}\n", schema())
}

/// A YAML document as a schema sees it: as JSON, merge keys applied. `None` when it is not YAML.
pub fn document(text: &str) -> Option<Value> {
    let mut diagnostics = Vec::new();
    let file = Sources::default().add("", "");
    let node = yaml::parse(text, file, &mut diagnostics)?;
    diagnostics.is_empty().then(|| Value::from(&*node))
}

/// A template is written like a service and has more keys.
fn leave_out_of_services(schema: &mut Value) {
    let service = &mut schema["properties"]["services"]["additionalProperties"];
    if let Some(keys) = service["properties"].as_object_mut() {
        keys.shift_remove("params");
        keys.shift_remove("max_instances");
    }
}

/// Shapes a schema and all schemas in it for language servers.
fn polish(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(polish),
        Value::Object(schema) => {
            for (key, value) in schema.iter_mut() {
                // These hold values, not schemas.
                if !matches!(key.as_str(), "default" | "examples" | "enum") {
                    polish(value);
                }
            }
            if let Some(Value::String(text)) = schema.get_mut("description") {
                *text = text
                    .replace("\n\n", "\0")
                    .replace('\n', " ")
                    .replace('\0', "\n\n");
            }
            // What serde's integer and float types are called is of no use in an editor.
            if schema.get("format").is_some_and(Value::is_string) {
                schema.shift_remove("format");
            }
            constants_to_enum(schema);
            speak_for_its_forms(schema);
        }
        _ => {}
    }
}

/// Of a field that takes several forms, a hover shows the description of the form that was used and
/// not that of the field. So the forms are silent where the field speaks; what is inside of a form
/// keeps its own words.
fn speak_for_its_forms(schema: &mut Map<String, Value>) {
    if !schema.contains_key("description") {
        return;
    }
    if let Some(Value::Array(forms)) = schema.get_mut("anyOf") {
        for form in forms.iter_mut().filter_map(Value::as_object_mut) {
            form.shift_remove("description");
        }
    }
}

/// `{oneOf: [{const: a}, {const: b}]}` becomes `{enum: [a, b]}`.
fn constants_to_enum(schema: &mut Map<String, Value>) {
    let Some(Value::Array(variants)) = schema.get("oneOf") else {
        return;
    };
    let words: Option<Vec<Value>> = variants
        .iter()
        .map(|variant| variant.get("const").cloned())
        .collect();
    let Some(words) = words else { return };
    let meanings: Vec<Value> = variants
        .iter()
        .map(|variant| variant.get("description").cloned().unwrap_or_default())
        .collect();
    schema.shift_remove("oneOf");
    schema.insert("type".into(), json!("string"));
    schema.insert("enum".into(), Value::Array(words));
    // Not of JSON Schema, but what editors show beside each word.
    schema.insert("enumDescriptions".into(), Value::Array(meanings));
}

/// One text, or a list of texts, each of which matches `pattern`.
fn one_or_many(pattern: &str) -> Schema {
    schemars::json_schema!({
        "anyOf": [
            { "type": "string", "pattern": pattern, "description": "One." },
            { "type": "array", "items": { "type": "string", "pattern": pattern }, "description": "A list." }
        ]
    })
}

/// The schema of a list of paths.
pub(super) fn paths(_: &mut SchemaGenerator) -> Schema {
    one_or_many(".")
}

/// The schema of what an environment takes over.
pub(super) fn inherit(_: &mut SchemaGenerator) -> Schema {
    one_or_many(raw::INHERIT)
}

/// The schema of variables of which one is enough.
pub(super) fn alternatives(_: &mut SchemaGenerator) -> Schema {
    one_or_many(raw::ALTERNATIVES)
}

/// The schema of names of variables.
pub(super) fn variables(_: &mut SchemaGenerator) -> Schema {
    one_or_many(raw::VARIABLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls `visit` with each property of the schema: its path, its schema.
    fn each_property(schema: &Value, path: &str, visit: &mut dyn FnMut(&str, &Value)) {
        match schema {
            Value::Array(items) => {
                for item in items {
                    each_property(item, path, visit);
                }
            }
            Value::Object(object) => {
                for (key, value) in object {
                    match (key.as_str(), value) {
                        ("default" | "examples" | "enum", _) => {}
                        ("properties", Value::Object(properties)) => {
                            for (name, property) in properties {
                                let path = format!("{path}.{name}");
                                visit(&path, property);
                                each_property(property, &path, visit);
                            }
                        }
                        _ => each_property(value, path, visit),
                    }
                }
            }
            _ => {}
        }
    }

    #[test]
    fn every_field_has_a_description_a_default_and_an_example() {
        let mut seen = 0;
        each_property(&schema(), "", &mut |path, property| {
            seen += 1;
            let description = property["description"].as_str().unwrap_or_default();
            assert!(description.ends_with('.'), "{path}: {description:?}");
            assert!(!description.contains('\n'), "{path}: {description:?}");
            let says_default = property.get("default").is_some()
                || description.contains("Default: ")
                || description.starts_with("Required. ");
            assert!(says_default, "{path} has no default");
            let examples = property["examples"].as_array();
            assert!(
                examples.is_some_and(|all| !all.is_empty()),
                "{path} has no example"
            );
        });
        assert!(seen > 60, "only {seen} fields were looked at");
    }

    #[test]
    fn every_default_and_example_is_valid() {
        each_property(&schema(), "", &mut |path, property| {
            let validator = jsonschema::draft7::new(property).unwrap();
            let examples = property["examples"].as_array().unwrap();
            for value in examples.iter().chain(property.get("default")) {
                assert!(validator.is_valid(value), "{path}: {value}");
            }
        });
    }

    #[test]
    fn nothing_hides_behind_a_reference_and_nothing_may_be_null() {
        let text = schema_text();
        assert!(!text.contains("$ref"));
        assert!(!text.contains("null"));
    }
}
