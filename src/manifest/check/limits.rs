//! `limits`: resources by their names, each with a soft and a hard limit.

use std::collections::BTreeMap;

use super::service::Values;
use crate::manifest::diagnostic::Diagnostic;
use crate::manifest::field::{Field, Spanned};
use crate::manifest::model::{LIMITS, Limit, RESERVED_LIMIT};
use crate::manifest::raw;
use crate::manifest::scalars::LimitValue;
use crate::manifest::similar::{list, nearest};
use crate::manifest::source::Span;

/// Lays the tables over one another, name by name, and resolves what is left.
pub(super) fn resolve(
    raw: &raw::Service,
    defaults: &[&raw::Defaults],
    values: &mut Values<'_>,
) -> BTreeMap<String, Limit> {
    let mut limits = BTreeMap::new();
    let layers = defaults.iter().map(|layer| &layer.limits);
    let layers = layers.chain([&raw.limits]).filter_map(Field::value);
    for (key, written) in layers.flat_map(|table| &table.0) {
        if !is_known(&key.value, key.span, values) {
            continue;
        }
        if let Field::Written(written) = written
            && let Some(limit) = limit(&key.value, written, values)
        {
            limits.insert(key.value.clone(), limit);
        }
    }
    limits
}

fn is_known(name: &str, span: Span, values: &mut Values<'_>) -> bool {
    let names = || LIMITS.iter().map(|(name, _, _)| *name);
    if names().any(|known| known == name) {
        return true;
    }
    let diagnostic = if name == RESERVED_LIMIT {
        Diagnostic::error(
            "reserved_limit",
            format!(
                "{} sets `{RESERVED_LIMIT}`, which is taken",
                values.what("limits")
            ),
        )
        .label(span, "the mark by which the service's processes are found")
        .help("remove it; the kernel has not looked at this limit since Linux 2.4.25")
    } else {
        let help = match nearest(name, names()) {
            Some(near) => format!("a limit with a similar name exists: `{near}`"),
            None => format!("there are {}", list(&names().collect::<Vec<_>>())),
        };
        Diagnostic::error(
            "unknown_limit",
            format!(
                "{} names `{name}`, which is not a limit",
                values.what("limits")
            ),
        )
        .label(span, "not known")
        .help(help)
    };
    values.diagnostics.push(diagnostic);
    false
}

fn limit(name: &str, written: &Spanned<raw::Limit>, values: &mut Values<'_>) -> Option<Limit> {
    let field = format!("limits.{name}");
    let mut value = |value: &Spanned<LimitValue>| {
        values.fit(value, &field, |value| value.meaning(is_in_bytes(name)))
    };
    match &written.value {
        raw::Limit::One(one) => {
            let text = Spanned {
                value: one.clone(),
                span: written.span,
                key: written.key,
            };
            let both = value(&text)?;
            Some(Limit {
                soft: Some(both),
                hard: Some(both),
            })
        }
        raw::Limit::Both(both) => {
            let mut part = |field: &Field<LimitValue>| field.written().and_then(&mut value);
            let (soft, hard) = (part(&both.soft), part(&both.hard));
            if let (Some(low), Some(high), Field::Written(soft), Field::Written(hard)) =
                (soft, hard, &both.soft, &both.hard)
                && low > high
            {
                values.diagnostics.push(
                    Diagnostic::error(
                        "limit_over_hard",
                        format!(
                            "{} has a soft limit above its hard one",
                            values.what(&field)
                        ),
                    )
                    .label(soft.span, "what may be used")
                    .label(hard.span, "how far that may be raised")
                    .help("make `hard` at least as high as `soft`"),
                );
            }
            Some(Limit { soft, hard })
        }
    }
}

fn is_in_bytes(name: &str) -> bool {
    LIMITS
        .iter()
        .any(|(known, _, is_in_bytes)| *known == name && *is_in_bytes)
}
