//! The diagnostics of a manifest, drawn with their sources.

use std::path::Path;

use miette::{GraphicalReportHandler, GraphicalTheme};

use super::{BAD, BUSY, GOOD, Look, human};
use crate::manifest::Loaded;

/// Where text is not fitted to a terminal, help texts are wrapped here.
const DEFAULT_WIDTH: usize = 100;

/// Every diagnostic, and a last line that counts them. Empty when there is none.
pub fn diagnostics(loaded: &Loaded, look: &Look) -> String {
    if loaded.diagnostics.is_empty() {
        return String::new();
    }
    let theme = match (look.has_unicode, look.has_colour) {
        (true, true) => GraphicalTheme::unicode(),
        (true, false) => GraphicalTheme::unicode_nocolor(),
        // The ASCII theme has colours of its own.
        (false, true) => GraphicalTheme {
            characters: miette::ThemeCharacters::ascii(),
            styles: miette::ThemeStyles::ansi(),
        },
        (false, false) => GraphicalTheme::none(),
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_links(false)
        .with_width(look.width.map_or(DEFAULT_WIDTH, usize::from));
    let mut text = String::new();
    for report in loaded.reports() {
        // Writing into a string does not fail; if it did, the message is what matters.
        if handler.render_report(&mut text, &report).is_err() {
            text += &report.to_string();
        }
        text.push('\n');
    }
    let errors = loaded
        .diagnostics
        .iter()
        .filter(|one| one.is_error())
        .count();
    let warnings = loaded.diagnostics.len() - errors;
    let mut counts = Vec::new();
    if errors > 0 {
        counts.push(look.paint(BAD, &human::count(errors, "error")));
    }
    if warnings > 0 {
        counts.push(look.paint(BUSY, &human::count(warnings, "warning")));
    }
    text += &counts.join(", ");
    text.push('\n');
    if look.has_unicode {
        text
    } else {
        text.replace('…', "...")
    }
}

/// What `validate` says of a manifest without errors.
pub fn valid(file: &Path, services: usize, look: &Look) -> String {
    format!(
        "{} is {}: {}\n",
        file.display(),
        look.paint(GOOD, "valid"),
        human::count(services, "service")
    )
}
