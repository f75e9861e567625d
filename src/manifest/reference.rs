//! `${service.export}`: values that are known only once a service is ready.
//!
//! The resolved form keeps them as they are: within any text of a service a reference stands between
//! two NUL characters, which no other text can hold. So every field can be a template without a type
//! of its own, and is filled when a run is started ([`fill`]), with what the others export then.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::model::Service;
use crate::id::{NameError, ServiceName};

/// Before and after each reference.
const BOUNDARY: char = '\0';

/// A value that another service exports. On disk it is one text, `service.export`, so that it can be
/// a key there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    /// Who exports it.
    pub service: ServiceName,
    /// Its name there.
    pub export: String,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.service, self.export)
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

impl TryFrom<String> for Reference {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        // The name of a service may hold dots, that of an export does not.
        let (service, export) = text.rsplit_once('.').unwrap_or((&text, ""));
        Ok(Self {
            service: ServiceName::new(service)?,
            export: export.to_owned(),
        })
    }
}

/// What stands for `${inner}` until it is filled.
pub(crate) fn placeholder(inner: &str) -> String {
    format!("{BOUNDARY}{inner}{BOUNDARY}")
}

/// Whether there is a reference in `text`.
pub(crate) fn is_in(text: &str) -> bool {
    text.contains(BOUNDARY)
}

/// The text with each reference as `replace` says.
pub(crate) fn replaced(text: &str, mut replace: impl FnMut(&str) -> String) -> String {
    let parts = text.split(BOUNDARY).enumerate();
    // Every other part is the inside of a reference.
    parts
        .map(|(index, part)| match index % 2 {
            0 => part.to_owned(),
            _ => replace(part),
        })
        .collect()
}

/// The text as people write it; what is no reference as `plain` says.
pub(crate) fn written(text: &str, plain: impl Fn(&str) -> String) -> String {
    let parts = text.split(BOUNDARY).enumerate();
    parts
        .map(|(index, part)| match index % 2 {
            0 => plain(part),
            _ => format!("${{{part}}}"),
        })
        .collect()
}

/// The text as people write it.
pub fn as_written(text: &str) -> String {
    written(text, str::to_owned)
}

/// What a run is made from: `service` with each of its references replaced by its value. One without
/// a value becomes nothing; but no run is started before all are there.
pub fn fill(service: &Service, values: &BTreeMap<Reference, String>) -> Service {
    if service.references.is_empty() {
        return service.clone();
    }
    let by_name: BTreeMap<String, &str> = values
        .iter()
        .map(|(reference, value)| (reference.to_string(), value.as_str()))
        .collect();
    let filled = serde_json::to_value(service).and_then(|mut whole| {
        fill_value(&mut whole, &by_name);
        serde_json::from_value(whole)
    });
    // A service always becomes a value and comes back from it, whatever its texts are.
    filled.unwrap_or_else(|_| service.clone())
}

fn fill_value(value: &mut Value, values: &BTreeMap<String, &str>) {
    match value {
        Value::String(text) if is_in(text) => {
            *text = replaced(text, |inner| {
                values.get(inner).copied().unwrap_or_default().to_owned()
            });
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill_value(item, values)),
        Value::Object(map) => map.values_mut().for_each(|one| fill_value(one, values)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declare::{name, process};
    use crate::manifest::model::Command;

    #[test]
    fn every_text_of_a_service_is_filled() {
        let agent = Reference {
            service: name("control-agent"),
            export: "id".into(),
        };
        let hole = placeholder(&agent.to_string());
        let mut bridge = process("bridge");
        bridge.references = vec![agent.clone()];
        bridge.command = Command::Exec(vec!["run".into(), format!("--id={hole}/{hole}")]);
        bridge.working_dir = format!("/run/{hole}").into();
        bridge.env.set.insert("ID".into(), hole);
        let filled = fill(&bridge, &[(agent, "${x} \"7\"".to_owned())].into());
        assert_eq!(
            filled.command,
            Command::Exec(vec!["run".into(), "--id=${x} \"7\"/${x} \"7\"".into()])
        );
        assert_eq!(filled.working_dir.to_str(), Some("/run/${x} \"7\""));
        assert_eq!(filled.env.set["ID"], "${x} \"7\"");
        assert_eq!(filled.name, bridge.name);
    }

    #[test]
    fn a_reference_can_be_a_key_on_disk() {
        let one = Reference {
            service: name("a.b"),
            export: "id".into(),
        };
        let values = BTreeMap::from([(one, "7".to_owned())]);
        let text = serde_json::to_string(&values).unwrap();
        assert_eq!(text, r#"{"a.b.id":"7"}"#);
        let again: BTreeMap<Reference, String> = serde_json::from_str(&text).unwrap();
        assert_eq!(again, values);
    }

    #[test]
    fn people_read_what_they_wrote() {
        let text = format!("a {} b", placeholder("x.y"));
        assert_eq!(as_written(&text), "a ${x.y} b");
        assert!(is_in(&text) && !is_in("a b"));
    }
}
