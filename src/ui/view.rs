//! What is drawn.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::log::pieces;
use super::model::{CLOCK_WIDTH, Focus, Link, Mode, Model};
use super::update::window;
use crate::control::protocol::ServiceStatus;
use crate::id::ServiceName;
use crate::machine::{Goal, StateWord};
use crate::render::human;
use crate::render::tally::Tally;

/// Draws the whole screen.
pub fn view(model: &Model, frame: &mut Frame<'_>) {
    let areas = model.areas();
    title(model, frame, areas.title);
    if let Mode::Page { title, lines, top } = &model.mode {
        page(model, frame, areas.page, title, lines, *top);
    } else {
        list(model, frame, areas.list);
        border(model, frame, areas.border);
        detail(model, frame, areas.detail);
        rule(model, frame, areas.rule);
        log(model, frame, areas.log);
    }
    message(model, frame, areas.message);
    keys(model, frame, areas.keys);
}

fn put(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'_>>) {
    // A terminal can be smaller than anything that is to be shown.
    let area = area.intersection(frame.area());
    frame.render_widget(Paragraph::new(lines), area);
}

fn title(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let left = format!(" {}  {}", model.project, summary(model));
    let right = match model.link {
        Link::Connected { pid } => format!("supervisor {pid} "),
        Link::Down => "not running ".to_owned(),
        Link::Lost => "the supervisor is gone; looking for it ".to_owned(),
    };
    let style = match model.link {
        Link::Lost => model.style(Color::Red).add_modifier(Modifier::REVERSED),
        _ => Style::new().add_modifier(Modifier::REVERSED),
    };
    let text = two_ends(&left, &right, area.width);
    put(frame, area, vec![Line::styled(text, style)]);
}

/// `3 of 5 up, 1 failed`.
fn summary(model: &Model) -> String {
    Tally::of(model.services.values().map(Some)).short()
}

fn list(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let listed = model.listed();
    if listed.is_empty() && area.height > 0 {
        let text = match model.filter.is_empty() {
            true => "no services",
            false => "nothing matches; Esc",
        };
        return put(frame, area, vec![Line::styled(text, model.faint())]);
    }
    let longest = listed.iter().map(|(name, _)| name.as_str().len()).max();
    let columns = Columns::new(usize::from(area.width), longest.unwrap_or(0));
    let rows = listed
        .iter()
        .skip(model.list_top)
        .take(usize::from(area.height))
        .map(|(name, service)| list_row(model, name, service, columns))
        .collect();
    put(frame, area, rows);
}

const STATE: usize = 9;
const AGE: usize = 4;

/// What a row of the list has room for.
#[derive(Clone, Copy)]
struct Columns {
    name: usize,
    has_state: bool,
    has_age: bool,
}

impl Columns {
    /// A name tells more than an age and than the word for a state, whose mark stays.
    fn new(width: usize, longest_name: usize) -> Self {
        // The mark between blanks, and the blank after the name.
        let room = width.saturating_sub(4);
        // The age has a blank behind it.
        let has_age = room > longest_name + STATE + AGE;
        let has_state = room >= longest_name + STATE;
        let taken = match (has_state, has_age) {
            (_, true) => STATE + AGE + 1,
            (true, false) => STATE,
            (false, false) => 0,
        };
        Self {
            name: room.saturating_sub(taken),
            has_state,
            has_age,
        }
    }
}

fn list_row<'a>(
    model: &Model,
    name: &'a ServiceName,
    service: &'a ServiceStatus,
    columns: Columns,
) -> Line<'a> {
    let state = model.state_style(service.state);
    let age = service.since.map(|since| {
        let ago = human::ago(since, model.now);
        ago.strip_suffix(" ago").unwrap_or(&ago).to_owned()
    });
    let mut spans = vec![
        Span::styled(format!(" {} ", model.mark(service)), state),
        Span::raw(fitted(name.as_str(), columns.name)),
        Span::raw(" "),
    ];
    if columns.has_state {
        spans.push(Span::styled(fitted(service.state.word(), STATE), state));
    }
    if columns.has_age {
        let age = format!("{:>AGE$} ", age.unwrap_or_default());
        spans.push(Span::styled(age, model.faint()));
    }
    let line = Line::from(spans);
    if model.selected.as_ref() == Some(name) {
        let style = match model.focus {
            Focus::Services => Modifier::REVERSED | Modifier::BOLD,
            Focus::Log => Modifier::UNDERLINED | Modifier::BOLD,
        };
        return line.style(Style::new().add_modifier(style));
    }
    line
}

fn border(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    if area.width == 0 {
        return;
    }
    let bar = if model.has_unicode { "│" } else { "|" };
    // What there is of the list above and below.
    let count = model.listed().len();
    let rows = usize::from(area.height);
    let lines = (0..rows)
        .map(|row| {
            let is_more_above = row == 0 && model.list_top > 0;
            let is_more_below = row + 1 == rows && model.list_top + rows < count;
            let text = match (is_more_above, is_more_below, model.has_unicode) {
                (true, _, true) => "↑",
                (true, _, false) => "^",
                (false, true, true) => "↓",
                (false, true, false) => "v",
                (false, false, _) => bar,
            };
            Line::styled(text, model.faint())
        })
        .collect();
    put(frame, area, lines);
}

fn detail(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let Some((name, service)) = model.selected() else {
        let text = "nothing is declared and nothing runs";
        return put(frame, area, vec![Line::raw(text)]);
    };
    let mut facts = vec![service.kind.clone()];
    if let Some(pid) = service.pid {
        facts.push(format!("pid {pid}"));
    }
    if service.restarts > 0 {
        facts.push(human::count(
            usize::try_from(service.restarts).unwrap_or(usize::MAX),
            "restart",
        ));
    }
    if service.goal == Goal::Down && !service.state.is_down() {
        facts.push("to be down".into());
    }
    if service.goal == Goal::Up && service.state == StateWord::Inactive {
        facts.push("to be up".into());
    }
    if !service.ports.is_empty() {
        let ports: Vec<String> = service.ports.iter().map(ToString::to_string).collect();
        facts.push(format!("port {}", ports.join(", ")));
    }
    if let Some(session) = &service.session {
        facts.push(format!("session {session}"));
    }
    let first = Line::from(vec![
        Span::styled(
            format!("{name} "),
            Style::new().add_modifier(Modifier::BOLD),
        ),
        Span::styled(service.state.word(), model.state_style(service.state)),
        Span::raw(
            format!(" · {}", facts.join(" · "))
                .replace('·', if model.has_unicode { "·" } else { "-" }),
        ),
    ]);
    let (text, style) = explanation(model, service);
    let width = usize::from(area.width).max(1);
    let mut lines = vec![first];
    for row in human::wrapped(&text, width) {
        lines.extend(pieces(&row, width).map(|row| Line::styled(row.to_owned(), style)));
    }
    put(frame, area, lines);
}

/// Why it is as it is; else whom it waits for; else what it is.
fn explanation(model: &Model, service: &ServiceStatus) -> (String, Style) {
    if model.is_idle() {
        let text = "nothing runs: u brings everything up";
        return (text.into(), model.style(Color::Cyan));
    }
    if let Some(reason) = &service.reason {
        return (reason.clone(), model.state_style(service.state));
    }
    if !service.waits_for.is_empty() {
        let names = human::names(&service.waits_for);
        return (format!("waits for {names}"), model.style(Color::Yellow));
    }
    (
        service.description.clone().unwrap_or_default(),
        model.faint(),
    )
}

fn rule(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let dash = if model.has_unicode { "─" } else { "-" };
    let mut text = format!("{dash} log ");
    if !model.log.search.is_empty() && !matches!(model.mode, Mode::Searching { .. }) {
        let count = human::count(model.log.count_matches(), "match");
        text += &format!("{dash} `{}`: {count} ", model.log.search);
    }
    let (line, count) = model.log.place(window(model));
    if model.log.is_following() {
        text += &format!("{dash} following ");
    } else {
        text += &format!("{dash} line {line} of {count} ");
    }
    let rest = usize::from(area.width).saturating_sub(text.width());
    text += &dash.repeat(rest);
    let style = match model.focus {
        Focus::Log => Style::new().add_modifier(Modifier::BOLD),
        Focus::Services => model.faint(),
    };
    put(
        frame,
        area,
        vec![Line::styled(cut(&text, area.width), style)],
    );
}

fn log(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    if let Some(error) = &model.log.error {
        let text = Line::styled(error.as_str(), model.style(Color::Red));
        return put(frame, area, vec![text]);
    }
    if model.log.lines.is_empty() {
        let text = Line::styled("it has printed nothing yet", model.faint());
        return put(frame, area, vec![text]);
    }
    let lines = model
        .log
        .rows(window(model))
        .into_iter()
        .map(|row| {
            let mut spans = Vec::new();
            if model.has_times {
                let clock = row.clock.unwrap_or_default();
                spans.push(Span::styled(
                    format!("{clock:CLOCK_WIDTH$} "),
                    model.faint(),
                ));
            }
            match row.is_note {
                true => spans.push(Span::styled(row.text, model.faint())),
                false => spans.extend(highlighted(model, row.text, row.number)),
            }
            Line::from(spans)
        })
        .collect();
    put(frame, area, lines);
}

fn highlighted<'a>(model: &Model, text: &'a str, number: usize) -> Vec<Span<'a>> {
    let style = if model.log.found == Some(number) {
        Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD)
    } else {
        model.style(Color::Yellow).add_modifier(Modifier::REVERSED)
    };
    let mut spans = Vec::new();
    let mut at = 0;
    for (from, to) in model.log.matches(text) {
        spans.push(Span::raw(&text[at..from]));
        spans.push(Span::styled(&text[from..to], style));
        at = to;
    }
    spans.push(Span::raw(&text[at..]));
    spans
}

fn page(
    model: &Model,
    frame: &mut Frame<'_>,
    area: Rect,
    title: &str,
    lines: &[String],
    top: usize,
) {
    let heading = Line::styled(
        format!(" {title}"),
        Style::new().add_modifier(Modifier::BOLD),
    );
    let rows = usize::from(area.height).saturating_sub(1);
    let mut shown = vec![heading];
    shown.extend(
        lines
            .iter()
            .skip(top)
            .take(rows)
            .map(|line| Line::raw(format!(" {line}"))),
    );
    put(frame, area, shown);
    if top + rows < lines.len() && area.height > 0 {
        let last = Rect {
            y: area.y + area.height - 1,
            height: 1,
            ..area
        };
        let more = format!(
            " {} more; PgDn",
            human::count(lines.len() - top - rows + 1, "line")
        );
        put(
            frame,
            last,
            vec![Line::styled(
                fitted(&more, usize::from(area.width)),
                model.faint(),
            )],
        );
    }
}

fn message(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let cursor = if model.has_unicode { "█" } else { "_" };
    let line = match &model.mode {
        Mode::Filtering { .. } => Line::raw(format!(" services: /{}{cursor}", model.filter)),
        Mode::Searching { .. } => Line::raw(format!(" log: /{}{cursor}", model.log.search)),
        Mode::AskingDown => Line::styled(
            " take the whole project down? y: yes, any other key: no",
            model.style(Color::Yellow).add_modifier(Modifier::BOLD),
        ),
        Mode::Normal | Mode::Page { .. } => match (&model.message, model.running.as_slice()) {
            (Some(outcome), _) => {
                let style = match outcome.is_bad {
                    true => model.style(Color::Red).add_modifier(Modifier::BOLD),
                    false => Style::new(),
                };
                Line::styled(format!(" {}", outcome.text), style)
            }
            (None, []) if !model.filter.is_empty() => Line::styled(
                format!(
                    " {} of {} match `{}`; Esc shows all",
                    model.listed().len(),
                    human::count(model.services.len(), "service"),
                    model.filter
                ),
                model.faint(),
            ),
            (None, []) if model.link == Link::Lost => Line::styled(
                " what it started may run on: u takes it over, d takes it down",
                model.style(Color::Yellow),
            ),
            (None, []) => Line::raw(""),
            (None, commands) => Line::styled(
                format!(" under way: {}", commands.join(", ")),
                model.style(Color::Yellow),
            ),
        },
    };
    put(frame, area, vec![line]);
}

/// The keys, the most wanted first: where there is no room, the last but two are left out.
fn key_names(model: &Model) -> Vec<(&'static str, &'static str)> {
    match (&model.mode, model.focus) {
        (Mode::Filtering { .. } | Mode::Searching { .. }, _) => {
            vec![("Enter", "done"), ("Esc", "as before"), ("^U", "clear")]
        }
        (Mode::AskingDown, _) => vec![("y", "yes"), ("n", "no")],
        (Mode::Page { .. }, _) => vec![("PgUp PgDn", "scroll"), ("Esc", "back")],
        (Mode::Normal, Focus::Services) if model.is_idle() => vec![
            ("u", "up"),
            ("s", "start"),
            ("/", "filter"),
            ("Tab", "log"),
            ("w", "why"),
            ("?", "help"),
            ("q", "quit"),
        ],
        (Mode::Normal, Focus::Services) => vec![
            ("s", "start"),
            ("x", "stop"),
            ("r", "restart"),
            ("w", "why"),
            ("a", "attach"),
            ("/", "filter"),
            ("Tab", "log"),
            ("u", "up"),
            ("d", "down"),
            ("?", "help"),
            ("q", "quit"),
        ],
        (Mode::Normal, Focus::Log) => vec![
            ("PgUp", "scroll"),
            ("End", "follow"),
            ("/", "search"),
            ("n", "older"),
            ("N", "newer"),
            ("t", "times"),
            ("z", "zoom"),
            ("Tab", "services"),
            ("?", "help"),
            ("q", "quit"),
        ],
    }
}

fn keys(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let mut names = key_names(model);
    let width = |names: &[(&str, &str)]| -> usize {
        names
            .iter()
            .map(|(key, what)| key.width() + what.width() + 3)
            .sum()
    };
    while width(&names) > usize::from(area.width) && names.len() > 2 {
        names.remove(names.len() - 3);
    }
    let spans: Vec<Span<'_>> = names
        .iter()
        .flat_map(|(key, what)| {
            [
                Span::styled(
                    format!(" {key}"),
                    model.style(Color::Cyan).add_modifier(Modifier::BOLD),
                ),
                Span::raw(format!(" {what} ")),
            ]
        })
        .collect();
    put(frame, area, vec![Line::from(spans)]);
}

/// What the keys do, for the page of help.
pub(super) fn help() -> Vec<String> {
    [
        "In the list of services",
        "  Up Down k j        select; PgUp PgDn Home End page",
        "  /                  filter by name, state or @group; Esc shows all",
        "  s x r              start, stop, restart the selected service",
        "  w                  why: its whole story",
        "  a                  attach to its tmux session (detach: Ctrl-B d)",
        "  Tab                to the log and back",
        "In the log",
        "  Up Down PgUp PgDn  scroll; Home: the oldest line kept, End: follow",
        "  /  n  N            search; the next older, the next newer match",
        "  z or Enter         the log alone; t: with times",
        "Everywhere",
        "  u  d               bring everything up; take everything down (asks)",
        "  Esc                one step back: zoom, scrolling, search, filter",
        "  Ctrl-Z             suspend; `fg` comes back",
        "  q or Ctrl-C        leave; what runs goes on",
        "",
        "Everything here is a command too: `baudbot start NAME`, `baudbot logs -f NAME`, ...",
    ]
    .map(str::to_owned)
    .to_vec()
}

impl Model {
    fn style(&self, colour: Color) -> Style {
        match self.has_colour {
            true => Style::new().fg(colour),
            false => Style::new(),
        }
    }

    fn faint(&self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    fn state_style(&self, state: StateWord) -> Style {
        match state {
            StateWord::Ready | StateWord::Completed => self.style(Color::Green),
            StateWord::Blocked | StateWord::Failed | StateWord::Unhealthy => {
                self.style(Color::Red).add_modifier(Modifier::BOLD)
            }
            StateWord::Inactive | StateWord::Skipped => self.faint(),
            _ => self.style(Color::Yellow),
        }
    }

    /// The state as one character, for those who do not read colours either.
    fn mark(&self, service: &ServiceStatus) -> &'static str {
        let (mark, plain) = match service.state {
            StateWord::Ready => ("●", "+"),
            StateWord::Completed => ("✓", "="),
            StateWord::Blocked | StateWord::Failed | StateWord::Unhealthy => ("✗", "!"),
            StateWord::Inactive | StateWord::Skipped => ("○", "-"),
            _ => ("◌", "~"),
        };
        if self.has_unicode { mark } else { plain }
    }
}

/// `left` and `right` at the two ends of a row; where there is no room for both, `right` wins.
fn two_ends(left: &str, right: &str, width: u16) -> String {
    let room = usize::from(width).saturating_sub(right.width());
    fitted(left, room) + &cut(right, width)
}

/// `text` in exactly this many columns.
fn fitted(text: &str, width: usize) -> String {
    let mut text = cut(text, u16::try_from(width).unwrap_or(u16::MAX));
    let rest = width.saturating_sub(text.width());
    text.extend(std::iter::repeat_n(' ', rest));
    text
}

/// `text` in at most this many columns, with `…` for what is missing.
fn cut(text: &str, width: u16) -> String {
    let width = usize::from(width);
    if text.width() <= width {
        return text.to_owned();
    }
    let mut columns = 0;
    let mut kept = String::new();
    for character in text.chars() {
        columns += character.width().unwrap_or(0);
        if columns + 1 > width {
            break;
        }
        kept.push(character);
    }
    if width > 0 {
        kept.push('…');
    }
    kept
}
