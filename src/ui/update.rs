//! What keys and news do.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::log::{Log, Window, pieces};
use super::model::{Effect, Event, Focus, Link, Mode, Model, Outcome};
use super::view::help;
use crate::control::protocol::Status;
use crate::id::ServiceName;

/// Turns the model by one event and says what is to be done.
pub fn update(model: &mut Model, event: Event) -> Vec<Effect> {
    match event {
        Event::Key(key) => return press(model, key),
        Event::Resized(width, height) => {
            (model.width, model.height) = (width, height);
            keep_selection_in_sight(model);
        }
        Event::Now(now) => model.now = now,
        Event::Status(status) => return take_status(model, status),
        Event::Service(name, Some(status)) => {
            model.services.insert(name, *status);
            return settle_selection(model);
        }
        Event::Service(name, None) => {
            model.services.shift_remove(&name);
            return settle_selection(model);
        }
        Event::Link(link) => model.link = link,
        Event::Lines(service, lines) if model.log.service.as_ref() == Some(&service) => {
            model.log.push(lines);
        }
        Event::LogError(service, error) if model.log.service.as_ref() == Some(&service) => {
            model.log.error = Some(error);
        }
        // Of a service that is not looked at any more.
        Event::Lines(..) | Event::LogError(..) => {}
        Event::Ended {
            command,
            outcome,
            page,
        } => {
            if let Some(at) = model.running.iter().position(|one| *one == command) {
                model.running.remove(at);
            }
            model.message = Some(outcome);
            if let Some(lines) = page {
                let width = usize::from(model.width).saturating_sub(2).max(1);
                let lines = lines.iter().flat_map(|line| pieces(line, width));
                model.mode = Mode::Page {
                    title: command,
                    lines: lines.map(str::to_owned).collect(),
                    top: 0,
                };
            }
        }
    }
    Vec::new()
}

fn take_status(model: &mut Model, status: Status) -> Vec<Effect> {
    model.link = match status.supervisor {
        Some(supervisor) => Link::Connected {
            pid: supervisor.pid,
        },
        None => Link::Down,
    };
    model.services = status.services;
    settle_selection(model)
}

/// Selects a service that is listed, and shows its log.
fn settle_selection(model: &mut Model) -> Vec<Effect> {
    let listed = model.listed();
    let is_listed = listed
        .iter()
        .any(|(name, _)| Some(*name) == model.selected.as_ref());
    if !is_listed {
        let first = listed.first().map(|(name, _)| (*name).clone());
        return select(model, first);
    }
    keep_selection_in_sight(model);
    Vec::new()
}

fn select(model: &mut Model, name: Option<ServiceName>) -> Vec<Effect> {
    model.selected = name;
    keep_selection_in_sight(model);
    match &model.selected {
        Some(name) if model.log.service.as_ref() != Some(name) => {
            let search = std::mem::take(&mut model.log.search);
            model.log = Log::of(name.clone());
            // What is looked for is looked for in the next service's log too.
            model.log.search = search;
            vec![Effect::ShowLog(name.clone())]
        }
        _ => Vec::new(),
    }
}

fn keep_selection_in_sight(model: &mut Model) {
    let rows = usize::from(model.areas().list.height).max(1);
    let listed = model.listed();
    let count = listed.len();
    let at = listed
        .iter()
        .position(|(name, _)| Some(*name) == model.selected.as_ref())
        .unwrap_or(0);
    model.list_top = model
        .list_top
        .clamp((at + 1).saturating_sub(rows), at)
        .min(count.saturating_sub(rows));
}

/// Moves the selection by so many rows.
fn step(model: &mut Model, rows: isize) -> Vec<Effect> {
    let listed = model.listed();
    let at = listed
        .iter()
        .position(|(name, _)| Some(*name) == model.selected.as_ref())
        .unwrap_or(0);
    let to = at
        .saturating_add_signed(rows)
        .min(listed.len().saturating_sub(1));
    let name = listed.get(to).map(|(name, _)| (*name).clone());
    select(model, name)
}

fn press(model: &mut Model, key: KeyEvent) -> Vec<Effect> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        match key.code {
            KeyCode::Char('c') => return vec![Effect::Quit],
            KeyCode::Char('z') => return vec![Effect::Suspend],
            _ => {}
        }
    }
    match &model.mode {
        Mode::Normal => press_normal(model, key),
        Mode::Filtering { .. } | Mode::Searching { .. } => press_typing(model, key),
        Mode::Page { .. } => press_page(model, key),
        Mode::AskingDown => {
            model.mode = Mode::Normal;
            match key.code {
                KeyCode::Char('y' | 'Y') => run(model, &["down"], false),
                _ => Vec::new(),
            }
        }
    }
}

fn press_typing(model: &mut Model, key: KeyEvent) -> Vec<Effect> {
    let is_filter = matches!(model.mode, Mode::Filtering { .. });
    let mut text = match is_filter {
        true => model.filter.clone(),
        false => model.log.search.clone(),
    };
    match key.code {
        KeyCode::Enter => {
            model.mode = Mode::Normal;
            if !is_filter {
                find(model, true);
            }
            return Vec::new();
        }
        KeyCode::Esc => {
            if let Mode::Filtering { before } | Mode::Searching { before } =
                std::mem::replace(&mut model.mode, Mode::Normal)
            {
                text = before;
            }
        }
        KeyCode::Backspace => {
            text.pop();
        }
        KeyCode::Char('u') if key.modifiers.contains(KeyModifiers::CONTROL) => text.clear(),
        KeyCode::Char(character) if !key.modifiers.contains(KeyModifiers::CONTROL) => {
            text.push(character);
        }
        KeyCode::Up if is_filter => return step(model, -1),
        KeyCode::Down if is_filter => return step(model, 1),
        _ => {}
    }
    if is_filter {
        model.filter = text;
        return settle_selection(model);
    }
    model.log.set_search(text);
    Vec::new()
}

fn press_page(model: &mut Model, key: KeyEvent) -> Vec<Effect> {
    let rows = usize::from(model.areas().page.height)
        .saturating_sub(1)
        .max(1);
    let Mode::Page { lines, top, .. } = &mut model.mode else {
        return Vec::new();
    };
    let last = lines.len().saturating_sub(rows);
    match key.code {
        KeyCode::Up | KeyCode::Char('k') => *top = top.saturating_sub(1),
        KeyCode::Down | KeyCode::Char('j') => *top = (*top + 1).min(last),
        KeyCode::PageUp => *top = top.saturating_sub(rows),
        KeyCode::PageDown | KeyCode::Char(' ') => *top = (*top + rows).min(last),
        KeyCode::Home | KeyCode::Char('g') => *top = 0,
        KeyCode::End | KeyCode::Char('G') => *top = last,
        _ => model.mode = Mode::Normal,
    }
    Vec::new()
}

fn press_normal(model: &mut Model, key: KeyEvent) -> Vec<Effect> {
    model.message = None;
    match key.code {
        KeyCode::Char('q') => return vec![Effect::Quit],
        KeyCode::Char('?') | KeyCode::F(1) => {
            model.mode = Mode::Page {
                title: "keys".into(),
                lines: help(),
                top: 0,
            };
        }
        KeyCode::Tab | KeyCode::BackTab => {
            model.focus = match model.focus {
                Focus::Services if !model.is_zoomed => Focus::Log,
                Focus::Log if !model.is_zoomed => Focus::Services,
                other => other,
            };
        }
        KeyCode::Enter | KeyCode::Char('z') => {
            model.is_zoomed = !model.is_zoomed;
            model.focus = match model.is_zoomed {
                true => Focus::Log,
                false => Focus::Services,
            };
            keep_selection_in_sight(model);
        }
        KeyCode::Esc => return escape(model),
        KeyCode::Char('t') => model.has_times = !model.has_times,
        KeyCode::Char('/') if model.focus == Focus::Log => {
            let before = std::mem::take(&mut model.log.search);
            model.log.found = None;
            model.mode = Mode::Searching { before };
        }
        KeyCode::Char('/') => {
            let before = std::mem::take(&mut model.filter);
            model.mode = Mode::Filtering { before };
            return settle_selection(model);
        }
        KeyCode::Char('n') => find(model, true),
        KeyCode::Char('N') => find(model, false),
        KeyCode::Char('u') => return run(model, &["up"], false),
        KeyCode::Char('d') => model.mode = Mode::AskingDown,
        KeyCode::Char('s') => return run_selected(model, "start", false),
        KeyCode::Char('x') => return run_selected(model, "stop", false),
        KeyCode::Char('r') => return run_selected(model, "restart", false),
        KeyCode::Char('w') => return run_selected(model, "why", true),
        KeyCode::Char('a') => return attach(model),
        _ => return travel(model, key.code),
    }
    Vec::new()
}

/// Takes back one thing: the zoom, the scrolling, the search, the filter.
fn escape(model: &mut Model) -> Vec<Effect> {
    if model.is_zoomed {
        model.is_zoomed = false;
        model.focus = Focus::Services;
    } else if !model.log.is_following() {
        model.log.follow();
    } else if !model.log.search.is_empty() {
        model.log.set_search(String::new());
    } else if !model.filter.is_empty() {
        model.filter.clear();
        return settle_selection(model);
    }
    keep_selection_in_sight(model);
    Vec::new()
}

/// The keys that move, in the list or in the log.
fn travel(model: &mut Model, key: KeyCode) -> Vec<Effect> {
    let window = window(model);
    let page = match model.focus {
        Focus::Services => usize::from(model.areas().list.height),
        Focus::Log => window.height,
    };
    let page = isize::try_from(page.saturating_sub(1).max(1)).unwrap_or(1);
    let rows = match key {
        KeyCode::Up | KeyCode::Char('k') => -1,
        KeyCode::Down | KeyCode::Char('j') => 1,
        KeyCode::PageUp => -page,
        KeyCode::PageDown => page,
        KeyCode::Home | KeyCode::Char('g') => isize::MIN,
        KeyCode::End | KeyCode::Char('G') => isize::MAX,
        _ => return Vec::new(),
    };
    match (model.focus, rows) {
        (Focus::Services, _) => return step(model, rows),
        (Focus::Log, isize::MIN) => model.log.go_to_start(window),
        (Focus::Log, isize::MAX) => model.log.follow(),
        (Focus::Log, _) => model.log.scroll(rows, window),
    }
    Vec::new()
}

pub(super) fn window(model: &Model) -> Window {
    Window {
        width: model.log_text_width(),
        height: usize::from(model.areas().log.height).max(1),
    }
}

fn find(model: &mut Model, is_back: bool) {
    let window = window(model);
    if model.log.search.is_empty() {
        return tell(model, "type / in the log to look for a text", false);
    }
    if !model.log.find(is_back, window) {
        let way = if is_back { "older" } else { "newer" };
        let text = format!("no {way} line has `{}`", model.log.search);
        tell(model, &text, false);
    }
}

fn tell(model: &mut Model, text: &str, is_bad: bool) {
    model.message = Some(Outcome {
        text: text.to_owned(),
        is_bad,
    });
}

fn run(model: &mut Model, words: &[&str], shows_page: bool) -> Vec<Effect> {
    let command = words.join(" ");
    if model.running.contains(&command) {
        tell(model, &format!("`{command}` is under way already"), false);
        return Vec::new();
    }
    model.running.push(command);
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    vec![Effect::Run { words, shows_page }]
}

fn run_selected(model: &mut Model, command: &str, shows_page: bool) -> Vec<Effect> {
    let Some(name) = model.selected.clone() else {
        return Vec::new();
    };
    run(model, &[command, name.as_str()], shows_page)
}

/// A session can be attached to; of anything else the log is what there is to see.
fn attach(model: &mut Model) -> Vec<Effect> {
    let Some((name, service)) = model.selected() else {
        return Vec::new();
    };
    if service.session.is_some() && !service.state.is_down() {
        return vec![Effect::HandOver(vec!["attach".into(), name.to_string()])];
    }
    let text = match service.session {
        Some(_) => format!("`{name}` has no session now; s starts it"),
        None => format!("`{name}` is no tmux session; this is what it prints"),
    };
    if service.session.is_none() {
        model.is_zoomed = true;
        model.focus = Focus::Log;
        model.log.follow();
    }
    tell(model, &text, false);
    Vec::new()
}
