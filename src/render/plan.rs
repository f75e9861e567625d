//! A plan as people read it: waves of actions with their reasons.

use anstyle::Style;

use super::table::{Cell, Table};
use super::{BUSY, FAINT, GOOD, Look, STRONG, human};
use crate::plan::{Action, Plan};

/// What an action is called.
pub fn action_word(action: Action) -> &'static str {
    match action {
        Action::Start => "start",
        Action::Stop => "stop",
        Action::Restart => "restart",
        Action::Keep => "keep",
    }
}

fn action_style(action: Action) -> Style {
    match action {
        Action::Start => GOOD,
        Action::Stop | Action::Restart => BUSY,
        Action::Keep => FAINT,
    }
}

/// How many steps have this action.
fn steps(plan: &Plan, action: Action) -> usize {
    plan.waves
        .iter()
        .flatten()
        .filter(|step| step.action == action)
        .count()
}

/// Whether carrying the plan out changes anything.
pub fn changes_anything(plan: &Plan) -> bool {
    plan.waves
        .iter()
        .flatten()
        .any(|step| step.action != Action::Keep)
}

/// `2 to start, 1 to restart, 3 to keep`, or `nothing to do`.
pub fn summary(plan: &Plan) -> String {
    let counts: Vec<String> = [Action::Stop, Action::Restart, Action::Start, Action::Keep]
        .into_iter()
        .filter_map(|action| match steps(plan, action) {
            0 => None,
            number => Some(format!("{number} to {}", action_word(action))),
        })
        .collect();
    match (changes_anything(plan), steps(plan, Action::Keep)) {
        (true, _) => counts.join(", "),
        (false, 0) => "nothing to do".into(),
        // What else there is to say of these is an error, which follows.
        (false, _) if plan.kept_for_lack().next().is_some() => "nothing was changed".into(),
        (false, kept) => format!(
            "nothing to do: {} {} should be",
            human::count(kept, "service"),
            if kept == 1 { "is as it" } else { "are as they" }
        ),
    }
}

/// The whole plan, kept services too.
pub fn plan(plan: &Plan, look: &Look) -> String {
    let mut text = waves(plan, look, |_| true);
    text += &summary(plan);
    text.push('\n');
    text
}

/// Only what changes; empty when nothing does. What would scroll away on a terminal is only summed
/// up: `plan` shows it.
pub fn changes(plan: &Plan, look: &Look) -> String {
    if !changes_anything(plan) {
        return String::new();
    }
    let mut text = waves(plan, look, |action| action != Action::Keep);
    let lines = text.lines().count();
    if look
        .height
        .is_some_and(|height| lines > usize::from(height))
    {
        text.clear();
    }
    text += &summary(plan);
    text.push('\n');
    text
}

fn waves(plan: &Plan, look: &Look, is_shown: impl Fn(Action) -> bool) -> String {
    let mut text = String::new();
    // One table, so that the columns line up through all waves.
    let mut table = Table::bare();
    let mut lengths = Vec::new();
    for wave in &plan.waves {
        let shown: Vec<_> = wave.iter().filter(|step| is_shown(step.action)).collect();
        if shown.is_empty() {
            continue;
        }
        lengths.push(shown.len());
        for step in shown {
            table.row([
                Cell::styled(action_word(step.action), action_style(step.action)),
                Cell::styled(step.service.as_str(), STRONG),
                step.reason.as_str().into(),
            ]);
        }
    }
    for step in &plan.followers {
        table.row([
            Cell::styled("follow", action_style(step.action)),
            Cell::styled(step.service.as_str(), STRONG),
            step.reason.as_str().into(),
        ]);
    }
    let rows = table.text(look, "  ");
    let mut rows = rows.lines();
    for (number, length) in lengths.into_iter().enumerate() {
        text += &look.paint(FAINT, &format!("wave {}", number + 1));
        text.push('\n');
        for row in rows.by_ref().take(length) {
            text += row;
            text.push('\n');
        }
    }
    if !plan.followers.is_empty() {
        text += &look.paint(FAINT, "then");
        text.push('\n');
        for row in rows {
            text += row;
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ServiceName;
    use crate::plan::Step;

    fn step(action: Action, service: &str, reason: &str) -> Step {
        Step::new(action, ServiceName::new(service).unwrap(), reason)
    }

    fn example() -> Plan {
        Plan {
            version: 1,
            waves: vec![
                vec![step(Action::Stop, "old", "no longer declared")],
                vec![step(Action::Keep, "db", "ready")],
                vec![
                    step(Action::Restart, "web", "changed: command"),
                    step(Action::Start, "worker", "new"),
                ],
            ],
            followers: vec![step(Action::Keep, "tail", "restarts when `web.id` changes")],
        }
    }

    #[test]
    fn the_whole_plan_names_waves_and_reasons() {
        insta::assert_snapshot!(plan(&example(), &Look::PLAIN), @r"
        wave 1
          stop     old     no longer declared
        wave 2
          keep     db      ready
        wave 3
          restart  web     changed: command
          start    worker  new
        then
          follow   tail    restarts when `web.id` changes
        1 to stop, 1 to restart, 1 to start, 1 to keep
        ");
    }

    #[test]
    fn changes_leave_out_what_is_kept() {
        insta::assert_snapshot!(changes(&example(), &Look::PLAIN), @r"
        wave 1
          stop     old     no longer declared
        wave 2
          restart  web     changed: command
          start    worker  new
        then
          follow   tail    restarts when `web.id` changes
        1 to stop, 1 to restart, 1 to start, 1 to keep
        ");
    }

    #[test]
    fn what_would_scroll_away_is_summed_up() {
        let low = Look {
            height: Some(4),
            ..Look::PLAIN
        };
        let text = "1 to stop, 1 to restart, 1 to start, 1 to keep\n";
        assert_eq!(changes(&example(), &low), text);
    }

    #[test]
    fn nothing_to_do_says_so() {
        let mut kept = example();
        kept.waves = vec![vec![step(Action::Keep, "db", "ready")]];
        assert_eq!(changes(&kept, &Look::PLAIN), "");
        assert_eq!(
            summary(&kept),
            "nothing to do: 1 service is as it should be"
        );
        kept.waves[0].push(step(Action::Keep, "web", "ready"));
        assert_eq!(
            summary(&kept),
            "nothing to do: 2 services are as they should be"
        );
        kept.waves.clear();
        assert_eq!(summary(&kept), "nothing to do");
    }
}
