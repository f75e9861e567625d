//! How many services are up, and what the others are: the one count behind every total.
//!
//! Each service is counted once, so that the numbers of a total add up to the rows below it: `7 of 8
//! services up, 1 skipped`. A service that is skipped is named in every total, because a condition
//! that was made false by mistake looks exactly like one that was.

use super::{BAD, BUSY, FAINT, GOOD, Look, human};
use crate::control::protocol::{ServiceStatus, Status};
use crate::machine::{Goal, StateWord};

/// Whether a service is what it should be: up and well, or down because that is wanted.
pub fn is_as_wanted(service: &ServiceStatus) -> bool {
    match service.goal {
        Goal::Up => service.state.is_well(),
        Goal::Down => service.state.is_down() && !service.is_stuck,
    }
}

/// What is not as it should be, the most urgent first: nothing happens there any more, or it does
/// not go well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    Failed,
    Blocked,
    Stuck,
    Ended,
    Unhealthy,
    Backoff,
    OnItsWay,
}

impl Trouble {
    const ALL: [Self; 7] = [
        Self::Failed,
        Self::Blocked,
        Self::Stuck,
        Self::Ended,
        Self::Unhealthy,
        Self::Backoff,
        Self::OnItsWay,
    ];

    /// What is the matter with a service; `None` when it is as it should be.
    pub(super) fn of(service: &ServiceStatus) -> Option<Self> {
        if is_as_wanted(service) {
            return None;
        }
        match service.state {
            StateWord::Failed => Some(Self::Failed),
            StateWord::Blocked => Some(Self::Blocked),
            _ if service.is_stuck => Some(Self::Stuck),
            StateWord::Inactive => Some(Self::Ended),
            StateWord::Unhealthy => Some(Self::Unhealthy),
            StateWord::Backoff => Some(Self::Backoff),
            StateWord::Waiting | StateWord::Starting | StateWord::Stopping => Some(Self::OnItsWay),
            // It should be down and is not yet.
            StateWord::Ready => Some(Self::OnItsWay),
            StateWord::Completed | StateWord::Skipped => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Blocked => "blocked",
            Self::Stuck => "stuck",
            Self::Ended => "ended",
            Self::Unhealthy => "unhealthy",
            Self::Backoff => "in backoff",
            Self::OnItsWay => "on the way",
        }
    }

    fn style(self) -> anstyle::Style {
        match self {
            Self::Failed | Self::Blocked | Self::Stuck | Self::Ended | Self::Unhealthy => BAD,
            Self::Backoff | Self::OnItsWay => BUSY,
        }
    }
}

/// How many services there are of each sort.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    up: usize,
    troubles: [usize; Trouble::ALL.len()],
    skipped: usize,
    inactive: usize,
    gone: usize,
}

impl Tally {
    /// Counts these services; `None` is one that should be up and that the project does not hold.
    pub fn of<'a>(services: impl IntoIterator<Item = Option<&'a ServiceStatus>>) -> Self {
        let mut tally = Self::default();
        for service in services {
            let Some(service) = service else {
                tally.gone += 1;
                continue;
            };
            let number = match Trouble::of(service) {
                Some(trouble) => &mut tally.troubles[trouble as usize],
                None if service.state == StateWord::Skipped => &mut tally.skipped,
                None if service.goal == Goal::Down => &mut tally.inactive,
                None => &mut tally.up,
            };
            *number += 1;
        }
        tally
    }

    fn total(&self) -> usize {
        let troubled: usize = self.troubles.iter().sum();
        self.up + troubled + self.skipped + self.inactive + self.gone
    }

    /// Whether nothing is in trouble or on the way.
    pub fn is_well(&self) -> bool {
        self.gone == 0 && self.troubles.iter().all(|number| *number == 0)
    }

    /// `7 of 8 services up`.
    fn head(&self) -> String {
        format!(
            "{} of {} up",
            self.up,
            human::count(self.total(), "service")
        )
    }

    /// `, 1 failed, 1 skipped`: what is not up, each sort in its colour.
    fn rest(&self, look: &Look) -> String {
        let mut sorts = Vec::new();
        for (trouble, number) in Trouble::ALL.into_iter().zip(self.troubles) {
            sorts.push((number, trouble.word(), trouble.style()));
        }
        sorts.push((self.skipped, "skipped", FAINT));
        sorts.push((self.inactive, "inactive", FAINT));
        sorts
            .into_iter()
            .filter(|(number, _, _)| *number > 0)
            .map(|(number, word, style)| {
                format!(", {}", look.paint(style, &format!("{number} {word}")))
            })
            .collect()
    }

    /// `7 of 8 services up, 1 skipped`, with colours for a headline.
    pub fn line(&self, look: &Look) -> String {
        self.head() + &self.rest(look)
    }

    /// `7 of 8 up, 1 skipped`, for a line in which there is little room.
    pub fn short(&self) -> String {
        format!("{} of {} up", self.up, self.total()) + &self.rest(&Look::PLAIN)
    }

    /// The same for the end of an order: short when all are up, and coloured as a whole.
    pub fn outcome(&self, look: &Look) -> String {
        let style = if self.is_well() { GOOD } else { BAD };
        if self.up == self.total() {
            let count = human::count(self.up, "service");
            return look.paint(style, &format!("{count} up"));
        }
        look.paint(style, &self.head()) + &self.rest(look)
    }
}

/// So many services that are not up are told by name to the service manager.
const MOST_NAMED: usize = 3;

/// One line for `systemctl status`: the total, and by name what is not up, the most urgent first.
pub fn one_line(status: &Status) -> String {
    let tally = Tally::of(status.services.values().map(Some));
    let mut troubled: Vec<_> = status
        .services
        .iter()
        .filter_map(|(name, service)| Some((Trouble::of(service)?, name, service)))
        .collect();
    troubled.sort_by_key(|(trouble, ..)| *trouble);
    let mut text = tally.line(&Look::PLAIN);
    let named: Vec<String> = troubled
        .iter()
        .take(MOST_NAMED)
        .map(|(_, name, service)| {
            format!(
                "`{name}` {}",
                super::status::state_on_its_way(service, &Look::PLAIN)
            )
        })
        .collect();
    if !named.is_empty() {
        text += &format!("; {}", named.join("; "));
    }
    if troubled.len() > MOST_NAMED {
        text += &format!("; and {} more", troubled.len() - MOST_NAMED);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::status::tests::service;

    fn line(services: &[(Goal, StateWord)]) -> (String, String) {
        let services: Vec<_> = services.iter().map(|(g, s)| service(*g, *s)).collect();
        let tally = Tally::of(services.iter().map(Some));
        (tally.line(&Look::PLAIN), tally.outcome(&Look::PLAIN))
    }

    #[test]
    fn every_service_is_in_the_total_and_what_is_not_up_is_told_by_its_sort() {
        use Goal::{Down, Up};
        use StateWord::{Blocked, Completed, Inactive, Ready, Skipped, Starting};
        let both = |text: &str| (text.to_owned(), text.to_owned());
        assert_eq!(
            line(&[(Up, Ready), (Up, Completed)]),
            ("2 of 2 services up".into(), "2 services up".into())
        );
        assert_eq!(
            line(&[(Up, Ready), (Up, Skipped), (Down, Inactive)]),
            both("1 of 3 services up, 1 skipped, 1 inactive")
        );
        assert_eq!(
            line(&[(Up, Starting), (Up, Blocked), (Down, Skipped)]),
            both("0 of 3 services up, 1 blocked, 1 on the way, 1 skipped")
        );
        assert_eq!(
            line(&[(Down, Ready)]),
            both("0 of 1 service up, 1 on the way")
        );
    }

    #[test]
    fn a_target_that_the_project_does_not_hold_is_not_up() {
        let tally = Tally::of([None]);
        assert!(!tally.is_well());
        assert_eq!(tally.outcome(&Look::PLAIN), "0 of 1 service up");
    }
}
