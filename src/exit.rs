//! The exit codes of the command line: the one table, and a promise to scripts.
//!
//! | code | name | means |
//! | ---: | --- | --- |
//! | 0 | [`Done`](ExitCode::Done) | what was asked for is true |
//! | 1 | [`Failed`](ExitCode::Failed) | a service failed, something survived a stop, or the command could not do its work |
//! | 2 | [`Usage`](ExitCode::Usage) | the command line itself is wrong; nothing was done |
//! | 3 | [`NotRunning`](ExitCode::NotRunning) | there is nothing running that could be asked |
//! | 4 | [`TimedOut`](ExitCode::TimedOut) | `--timeout` passed; the work goes on in the background |
//! | 5 | [`Blocked`](ExitCode::Blocked) | a service cannot start until somebody mends something |
//! | 78 | [`Manifest`](ExitCode::Manifest) | the manifest is wrong or missing (`EX_CONFIG` of sysexits.h) |
//! | 130 | [`Interrupted`](ExitCode::Interrupted) | Ctrl-C ended the waiting (128 + SIGINT, as shells say it) |
//! | 143 | [`Terminated`](ExitCode::Terminated) | SIGTERM ended the watching (128 + SIGTERM) |
//!
//! A reader that goes away (`baudbot logs | head`) is not an error: the exit code is 0.

/// How a command ended, for the process that called it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// What was asked for is true.
    Done = 0,
    /// A service failed, something survived a stop, or the command could not do its work.
    Failed = 1,
    /// The command line itself is wrong; nothing was done.
    Usage = 2,
    /// There is nothing running that could be asked.
    NotRunning = 3,
    /// `--timeout` passed; the work goes on in the background.
    TimedOut = 4,
    /// A service cannot start until somebody mends something.
    Blocked = 5,
    /// The manifest is wrong or missing.
    Manifest = 78,
    /// Ctrl-C ended the waiting.
    Interrupted = 130,
    /// SIGTERM ended the watching.
    Terminated = 143,
}

impl ExitCode {
    /// Every code, in the order of the table.
    pub const ALL: [Self; 9] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::NotRunning,
        Self::TimedOut,
        Self::Blocked,
        Self::Manifest,
        Self::Interrupted,
        Self::Terminated,
    ];

    /// The number that the process ends with.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The code with this number; what is not in the table is a failure.
    pub fn from_number(number: u8) -> Self {
        Self::ALL
            .into_iter()
            .find(|code| code.number() == number)
            .unwrap_or(Self::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_in_the_module_head_is_the_enum() {
        let head = include_str!("exit.rs");
        let rows: Vec<(u8, String)> = head
            .lines()
            .filter_map(|line| line.strip_prefix("//! | "))
            .filter_map(|line| {
                let (number, rest) = line.split_once(" | ")?;
                let name = rest.split('`').nth(1)?;
                Some((number.trim().parse().ok()?, name.to_owned()))
            })
            .collect();
        let codes: Vec<(u8, String)> = ExitCode::ALL
            .iter()
            .map(|code| (code.number(), format!("{code:?}")))
            .collect();
        assert_eq!(rows, codes);
    }

    #[test]
    fn numbers_lead_back_to_codes() {
        for code in ExitCode::ALL {
            assert_eq!(ExitCode::from_number(code.number()), code);
        }
        assert_eq!(ExitCode::from_number(99), ExitCode::Failed);
    }
}
