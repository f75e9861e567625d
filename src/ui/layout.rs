//! Where things are on the screen.

use ratatui::layout::Rect;

/// The places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Areas {
    /// The project, and how it is.
    pub(super) title: Rect,
    /// The services; empty while the log has the whole width.
    pub(super) list: Rect,
    /// The line between list and log.
    pub(super) border: Rect,
    /// What there is to say about the selected service.
    pub(super) detail: Rect,
    /// The line above the log.
    pub(super) rule: Rect,
    /// The log.
    pub(super) log: Rect,
    /// Everything between the title and the message, for a page of text.
    pub(super) page: Rect,
    /// What was done last, or what is being typed.
    pub(super) message: Rect,
    /// Which keys there are.
    pub(super) keys: Rect,
}

/// Mark, space, state, space, age; the name comes to these.
const BESIDE_NAME: usize = 18;
const DETAIL_ROWS: u16 = 3;

impl Areas {
    /// For a terminal of this size. Where there is no room, the log loses first, then the list.
    pub(super) fn new(width: u16, height: u16, is_zoomed: bool, longest_name: usize) -> Self {
        let row = |y: u16, rows: u16| {
            let y = y.min(height);
            Rect::new(0, y, width, rows.min(height - y))
        };
        let title = row(0, 1);
        let body = row(1, height.saturating_sub(3));
        let message = row(height.saturating_sub(2).max(1), 1);
        let keys = row(height.saturating_sub(1).max(2), 1);
        let wished = u16::try_from(longest_name + BESIDE_NAME).unwrap_or(u16::MAX);
        let list_width = match is_zoomed {
            true => 0,
            false => wished.clamp(26, 48).min(width * 2 / 5),
        };
        let list = Rect {
            width: list_width,
            ..body
        };
        let border_width = u16::from(list_width > 0 && list_width < width);
        let border = Rect {
            x: list_width,
            width: border_width,
            ..body
        };
        let gap = if border_width > 0 { 1 } else { 0 };
        let left = (list_width + border_width + gap).min(width);
        let right = Rect {
            x: left,
            width: width - left,
            ..body
        };
        let part = |from: u16, rows: u16| {
            let from = from.min(right.height);
            Rect {
                y: right.y + from,
                height: rows.min(right.height - from),
                ..right
            }
        };
        Self {
            title,
            list,
            border,
            detail: part(0, DETAIL_ROWS),
            rule: part(DETAIL_ROWS, 1),
            log: part(DETAIL_ROWS + 1, u16::MAX),
            page: body,
            message,
            keys,
        }
    }
}
