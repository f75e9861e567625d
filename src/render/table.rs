//! Columns that line up.

use anstyle::Style;

use super::visible::one_line;
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
            text: one_line(&text.into()).into_owned(),
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

    /// Leaves out the columns that have nothing but dashes below their headings.
    pub fn without_empty_columns(mut self) -> Self {
        let columns = self.rows.first().map_or(0, Vec::len);
        for column in (0..columns).rev() {
            let is_empty = self.rows.iter().skip(1).all(|row| {
                row.get(column)
                    .is_none_or(|cell| matches!(cell.text.as_str(), "" | "-"))
            });
            if is_empty {
                self.remove(column);
            }
        }
        self
    }

    /// Leaves out the column with this heading.
    pub fn without(mut self, heading: &str) -> Self {
        if let Some(column) = self.column(heading) {
            self.remove(column);
        }
        self
    }

    fn column(&self, heading: &str) -> Option<usize> {
        self.rows
            .first()?
            .iter()
            .position(|cell| cell.text == heading)
    }

    /// Leaves out whole columns until the rest is no wider than `width`: the one with this heading
    /// first that stands first in `dispensable`.
    pub fn fitted(mut self, width: usize, dispensable: &[&str]) -> Self {
        for heading in dispensable {
            if self.width() <= width {
                break;
            }
            self = self.without(heading);
        }
        self
    }

    fn remove(&mut self, column: usize) {
        for row in &mut self.rows {
            if column < row.len() {
                row.remove(column);
            }
        }
    }

    fn width(&self) -> usize {
        let widths = self.widths();
        widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1)
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.text.chars().count())
                .max()
                .unwrap_or(0)
        };
        (0..columns).map(width).collect()
    }

    /// The table as text, each line with its newline and `indent` before it.
    pub fn text(&self, look: &Look, indent: &str) -> String {
        let widths = self.widths();
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
    fn what_does_not_fit_is_left_out_in_the_order_that_is_given() {
        let table = || {
            let mut table = Table::new(&["NAME", "PID", "USER", "STATE"]);
            table.row(["a".into(), Cell::none(), "root".into(), "ready".into()]);
            table.without_empty_columns()
        };
        let fitted = |width| {
            table()
                .fitted(width, &["STATE", "USER"])
                .text(&Look::PLAIN, "")
        };
        assert_eq!(fitted(80), "NAME  USER  STATE\na     root  ready\n");
        assert_eq!(fitted(16), "NAME  USER\na     root\n");
        assert_eq!(fitted(3), "NAME\na\n");
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
