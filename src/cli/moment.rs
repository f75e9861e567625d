//! Moments as people type them.

use jiff::civil::{DateTime, Time};
use jiff::{SignedDuration, Timestamp, ZonedDateTime};

use crate::manifest::parse_duration;

/// A moment: a duration before now, a time of today, a date with or without a time, RFC 3339. What
/// names no time zone is meant as the clock on the wall shows it.
pub(super) fn parse(text: &str) -> Result<Timestamp, String> {
    before(text, &ZonedDateTime::now())
}

fn before(text: &str, now: &ZonedDateTime) -> Result<Timestamp, String> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    let on_the_wall = match (text.parse::<DateTime>(), text.parse::<Time>()) {
        (Ok(date), _) => Some(date),
        (Err(_), Ok(time)) => Some(now.datetime().with().time(time).build().map_err(told)?),
        (Err(_), Err(_)) => None,
    };
    if let Some(date) = on_the_wall {
        let zoned = date
            .to_zoned_datetime(now.time_zone().clone())
            .map_err(told)?;
        return Ok(zoned.timestamp());
    }
    let ago = text.strip_suffix(" ago").unwrap_or(text);
    let has_unit = ago.ends_with(|last: char| last.is_ascii_alphabetic());
    if has_unit && let Ok(duration) = parse_duration(ago) {
        let duration = SignedDuration::try_from(duration).map_err(told)?;
        return now.timestamp().checked_sub(duration).map_err(told);
    }
    Err("it is neither a duration (10m, 2h) nor a time (08:15, 2026-03-01, \"2026-03-01 08:15\", 2026-03-01T08:15:00Z)".into())
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<String, String> {
        let now: ZonedDateTime = "2026-03-01T12:00:00+01:00[+01:00]".parse().unwrap();
        before(text, &now).map(|moment| moment.to_string())
    }

    #[test]
    fn moments_are_what_people_mean() {
        for (text, moment) in [
            ("10m", "2026-03-01T10:50:00Z"),
            ("1h 30m ago", "2026-03-01T09:30:00Z"),
            ("2d", "2026-02-27T11:00:00Z"),
            ("08:15", "2026-03-01T07:15:00Z"),
            ("08:15:30.5", "2026-03-01T07:15:30.5Z"),
            ("2026-02-28", "2026-02-27T23:00:00Z"),
            ("2026-02-28 23:59", "2026-02-28T22:59:00Z"),
            ("2026-02-28T23:59:01", "2026-02-28T22:59:01Z"),
            ("2026-02-28T23:59:01Z", "2026-02-28T23:59:01Z"),
            ("2026-02-28T23:59:01+02:00", "2026-02-28T21:59:01Z"),
        ] {
            assert_eq!(parsed(text).as_deref(), Ok(moment), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_says_what_one_looks_like() {
        for text in [
            "",
            "soon",
            "25:00",
            "2026-02-30",
            "5M",
            "99999999999999999999d",
        ] {
            assert!(parsed(text).unwrap_err().contains("08:15"), "{text}");
        }
    }
}
