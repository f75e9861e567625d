//! Columns that line up.

use anstyle::Style;

use super::{FAINT, Look};

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// Text in a style.
    pub fn styled(text: impl Into<String>, style: Style) -> Self {
        Self {
            text: text.into(),
            style,
        }
    }

    /// A dash for what there is not.
    pub fn none() -> Self {
        Self::styled("-", FAINT)
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, Style::new())
    }
}

/// Rows below headings. What the last column holds is neither padded nor cut.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// With these headings.
    pub fn new(headings: &[&str]) -> Self {
        let headings = headings
            .iter()
            .map(|heading| Cell::styled(*heading, FAINT))
            .collect();
        Self {
            rows: vec![headings],
        }
    }

    /// Without headings.
    pub fn bare() -> Self {
        Self { rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table as text, each line with its newline and `indent` before it.
    pub fn text(&self, look: &Look, indent: &str) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.text.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            // What ends a row needs no padding.
            let last = row.iter().rposition(|cell| !cell.text.is_empty());
            text += indent;
            for (column, cell) in row.iter().enumerate().take(last.map_or(0, |last| last + 1)) {
                text += &look.paint(cell.style, &cell.text);
                if Some(column) != last {
                    let padding = widths[column] - cell.text.chars().count() + 2;
                    text.extend(std::iter::repeat_n(' ', padding));
                }
            }
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::GOOD;

    fn example() -> Table {
        let mut table = Table::new(&["NAME", "STATE", "WHY"]);
        table.row(["a".into(), Cell::styled("ready", GOOD), "".into()]);
        table.row(["längst".into(), "failed".into(), "exited with 1".into()]);
        table
    }

    #[test]
    fn columns_line_up_and_lines_have_no_trailing_space() {
        assert_eq!(
            example().text(&Look::PLAIN, "  "),
            "  NAME    STATE   WHY\n  a       ready\n  längst  failed  exited with 1\n"
        );
    }

    #[test]
    fn colour_does_not_count_as_width() {
        let coloured = Look {
            has_colour: true,
            ..Look::PLAIN
        };
        let text = example().text(&coloured, "");
        assert_eq!(
            anstream::adapter::strip_str(&text).to_string(),
            example().text(&Look::PLAIN, "")
        );
        assert_ne!(text, example().text(&Look::PLAIN, ""));
    }
}
