//! `templates`: services that are started by hand, under a name of their own each.
//!
//! A template is looked at like a service: a *sample* of it, with placeholders for what an instance
//! brings, goes through all rules beside the services, and is left out of what comes of it. So does
//! each instance that runs or is asked for, with its own params.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use regex::Regex;

use super::world::{Declared, Origin, World};
use crate::id::ServiceName;
use crate::manifest::diagnostic::Diagnostic;
use crate::manifest::field::{Spanned, Table};
use crate::manifest::model::{Instance, Param, Template};
use crate::manifest::raw;
use crate::manifest::source::{Sources, Span};

/// What stands for the name of an instance where a template is looked at by itself.
const PLACEHOLDER: &str = "instance";

/// What a template declares beside a service.
pub(super) fn resolve(
    raw: &raw::Service,
    name: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Template {
    let mut params = IndexMap::new();
    for (key, written) in raw.params.value().into_iter().flat_map(|table| &table.0) {
        if !super::environment::is_variable(&key.value) {
            diagnostics.push(
                Diagnostic::error(
                    "bad_param",
                    format!("`{}` cannot be the name of a param of `{name}`", key.value),
                )
                .label(key.span, "not the name of a param")
                .help("it has letters, digits and `_`, and does not begin with a digit"),
            );
            continue;
        }
        if let Some(raw) = written.value() {
            params.insert(key.value.clone(), param(raw, &key.value, name, diagnostics));
        }
    }
    if let Some(most) = raw.max_instances.written().filter(|most| most.value == 0) {
        diagnostics.push(
            Diagnostic::error("bad_number", format!("`max_instances` of `{name}` is 0"))
                .label(most.span, "none could ever be started")
                .help("it takes a number from 1 on; without it there is no limit"),
        );
    }
    Template {
        params,
        max_instances: raw.max_instances.value().copied(),
    }
}

fn param(raw: &raw::Param, name: &str, template: &str, diagnostics: &mut Vec<Diagnostic>) -> Param {
    let default = raw.default.value().map(|default| default.0.text.clone());
    if let (Some(true), Some(default)) = (raw.required.value(), raw.default.written()) {
        diagnostics.push(
            Diagnostic::error(
                "required_with_default",
                format!("param `{name}` of `{template}` is required and has a default"),
            )
            .label(default.span, "never used")
            .help("keep one of the two"),
        );
    }
    let pattern = raw.pattern.written().and_then(|written| {
        let fails = match Regex::new(&anchored(&written.value)) {
            Ok(pattern) => {
                let default = default
                    .as_deref()
                    .filter(|default| !pattern.is_match(default));
                default.map(|default| {
                    Diagnostic::error(
                        "bad_param",
                        format!(
                            "the default `{default}` of param `{name}` does not match its pattern"
                        ),
                    )
                    .label(written.span, "matches the whole value or nothing")
                    .help("mend the default or the pattern")
                })
            }
            Err(error) => Some(
                Diagnostic::error(
                    "bad_pattern",
                    format!("the pattern of param `{name}` is not a regular expression"),
                )
                .label(
                    written.span,
                    error
                        .to_string()
                        .lines()
                        .last()
                        .unwrap_or_default()
                        .trim()
                        .to_owned(),
                )
                .help("its form is that of Rust's `regex`"),
            ),
        };
        match fails {
            None => Some(written.value.clone()),
            Some(diagnostic) => {
                diagnostics.push(diagnostic);
                None
            }
        }
    });
    Param {
        required: raw.required.value().copied().unwrap_or(default.is_none()),
        default,
        pattern,
    }
}

/// A pattern is for the whole value.
fn anchored(pattern: &str) -> String {
    format!("^(?:{pattern})$")
}

impl Template {
    /// The values that an instance has when it is given these.
    ///
    /// # Errors
    /// All that is wrong with them, in words.
    pub fn values(
        &self,
        given: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, Vec<String>> {
        let mut wrong = Vec::new();
        let mut values = BTreeMap::new();
        for name in given.keys().filter(|name| !self.params.contains_key(*name)) {
            let known = self.params.keys().map(String::as_str);
            wrong.push(match crate::manifest::similar::nearest(name, known) {
                Some(near) => format!("there is no param `{name}`; a similar one is `{near}`"),
                None => format!("there is no param `{name}`"),
            });
        }
        for (name, param) in &self.params {
            let value = given.get(name).or(param.default.as_ref());
            match (value, &param.pattern) {
                (None, _) if param.required => wrong.push(format!("param `{name}` is not given")),
                (Some(value), Some(pattern))
                    if !Regex::new(&anchored(pattern)).is_ok_and(|one| one.is_match(value)) =>
                {
                    wrong.push(format!("param `{name}` does not match `{pattern}`"));
                }
                // It would pass for what stands for an export, and no process could be given it.
                (Some(value), _) if value.contains('\0') => {
                    wrong.push(format!("param `{name}` holds a NUL character"));
                }
                (value, _) => {
                    values.insert(name.clone(), value.cloned().unwrap_or_default());
                }
            }
        }
        if wrong.is_empty() {
            Ok(values)
        } else {
            Err(wrong)
        }
    }
}

/// What a template puts among the services: its sample, and the instances there are.
pub(super) fn declared<'a>(
    template: &Declared<'a, ServiceName, raw::Service>,
    meaning: &Template,
    instances: &[Instance],
) -> Vec<Declared<'a, ServiceName, raw::Service>> {
    let as_declared = |name: ServiceName, origin: Origin| Declared {
        name,
        key: template.key,
        document: template.document,
        raw: template.raw,
        origin,
    };
    let sample = Instance {
        template: template.name.clone(),
        name: PLACEHOLDER.to_owned(),
        params: BTreeMap::new(),
    };
    let own = instances
        .iter()
        .filter(|instance| instance.template == template.name)
        .filter_map(|instance| {
            let name = ServiceName::of_instance(&instance.template, &instance.name).ok()?;
            // A value that the template does not take any more is reported with the service.
            let known = |name: &String| meaning.params.contains_key(name);
            let mut instance = instance.clone();
            instance.params.retain(|name, _| known(name));
            Some(as_declared(name, Origin::Instance(instance)))
        });
    std::iter::once(as_declared(template.name.clone(), Origin::Template(sample)))
        .chain(own)
        .collect()
}

/// What is wrong with the params of a running instance, since its template was edited.
pub(super) fn unfit_params(
    world: &World<'_>,
    declared: &Declared<'_, ServiceName, raw::Service>,
) -> Vec<Diagnostic> {
    let Origin::Instance(instance) = &declared.origin else {
        return Vec::new();
    };
    let Some(template) = world.templates.get(&instance.template) else {
        return Vec::new();
    };
    let wrong = template.values(&instance.params).err().unwrap_or_default();
    wrong
        .into_iter()
        .map(|wrong| {
            Diagnostic::error("unfit_params", format!("`{}`: {wrong}", declared.name))
                .label(declared.key, "its template")
                .help("start it again with `--param NAME=VALUE`, or stop it")
        })
        .collect()
}

/// What a sample is told of and its instances are not: what depends on placeholders.
pub(super) fn is_of_placeholders(diagnostic: &Diagnostic, sources: &Sources) -> bool {
    super::when::is_circumstance(diagnostic)
        || diagnostic.labels.iter().any(|label| {
            let text = sources.text(label.span);
            text.contains("${param.") || text.contains("${instance")
        }) && !matches!(
            diagnostic.code,
            "unknown_param" | "bad_expansion" | "value_in_script" | "doubled_dollar"
        )
}

/// Nobody waits for what is started by hand.
pub(super) fn needed(world: &World<'_>) -> Vec<Diagnostic> {
    world
        .edges
        .iter()
        .filter(|edge| edge.group.is_none() && world.templates.contains_key(&edge.dependency))
        .map(|edge| {
            Diagnostic::error(
                "depends_on_template",
                format!(
                    "service `{}` depends on `{}`, which is a template",
                    edge.dependent, edge.dependency
                ),
            )
            .label(edge.span, "only its instances run, and `up` starts none")
            .help("declare a service of its own for what others need")
        })
        .collect()
}

/// Each instance has a session of its own.
pub(super) fn one_session_for_all(world: &World<'_>) -> Vec<Diagnostic> {
    samples(world)
        .filter_map(|(name, raw)| {
            let session = raw.session.written()?;
            let is_single = raw.max_instances.value() == Some(&1);
            (!is_single && !session.value.contains("${")).then(|| {
                Diagnostic::error(
                    "one_session_for_all",
                    format!(
                        "all instances of `{name}` would have the tmux session `{}`",
                        session.value
                    ),
                )
                .label(session.span, "the same for each")
                .help("put `${instance}` into it, or leave `session` out")
            })
        })
        .collect()
}

/// What only templates have.
pub(super) fn only_of_templates(world: &World<'_>) -> Vec<Diagnostic> {
    let services = world
        .services
        .values()
        .filter(|service| matches!(service.origin, Origin::Service));
    let mut diagnostics = Vec::new();
    for service in services {
        let Some(raw) = service.raw else { continue };
        let keys: [(&str, Option<Span>); 2] = [
            ("params", key(&raw.params)),
            (
                "max_instances",
                raw.max_instances.written().map(|one| one.key),
            ),
        ];
        for (word, span) in keys {
            let Some(span) = span else { continue };
            diagnostics.push(
                Diagnostic::error(
                    "only_of_templates",
                    format!(
                        "service `{}` has `{word}`, which only a template has",
                        service.name
                    ),
                )
                .label(span, "there is one of it only")
                .help("remove it, or move the service to `templates`"),
            );
        }
    }
    diagnostics
}

fn key(field: &crate::manifest::field::Field<Table<raw::Param>>) -> Option<Span> {
    let Spanned { key, .. } = field.written()?;
    Some(*key)
}

fn samples<'a>(world: &'a World<'_>) -> impl Iterator<Item = (&'a ServiceName, &'a raw::Service)> {
    world.services.values().filter_map(|service| {
        matches!(service.origin, Origin::Template(_)).then_some((&service.name, service.raw?))
    })
}
