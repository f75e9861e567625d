//! A text that takes the whole terminal and is drawn again and again.
//!
//! It is drawn on the terminal's alternate screen, so that nothing of what stood there before is
//! lost; what was drawn last is left behind on the ordinary one. A terminal that was given is always
//! given back, whatever ends the drawing but SIGKILL.

use std::io::{self, Write};

use super::visible::visible;

/// Enters the alternate screen and hides the cursor (`xterm` control sequences, which every terminal
/// of today that can move its cursor knows).
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
/// Shows the cursor and leaves the alternate screen.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// To the upper left.
const HOME: &str = "\x1b[H";
/// Clears from the cursor to the end of the line.
const CLEAR_LINE: &str = "\x1b[K";
/// Clears from the cursor to the end of the screen.
const CLEAR_REST: &str = "\x1b[J";

/// The screen, as long as this lives.
#[derive(Debug)]
pub struct Screenful<W: Write> {
    output: W,
    last: String,
}

impl<W: Write> Screenful<W> {
    /// Takes the terminal.
    pub fn open(mut output: W) -> Self {
        // A terminal that cannot be written to shows so at the first drawing.
        let _ = output.write_all(ENTER.as_bytes());
        Self {
            output,
            last: String::new(),
        }
    }

    /// Draws `text` in place of what was drawn before.
    ///
    /// # Errors
    /// What writing says.
    pub fn draw(&mut self, text: &str) -> io::Result<()> {
        let text = &*visible(text, true);
        let mut drawn = String::from(HOME);
        for line in text.lines() {
            drawn += line;
            drawn += CLEAR_LINE;
            drawn += "\r\n";
        }
        drawn += CLEAR_REST;
        text.clone_into(&mut self.last);
        self.output.write_all(drawn.as_bytes())?;
        self.output.flush()
    }
}

impl<W: Write> Drop for Screenful<W> {
    fn drop(&mut self) {
        let left = format!("{LEAVE}{}", self.last);
        let _ = self.output.write_all(left.as_bytes());
        let _ = self.output.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_is_given_back_with_what_it_showed_last() {
        let mut output = Vec::new();
        {
            let mut screen = Screenful::open(&mut output);
            screen.draw("one\ntwo\n").unwrap();
            screen.draw("three\n").unwrap();
        }
        let text = String::from_utf8(output).unwrap();
        assert!(text.starts_with(ENTER));
        assert!(text.contains("one\x1b[K\r\ntwo\x1b[K\r\n\x1b[J"));
        assert!(text.ends_with("\x1b[?1049lthree\n"));
    }
}
