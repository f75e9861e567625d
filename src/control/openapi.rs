//! The control socket as an OpenAPI document: its shapes are made from the types that are sent.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::protocol::{
    HandOverReply, HandOverRequest, LogLine, LogsQuery, Notice, OrderReply, OrderRequest, Proof,
    ProofRequest, Refusal, Status,
};

/// Where the document keeps its shapes.
const DEFINITIONS: &str = "/components/schemas";

/// The document, OpenAPI 3.1.
pub fn openapi() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = DEFINITIONS.into();
    settings.meta_schema = None;
    let mut sent = settings.clone().for_serialize().into_generator();
    let mut taken = settings.for_deserialize().into_generator();
    let paths = json!({
        "/v1/status": { "get": {
            "summary": "What runs, what does not, and why",
            "parameters": [query("usage", &json!({ "type": "boolean", "default": false }),
                "Whether to find out what the services take of the machine")],
            "responses": answers(&mut sent, "The present state", &json_body::<Status>, &["400", "503"]),
        }},
        "/v1/orders": { "post": {
            "summary": "Brings services up, takes them down, gives them a new run",
            "description": "An order is checked whole: a refused one changes nothing. The answer comes as soon as it is taken; what becomes of it is told by `/v1/notices` after `sequence`.",
            "requestBody": { "required": true, "content": json_body::<OrderRequest>(&mut taken) },
            "responses": answers(&mut sent, "The order is taken, or planned with `dry_run`",
                &json_body::<OrderReply>, &["400", "409", "413", "503"]),
        }},
        "/v1/proofs": { "post": {
            "summary": "Looks for whatever is left of services that were stopped",
            "requestBody": { "required": true, "content": json_body::<ProofRequest>(&mut taken) },
            "responses": answers(&mut sent, "What was verified, and what is still there",
                &json_body::<Proof>, &["400", "503"]),
        }},
        "/v1/handover": { "post": {
            "summary": "Lets another supervisor, run by this program, take over; services do not notice",
            "requestBody": { "required": true, "content": json_body::<HandOverRequest>(&mut taken) },
            "responses": answers(&mut sent, "It is about to take over",
                &json_body::<HandOverReply>, &["400", "409", "503"]),
        }},
        "/v1/notices": { "get": {
            "summary": "All services now, then whatever changes, as server-sent events",
            "description": "Each `data` is a Notice. The events are `snapshot` (the first, and again for a client that fell behind), `service` and `finished`.",
            "responses": answers(&mut sent, "A stream that ends when the supervisor leaves",
                &event_body::<Notice>, &["503"]),
        }},
        "/v1/logs": { "get": {
            "summary": "What services printed, merged by time, as server-sent events",
            "description": "Each event is a `line`, its `data` a LogLine.",
            "parameters": parameters::<LogsQuery>(),
            "responses": answers(&mut sent, "A stream that ends with the last line, or never when that is followed",
                &event_body::<LogLine>, &["400", "503"]),
        }},
    });
    let mut schemas = taken.take_definitions(true);
    schemas.extend(sent.take_definitions(true));
    schemas.sort_keys();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "baudbot control socket",
            "version": "1",
            "description": "HTTP/1.1 with JSON over a unix socket that only its user and root are answered on. Fields may be added, never changed.",
        },
        "servers": [{ "url": "http://baudbot", "description": "The host's name means nothing: the socket is the server" }],
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

/// The document as it is committed and printed.
pub fn openapi_text() -> String {
    format!("{:#}\n", openapi())
}

fn json_body<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    json!({ "application/json": { "schema": generator.subschema_for::<T>() } })
}

fn event_body<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    // A stream of events is a text; what stands behind each `data:` in it is the JSON of the shape.
    json!({ "text/event-stream": {
        "schema": { "type": "string" },
        "x-event-data": generator.subschema_for::<T>(),
    } })
}

fn answers(
    generator: &mut SchemaGenerator,
    description: &str,
    body: &dyn Fn(&mut SchemaGenerator) -> Value,
    refusals: &[&str],
) -> Value {
    let mut answers = Map::new();
    let good = json!({ "description": description, "content": body(generator) });
    answers.insert("200".into(), good);
    for status in refusals.iter().chain(&["403", "404"]) {
        let refusal = json!({
            "description": meaning(status),
            "content": json_body::<Refusal>(generator),
        });
        answers.insert((*status).to_owned(), refusal);
    }
    answers.sort_keys();
    answers.into()
}

fn meaning(status: &str) -> &'static str {
    match status {
        "400" => "What was asked cannot be understood",
        "403" => "The project belongs to another user",
        "404" => "There is nothing at this path",
        "409" => "The order is refused, and says why",
        "413" => "The order is too large",
        _ => "The supervisor is leaving, or has too many readers: ask again",
    }
}

fn query(name: &str, schema: &Value, description: &str) -> Value {
    json!({ "name": name, "in": "query", "required": false, "schema": schema, "description": description })
}

/// The fields of a query as parameters.
fn parameters<T: JsonSchema>() -> Vec<Value> {
    let schema: Schema = SchemaSettings::draft2020_12()
        .for_deserialize()
        .into_generator()
        .into_root_schema_for::<T>();
    let properties = schema.get("properties").and_then(Value::as_object);
    let properties = properties.into_iter().flatten();
    properties
        .map(|(name, field)| {
            let mut field = field.clone();
            let description = field
                .as_object_mut()
                .and_then(|field| field.remove("description"));
            let description = description.as_ref().and_then(Value::as_str);
            query(name, &field, description.unwrap_or_default())
        })
        .collect()
}
