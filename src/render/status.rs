//! The table of `status`, and the words for one service's state.

use std::collections::BTreeSet;
use std::time::Duration;

use anstyle::Style;
use indexmap::IndexMap;
use jiff::Timestamp;

use super::failure::help;
use super::table::{Cell, Table};
use super::tally::{Tally, Trouble, is_as_wanted};
use super::visible::one_line;
use super::{BAD, BUSY, FAINT, GOOD, Look, STRONG, human};
use crate::control::protocol::{ServiceStatus, Status};
use crate::id::{GroupName, ServiceName};
use crate::layers::Layers;
use crate::machine::StateWord;

/// The colour of a state.
pub fn state_style(state: StateWord) -> Style {
    match state {
        StateWord::Ready | StateWord::Completed => GOOD,
        StateWord::Waiting | StateWord::Starting | StateWord::Stopping | StateWord::Backoff => BUSY,
        StateWord::Unhealthy | StateWord::Blocked | StateWord::Failed => BAD,
        StateWord::Inactive | StateWord::Skipped => FAINT,
    }
}

/// Whether it was started and has not lived long enough to count as up.
pub fn is_settling(service: &ServiceStatus) -> bool {
    service.state == StateWord::Ready && !service.settled && service.deadline.is_some()
}

/// `failed: exited with 1`, or the state alone where there is no reason to tell.
pub fn state(service: &ServiceStatus, look: &Look) -> String {
    let word = look.paint(state_style(service.state), service.state.word());
    match reason(service) {
        Some(reason) => format!("{word}: {reason}"),
        None => word,
    }
}

/// The same with its whole reason, where nothing else tells of the service that it is blocked by.
pub fn state_with_reason(service: &ServiceStatus, look: &Look) -> String {
    let word = look.paint(state_style(service.state), service.state.word());
    match &service.reason {
        Some(reason) => format!("{word}: {}", one_line(reason)),
        None => word,
    }
}

/// Why it is in its state. What is wrong with another service is told there.
fn reason(service: &ServiceStatus) -> Option<String> {
    match &service.root_cause {
        Some(root) => Some(format!("by `{root}`")),
        None => Some(one_line(service.reason.as_ref()?).into_owned()),
    }
}

/// The same, with what is waited for while it is starting or being stopped.
pub fn state_on_its_way(service: &ServiceStatus, look: &Look) -> String {
    if is_settling(service) {
        return look.paint(BUSY, "started, settling");
    }
    if service.state == StateWord::Ready && !service.settled {
        return format!("{}: what it follows is on its way", state(service, look));
    }
    match &service.awaits {
        None => state(service, look),
        Some(awaited) if service.state == StateWord::Stopping => {
            let stage = state(service, look);
            let limit = match (service.since, service.deadline) {
                (Some(since), Some(deadline)) => {
                    let limit = deadline.duration_since(since);
                    let limit = Duration::try_from(limit).unwrap_or_default();
                    format!(", which gets KILL after {}", human::span(limit))
                }
                _ => String::new(),
            };
            format!("{stage}; waits for {}{limit}", one_line(awaited))
        }
        Some(awaited) => {
            let word = look.paint(state_style(service.state), service.state.word());
            let found = service.reason.as_ref();
            let found = found.map_or_else(String::new, |found| format!(": {}", one_line(found)));
            format!("{word}: waits for {}{found}", one_line(awaited))
        }
    }
}

/// Why it is in its state; of one that is being stopped also whom that waits for.
fn reason_in_one_line(service: &ServiceStatus) -> String {
    let says = says(service).map(|says| format!("it says: {says}"));
    let awaited = service.awaits.as_ref();
    let awaited = awaited.filter(|_| service.state == StateWord::Stopping);
    let awaited = awaited.map(|awaited| format!("waits for {awaited}"));
    let said = [reason(service), awaited, says].into_iter().flatten();
    one_line(&said.collect::<Vec<_>>().join("; ")).into_owned()
}

/// What the live run says of itself (STATUS=, STOPPING=1), unless the reason tells it already.
pub fn says(service: &ServiceStatus) -> Option<&str> {
    let says = service.says.as_deref().filter(|says| !says.is_empty())?;
    let is_told = service
        .reason
        .as_ref()
        .is_some_and(|reason| reason.contains(says));
    (!is_told).then_some(says)
}

/// What happens by itself, and when: `next start in 27s`.
pub fn coming(service: &ServiceStatus, now: Timestamp) -> Option<String> {
    let left = service.deadline?.duration_since(now);
    let what = match service.state {
        StateWord::Backoff => "next start",
        StateWord::Starting => "gives up",
        StateWord::Stopping => "next step",
        StateWord::Ready if !service.settled => "settles",
        _ => return None,
    };
    let left = Duration::try_from(left).unwrap_or_default();
    Some(format!("{what} in {}", human::span(left)))
}

/// What the screen of `status` is made for.
#[derive(Clone, Copy)]
pub struct Screen<'a> {
    /// When it is made.
    pub now: Timestamp,
    /// What it looks like.
    pub look: Look,
    /// As many lines it may have; services that are as they should be are left out first.
    pub most_lines: Option<usize>,
    /// How `baudbot COMMAND` is typed to mean this project.
    pub typed: &'a dyn Fn(&str) -> String,
}

/// The whole screen: a line about the project, a row for each service, what to type next.
pub fn status(status: &Status, screen: &Screen<'_>) -> String {
    let mut text = headline(status, &screen.look) + &leaks(status, &screen.look);
    let next = next_steps(status, screen);
    let room = screen
        .most_lines
        .map(|lines| lines.saturating_sub(text.lines().count() + next.lines().count()));
    if !status.services.is_empty() {
        text += &services(status, screen, room);
    }
    text + &next
}

const HEADINGS: [&str; 11] = [
    "SERVICE",
    "STATE",
    "FOR",
    "PID",
    "CPU",
    "MEMORY",
    "PROCS",
    "RESTARTS",
    "GROUPS",
    "PORTS/SESSION",
    "REASON",
];

/// What a terminal that is too narrow goes without, first to last.
const DISPENSABLE: [&str; 6] = ["RESTARTS", "PROCS", "CPU", "MEMORY", "PORTS/SESSION", "PID"];

/// A terminal gets the services below the names of their groups, and the reasons below the services
/// that have one. Anything else gets one row a service with all columns, for `grep` and `awk`.
fn services(status: &Status, screen: &Screen<'_>, room: Option<usize>) -> String {
    let look = &screen.look;
    let Some(width) = look.width.map(usize::from) else {
        let mut table = Table::new(&HEADINGS);
        for (name, service) in &status.services {
            table.row(row(name, service, screen.now));
        }
        return table.text(look, "");
    };
    let groups = by_group(status);
    let has_headings = groups.len() > 1 || groups.keys().any(|names| !names.is_empty());
    let indent = if has_headings { "  " } else { "" };
    let mut table = Table::new(&HEADINGS[..10]);
    for (name, service) in groups.values().flatten() {
        table.row(row(name, service, screen.now).into_iter().take(10));
    }
    let rows = table
        .without("GROUPS")
        .without_empty_columns()
        .fitted(width.saturating_sub(indent.len()), &DISPENSABLE)
        .text(look, indent);
    let mut rows = rows.lines();
    let mut blocks = Vec::new();
    let head = rows.next().unwrap_or_default().to_owned();
    for (names, members) in &groups {
        let heading = match (has_headings, names.as_str()) {
            (false, _) => None,
            (true, "") => Some(look.paint(FAINT, "in no group")),
            (true, names) => Some(look.paint(STRONG, names)),
        };
        let members: Vec<Block> = members
            .iter()
            .zip(rows.by_ref())
            .map(|((_, service), row)| Block::new(service, row, screen, width))
            .collect();
        blocks.push((heading, members));
    }
    fitted(head, &blocks, room, look)
}

/// One service's lines on a terminal.
struct Block {
    trouble: Option<Trouble>,
    lines: Vec<String>,
}

impl Block {
    fn new(service: &ServiceStatus, row: &str, screen: &Screen<'_>, width: usize) -> Self {
        let look = &screen.look;
        let mut lines = vec![row.to_owned()];
        let coming = coming(service, screen.now);
        let awaited = service.awaits.as_ref();
        let awaited = awaited.map(|awaited| format!("waits for {awaited}"));
        let says = says(service).map(|says| format!("it says: {says}"));
        let said = [awaited, reason(service), says, coming]
            .into_iter()
            .flatten();
        let reason = one_line(&said.collect::<Vec<_>>().join("; ")).into_owned();
        if !reason.is_empty() {
            let style = if is_as_wanted(service) {
                FAINT
            } else {
                state_style(service.state)
            };
            let wrapped =
                human::wrapped(&reason, width.saturating_sub(REASON_INDENT.len()).max(20));
            lines.extend(
                wrapped
                    .iter()
                    .map(|line| format!("{REASON_INDENT}{}", look.paint(style, line))),
            );
        }
        Self {
            trouble: Trouble::of(service),
            lines,
        }
    }
}

const REASON_INDENT: &str = "      ";

/// Joins the blocks, as many as there is room for: what is in trouble first of all.
fn fitted(
    head: String,
    groups: &[(Option<String>, Vec<Block>)],
    room: Option<usize>,
    look: &Look,
) -> String {
    let mut order: Vec<(Option<Trouble>, (usize, usize))> = Vec::new();
    for (group, (_, blocks)) in groups.iter().enumerate() {
        for (at, block) in blocks.iter().enumerate() {
            order.push((block.trouble, (group, at)));
        }
    }
    // In trouble before not in trouble, else in their order.
    order.sort_by_key(|(trouble, place)| (trouble.is_none(), *trouble, *place));
    let mut shown = fitting(groups, &order, room.map(|room| room.saturating_sub(1)));
    if shown.len() < order.len() {
        // One more line is needed, to say how many are left out.
        shown = fitting(groups, &order, room.map(|room| room.saturating_sub(2)));
    }
    let mut text = head + "\n";
    for (group, (heading, blocks)) in groups.iter().enumerate() {
        if let Some(heading) = heading
            .as_ref()
            .filter(|_| shown.iter().any(|(of, _)| *of == group))
        {
            text += heading;
            text.push('\n');
        }
        for (_, block) in blocks
            .iter()
            .enumerate()
            .filter(|(at, _)| shown.contains(&(group, *at)))
        {
            for line in &block.lines {
                text += line;
                text.push('\n');
            }
        }
    }
    let hidden = order.len() - shown.len();
    if hidden > 0 {
        text += &look.paint(FAINT, &format!("and {hidden} more"));
        text.push('\n');
    }
    text
}

/// Which blocks have room, taken in this order, with the headings of their groups.
fn fitting(
    groups: &[(Option<String>, Vec<Block>)],
    order: &[(Option<Trouble>, (usize, usize))],
    room: Option<usize>,
) -> BTreeSet<(usize, usize)> {
    let mut left = room.unwrap_or(usize::MAX);
    let mut shown = BTreeSet::new();
    for (_, (group, at)) in order {
        let (heading, blocks) = &groups[*group];
        let is_headed = heading.is_none() || shown.iter().any(|(of, _)| of == group);
        let lines = blocks[*at].lines.len() + usize::from(!is_headed);
        if lines > left {
            break;
        }
        left -= lines;
        shown.insert((*group, *at));
    }
    shown
}

fn row(name: &ServiceName, service: &ServiceStatus, now: Timestamp) -> Vec<Cell> {
    let usage = service.usage.as_ref();
    vec![
        Cell::styled(name.as_str(), STRONG),
        Cell::styled(service.state.word(), state_style(service.state)),
        or_dash(service.since.map(|since| human::age(since, now))),
        or_dash(service.pid.map(|pid| pid.to_string())),
        or_dash(usage.map(|usage| human::short_span(Duration::from_millis(usage.cpu_ms)))),
        or_dash(usage.and_then(|usage| usage.memory_bytes).map(human::bytes)),
        or_dash(usage.map(|usage| usage.processes.to_string())),
        match service.restarts {
            0 => Cell::none(),
            restarts => restarts.to_string().into(),
        },
        or_dash(joined(service.groups.iter())),
        or_dash(joined(
            [joined(service.ports.iter()), service.session.clone()]
                .into_iter()
                .flatten(),
        )),
        reason_in_one_line(service).into(),
    ]
}

type Members<'a> = Vec<(&'a ServiceName, &'a ServiceStatus)>;

/// The services by the groups that they are in, in the order of the manifest; those in none last.
fn by_group(status: &Status) -> IndexMap<String, Members<'_>> {
    let mut groups: IndexMap<String, Members<'_>> = IndexMap::new();
    for (name, service) in &status.services {
        let names: Vec<&str> = service.groups.iter().map(GroupName::as_str).collect();
        groups
            .entry(names.join(", "))
            .or_default()
            .push((name, service));
    }
    if let Some(in_none) = groups.shift_remove("") {
        groups.insert(String::new(), in_none);
    }
    groups
}

/// What does not hold here that keeps things from escaping.
fn leaks(status: &Status, look: &Look) -> String {
    let layers = status
        .supervisor
        .iter()
        .filter_map(|one| one.layers.as_deref());
    layers
        .flat_map(Layers::leaks)
        .map(|(layer, why)| {
            let warning = look.paint(BUSY, "containment:");
            let (name, without) = (layer.name(), layer.without());
            format!("{warning} {name} does not hold here: {why}; {without}\n")
        })
        .collect()
}

/// `shop: 3 of 4 services up, 1 failed, supervisor 4242`.
pub fn headline(status: &Status, look: &Look) -> String {
    let project = look.paint(STRONG, status.project.as_str());
    let Some(supervisor) = &status.supervisor else {
        let running = status.services.values().filter(|one| one.pid.is_some());
        return match running.count() {
            0 => format!("{project}: not running\n"),
            1 => format!("{project}: the supervisor was killed; 1 service runs unsupervised\n"),
            many => {
                format!("{project}: the supervisor was killed; {many} services run unsupervised\n")
            }
        };
    };
    let tally = Tally::of(status.services.values().map(Some));
    let mut text = format!("{project}: {}", tally.line(look));
    // A narrow terminal goes without who supervises.
    let room = look.width.map_or(usize::MAX, usize::from);
    let guardian = supervisor
        .guardian_pid
        .map(|pid| format!(", guardian {pid}"));
    for part in [Some(format!(", supervisor {}", supervisor.pid)), guardian] {
        let part = part.unwrap_or_default();
        let width = anstream::adapter::strip_str(&text)
            .to_string()
            .chars()
            .count();
        if width + part.len() <= room {
            text += &part;
        }
    }
    text.push('\n');
    text
}

/// What to type about what is not as it should be.
fn next_steps(status: &Status, screen: &Screen<'_>) -> String {
    let look = &screen.look;
    if status.supervisor.is_none() && status.services.values().any(|one| one.pid.is_some()) {
        let (up, down) = ((screen.typed)("up"), (screen.typed)("down"));
        return help(
            &format!("`{up}` brings supervision back, and leaves them running; `{down}` ends them"),
            look,
        );
    }
    // A program that reads this has what it needs.
    if look.width.is_none() {
        return String::new();
    }
    if status.supervisor.is_none() {
        return match status.services.is_empty() {
            true => String::new(),
            false => help(&format!("start with `{}`", (screen.typed)("up")), look),
        };
    }
    let mut troubled: Vec<(Trouble, &ServiceName)> = status
        .services
        .iter()
        .filter_map(|(name, service)| Some((Trouble::of(service)?, name)))
        .collect();
    troubled.sort_by_key(|(trouble, _)| *trouble);
    let mut text = String::new();
    if let Some((_, first)) = troubled.first() {
        let typed = (screen.typed)(&format!("why {first}"));
        text += &help(&format!("`{typed}` tells the whole story"), look);
    }
    text
}

fn joined(items: impl Iterator<Item = impl ToString>) -> Option<String> {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    (!items.is_empty()).then(|| items.join(","))
}

fn or_dash(text: Option<String>) -> Cell {
    text.map_or_else(Cell::none, Cell::from)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::control::protocol::{SupervisorStatus, Usage, VERSION};
    use crate::id::ProjectName;
    use crate::layers::Holding;
    use crate::machine::Goal;

    pub(crate) fn service(goal: Goal, state: StateWord) -> ServiceStatus {
        let is_on_its_way = matches!(
            state,
            StateWord::Waiting | StateWord::Starting | StateWord::Backoff | StateWord::Stopping
        );
        serde_json::from_value(serde_json::json!({
            "settled": !is_on_its_way,
            "type": "process", "goal": goal, "state": state, "restarts": 0,
            "groups": [], "ports": [], "survivors": [], "waits_for": [], "is_stuck": false,
        }))
        .unwrap()
    }

    fn now() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn example() -> Status {
        let mut web = service(Goal::Up, StateWord::Ready);
        web.pid = Some(4242);
        web.since = Some("2026-03-01T11:57:00Z".parse().unwrap());
        web.restarts = 2;
        web.groups = vec![
            GroupName::new("core").unwrap(),
            GroupName::new("edge").unwrap(),
        ];
        web.ports = vec![80, 443];
        let mut bridge = service(Goal::Up, StateWord::Failed);
        bridge.session = Some("baudbot-bridge".into());
        bridge.reason = Some("exited with 1; gave up after 10 failures in a row".into());
        web.usage = Some(Usage {
            processes: 3,
            cpu_ms: 200_000,
            memory_bytes: Some(12_897_485),
        });
        let mut api = service(Goal::Up, StateWord::Blocked);
        api.groups = vec![GroupName::new("core").unwrap()];
        api.reason = Some(
            "dependency `bridge` failed: exited with 1; gave up after 10 failures in a row".into(),
        );
        Status {
            version: VERSION,
            project: ProjectName::new("demo").unwrap(),
            supervisor: Some(SupervisorStatus {
                pid: 99,
                guardian_pid: None,
                program_version: None,
                began: None,
                manifest: None,
                layers: None,
                usage: None,
            }),
            services: [("web", web), ("bridge", bridge), ("api", api)]
                .map(|(name, status)| (ServiceName::new(name).unwrap(), status))
                .into_iter()
                .collect(),
        }
    }

    fn screen(status: &Status, width: Option<u16>, most_lines: Option<usize>) -> String {
        let look = Look {
            width,
            ..Look::PLAIN
        };
        super::status(
            status,
            &Screen {
                now: now(),
                look,
                most_lines,
                typed: &|command| format!("baudbot {command}"),
            },
        )
    }

    #[test]
    fn a_pipe_gets_a_row_for_each_service_with_all_that_there_is_to_say() {
        insta::assert_snapshot!(screen(&example(), None, None), @r"
        demo: 1 of 3 services up, 1 failed, 1 blocked, supervisor 99
        SERVICE  STATE    FOR  PID   CPU    MEMORY  PROCS  RESTARTS  GROUPS     PORTS/SESSION   REASON
        web      ready    3m   4242  3m20s  12.3M   3      2         core,edge  80,443
        bridge   failed   -    -     -      -       -      -         -          baudbot-bridge  exited with 1; gave up after 10 failures in a row
        api      blocked  -    -     -      -       -      -         core       -               dependency `bridge` failed: exited with 1; gave up after 10 failures in a row
        ");
    }

    #[test]
    fn a_terminal_gets_groups_reasons_and_what_to_type() {
        insta::assert_snapshot!(screen(&example(), Some(100), None), @r"
        demo: 1 of 3 services up, 1 failed, 1 blocked, supervisor 99
          SERVICE  STATE    FOR  PID   CPU    MEMORY  PROCS  RESTARTS  PORTS/SESSION
        core, edge
          web      ready    3m   4242  3m20s  12.3M   3      2         80,443
        core
          api      blocked  -    -     -      -       -      -         -
              dependency `bridge` failed: exited with 1; gave up after 10 failures in a row
        in no group
          bridge   failed   -    -     -      -       -      -         baudbot-bridge
              exited with 1; gave up after 10 failures in a row
        help: `baudbot why bridge` tells the whole story
        ");
    }

    #[test]
    fn a_narrow_terminal_goes_without_what_matters_least() {
        insta::assert_snapshot!(screen(&example(), Some(50), None), @r"
        demo: 1 of 3 services up, 1 failed, 1 blocked
          SERVICE  STATE    FOR  PID   PORTS/SESSION
        core, edge
          web      ready    3m   4242  80,443
        core
          api      blocked  -    -     -
              dependency `bridge` failed: exited with 1;
              gave up after 10 failures in a row
        in no group
          bridge   failed   -    -     baudbot-bridge
              exited with 1; gave up after 10 failures in
              a row
        help: `baudbot why bridge` tells the whole story
        ");
    }

    #[test]
    fn what_is_in_trouble_is_shown_before_what_is_well() {
        let mut many = example();
        for number in 0..200 {
            let name = ServiceName::new(format!("worker-{number}")).unwrap();
            many.services
                .insert(name, service(Goal::Up, StateWord::Ready));
        }
        let text = screen(&many, Some(80), Some(12));
        assert!(text.lines().count() <= 12, "{text}");
        insta::assert_snapshot!(text, @r"
        demo: 201 of 203 services up, 1 failed, 1 blocked, supervisor 99
          SERVICE     STATE    FOR  PID   CPU    MEMORY  PROCS  RESTARTS  PORTS/SESSION
        core
          api         blocked  -    -     -      -       -      -         -
              dependency `bridge` failed: exited with 1; gave up after 10 failures in a
              row
        in no group
          bridge      failed   -    -     -      -       -      -         baudbot-bridge
              exited with 1; gave up after 10 failures in a row
        and 201 more
        help: `baudbot why bridge` tells the whole story
        ");
    }

    #[test]
    fn without_a_supervisor_the_way_to_one_is_told() {
        let mut down = example();
        down.supervisor = None;
        down.services = [("web", service(Goal::Down, StateWord::Inactive))]
            .map(|(name, status)| (ServiceName::new(name).unwrap(), status))
            .into_iter()
            .collect();
        insta::assert_snapshot!(screen(&down, Some(80), None), @r"
        demo: not running
        SERVICE  STATE
        web      inactive
        help: start with `baudbot up`
        ");
    }

    #[test]
    fn a_layer_that_does_not_hold_is_told_when_something_may_escape() {
        let mut status = Status {
            version: VERSION,
            project: ProjectName::new("demo").unwrap(),
            supervisor: Some(SupervisorStatus {
                pid: 99,
                guardian_pid: None,
                program_version: None,
                began: None,
                manifest: None,
                layers: Some(Box::new(Layers {
                    mark: Holding::Held,
                    subreaper: Holding::missing("a filter refuses"),
                    pidfd: Holding::Held,
                    children: Holding::Held,
                    exit_status: Holding::missing("the kernel does not tell"),
                    cgroup: Holding::Unused,
                })),
                usage: None,
            }),
            services: IndexMap::new(),
        };
        insta::assert_snapshot!(screen(&status, None, None), @r"
        demo: 0 of 0 services up, supervisor 99
        containment: subreaper does not hold here: a filter refuses; what is orphaned is found by its mark only
        ");
        status.supervisor = None;
        assert!(!screen(&status, None, None).contains("containment"));
    }

    #[test]
    fn what_is_wanted_decides_what_is_well() {
        for (goal, state, is_well) in [
            (Goal::Up, StateWord::Ready, true),
            (Goal::Up, StateWord::Completed, true),
            (Goal::Up, StateWord::Starting, false),
            (Goal::Up, StateWord::Inactive, false),
            (Goal::Up, StateWord::Skipped, true),
            (Goal::Down, StateWord::Inactive, true),
            (Goal::Down, StateWord::Stopping, false),
        ] {
            assert_eq!(
                is_as_wanted(&service(goal, state)),
                is_well,
                "{goal:?} {state:?}"
            );
        }
    }
}
