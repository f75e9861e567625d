//! Rules about tasks: they run to their end once.

use super::world::{World, kind_of};
use crate::manifest::diagnostic::Diagnostic;
use crate::manifest::field::Spanned;
use crate::manifest::raw;

fn tasks<'a>(world: &'a World<'_>) -> impl Iterator<Item = (String, &'a raw::Service)> {
    world.services.values().filter_map(|service| {
        let raw = service.raw?;
        (kind_of(raw) == Some(raw::Type::Task)).then(|| (service.name.to_string(), raw))
    })
}

/// A task that is always restarted never completes.
pub(super) fn always_restarted(world: &World<'_>) -> Vec<Diagnostic> {
    tasks(world)
        .filter_map(|(name, raw)| {
            let restart = raw.restart.written()?;
            let (policy, span) = match &restart.value {
                raw::Restart::Word(policy) => (*policy, restart.span),
                raw::Restart::Settings(settings) => {
                    let Spanned { value, span, .. } = settings.policy.written()?;
                    (*value, *span)
                }
            };
            (policy == raw::Policy::Always).then(|| {
                Diagnostic::error(
                    "task_restarts_always",
                    format!("task `{name}` would be restarted however it ends, and never complete"),
                )
                .label(span, "never completes")
                .help("a task takes `on-failure` or `never`; what shall run on is `type: process`")
            })
        })
        .collect()
}

/// A task is ready when it has completed.
pub(super) fn with_readiness(world: &World<'_>) -> Vec<Diagnostic> {
    tasks(world)
        .filter_map(|(name, raw)| {
            let ready = raw.ready.written()?;
            Some(
                Diagnostic::error(
                    "ready_on_task",
                    format!(
                        "task `{name}` has `ready`, although a task is ready when it has completed"
                    ),
                )
                .label(ready.key, "not for tasks")
                .help("remove it, or make the service a process"),
            )
        })
        .collect()
}

/// A task is ready when it is over; what follows then has another place.
pub(super) fn with_a_hook_for_readiness(world: &World<'_>) -> Vec<Diagnostic> {
    tasks(world)
        .filter_map(|(name, raw)| {
            let hook = raw.hooks.value()?.after_ready.written()?;
            Some(
                Diagnostic::error(
                    "after_ready_on_task",
                    format!("task `{name}` has `hooks.after_ready`, although it is over when it is ready"),
                )
                .label(hook.key, "not for tasks")
                .help("use `after_stop`, or a further task that depends on this one"),
            )
        })
        .collect()
}

/// A task is well as long as it runs.
pub(super) fn with_health(world: &World<'_>) -> Vec<Diagnostic> {
    tasks(world)
        .filter_map(|(name, raw)| {
            let health = raw.health.written()?;
            Some(
                Diagnostic::error(
                    "health_on_task",
                    format!(
                        "task `{name}` has `health`, although a task is never ready while it runs"
                    ),
                )
                .label(health.key, "not for tasks")
                .help("remove it, or make the service a process"),
            )
        })
        .collect()
}
