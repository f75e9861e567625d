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

/// A span of time in one word of at most two units: `0.4s`, `12s`, `3m20s`, `2h5m`.
pub fn short_span(span: Duration) -> String {
    self::span(span).replace(' ', "")
}

/// How long ago `then` was, in one word of one unit: `0s`, `12s`, `3m`, `2h`, `5d`.
pub fn age(then: Timestamp, now: Timestamp) -> String {
    let text = ago(then, now);
    text.strip_suffix(" ago").unwrap_or("0s").to_owned()
}

/// Bytes in one word: `712K`, `12.3M`, `1.2G`; powers of 1024.
pub fn bytes(bytes: u64) -> String {
    let mut amount = bytes as f64 / 1024.0;
    for unit in ['K', 'M', 'G', 'T'] {
        if amount < 99.95 && unit != 'K' {
            return format!("{amount:.1}{unit}");
        }
        if amount < 1023.5 || unit == 'T' {
            return format!("{amount:.0}{unit}");
        }
        amount /= 1024.0;
    }
    String::new()
}

/// A text in lines of at most `width` characters, broken at blanks; a longer word stands alone.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
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

/// As [`names`], but of more than a line holds only the first are named and the rest is counted.
pub fn first_names<T: std::fmt::Display>(all: &[T]) -> String {
    const MOST: usize = 8;
    if all.len() <= MOST + 1 {
        return names(all);
    }
    let first: Vec<String> = all[..MOST].iter().map(|name| format!("`{name}`")).collect();
    format!("{} and {} more", first.join(", "), all.len() - MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_counted() {
        assert_eq!(first_names(&["a", "b"]), "`a` and `b`");
        let many: Vec<u32> = (1..=20).collect();
        assert_eq!(
            first_names(&many),
            "`1`, `2`, `3`, `4`, `5`, `6`, `7`, `8` and 12 more"
        );
    }

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
    fn one_word_is_enough_in_a_table() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let then = Timestamp::from_second(999_800).unwrap();
        assert_eq!(age(then, now), "3m");
        assert_eq!(age(now, now), "0s");
        assert_eq!(short_span(Duration::from_secs(200)), "3m20s");
        for (number, text) in [
            (0, "0K"),
            (712 << 10, "712K"),
            (1 << 20, "1.0M"),
            (12_897_485, "12.3M"),
            (300 << 20, "300M"),
            (1_288_490_189, "1.2G"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn long_texts_break_at_blanks() {
        assert_eq!(wrapped("a bb ccc dddddd", 4), ["a bb", "ccc", "dddddd"]);
        assert_eq!(wrapped("", 4), [""; 0]);
    }

    #[test]
    fn counts_and_names_read_well() {
        assert_eq!(count(1, "service"), "1 service");
        assert_eq!(count(0, "process"), "0 processes");
        assert_eq!(names(["a"]), "`a`");
        assert_eq!(names(["a", "b", "c"]), "`a`, `b` and `c`");
    }
}
