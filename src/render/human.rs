//! Times and counts as people say them.

use std::time::Duration;

use jiff::Timestamp;

/// A span of time in at most two units: `0.4s`, `12s`, `3m 20s`, `2h 5m`, `3d 4h`.
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    let two = |large: u64, large_unit: char, small: u64, small_unit: char| match small {
        0 => format!("{large}{large_unit}"),
        _ => format!("{large}{large_unit} {small}{small_unit}"),
    };
    match seconds {
        0..10 => format!("{}.{}s", seconds, span.subsec_millis() / 100),
        10..60 => format!("{seconds}s"),
        60..3600 => two(minutes, 'm', rest, 's'),
        3600..86_400 => two(hours, 'h', minutes, 'm'),
        _ => two(days, 'd', hours, 'h'),
    }
}

/// How long ago `then` was, in one unit: `now`, `12s ago`, `3m ago`, `2h ago`, `5d ago`.
pub fn ago(then: Timestamp, now: Timestamp) -> String {
    match now.duration_since(then).as_secs() {
        ..1 => "now".into(),
        seconds @ 1..60 => format!("{seconds}s ago"),
        seconds @ 60..3600 => format!("{}m ago", seconds / 60),
        seconds @ 3600..86_400 => format!("{}h ago", seconds / 3600),
        seconds => format!("{}d ago", seconds / 86_400),
    }
}

/// A count with its noun: `1 service`, `2 services`.
pub fn count(number: usize, noun: &str) -> String {
    match (number, noun.strip_suffix('s').or(noun.strip_suffix("ch"))) {
        (1, _) => format!("1 {noun}"),
        (_, Some(_)) => format!("{number} {noun}es"),
        (_, None) => format!("{number} {noun}s"),
    }
}

/// Names in backticks: `` `a` ``, `` `a` and `b` ``, `` `a`, `b` and `c` ``.
pub fn names(names: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    let mut names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.pop() {
        None => String::new(),
        Some(only) if names.is_empty() => only,
        Some(last) => format!("{} and {last}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_at_most_two_units() {
        for (milliseconds, text) in [
            (0, "0.0s"),
            (449, "0.4s"),
            (9_999, "9.9s"),
            (12_300, "12s"),
            (60_000, "1m"),
            (200_000, "3m 20s"),
            (7_500_000, "2h 5m"),
            (273_600_000, "3d 4h"),
        ] {
            assert_eq!(span(Duration::from_millis(milliseconds)), text);
        }
    }

    #[test]
    fn the_past_has_one_unit_and_the_future_is_now() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        for (second, text) in [
            (1_000_005, "now"),
            (1_000_000, "now"),
            (999_941, "59s ago"),
            (999_800, "3m ago"),
            (990_000, "2h ago"),
            (500_000, "5d ago"),
        ] {
            assert_eq!(ago(Timestamp::from_second(second).unwrap(), now), text);
        }
    }

    #[test]
    fn counts_and_names_read_well() {
        assert_eq!(count(1, "service"), "1 service");
        assert_eq!(count(0, "process"), "0 processes");
        assert_eq!(names(["a"]), "`a`");
        assert_eq!(names(["a", "b", "c"]), "`a`, `b` and `c`");
    }
}
