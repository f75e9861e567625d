//! Logs are written as the supervisor writes them, rotation included, and read back.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::id::RunId;
use crate::log_format::{Record, write_record};

/// Writes one log; keeps every file.
struct Writer {
    path: PathBuf,
    file: File,
    files: u32,
    /// The file before, until the first record of this one has named it.
    before: Option<u64>,
    /// The run that begins with the next record.
    run: Option<RunId>,
}

impl Writer {
    fn new(path: PathBuf) -> Self {
        let file = open(&path);
        Self {
            path,
            file,
            files: 1,
            before: None,
            run: None,
        }
    }

    fn write(&mut self, millisecond: i64, is_partial: bool, content: &str) {
        let mut bytes = Vec::new();
        let record = Record {
            time: Timestamp::UNIX_EPOCH + SignedDuration::from_millis(millisecond),
            stream: Stream::Stdout,
            is_partial,
            begins_run: self.run.take(),
            after_file: self.before.take(),
            content: content.as_bytes(),
        };
        write_record(&mut bytes, &record);
        self.file.write_all(&bytes).unwrap();
    }

    /// As [`Writer::rotate`], with so many files kept.
    fn rotate_keeping(&mut self, keep: u32) {
        let before = self.file.metadata().unwrap().ino();
        if self.files >= keep {
            let oldest = match keep {
                1 => self.path.display().to_string(),
                _ => format!("{}.{}", self.path.display(), keep - 1),
            };
            fs::remove_file(oldest).unwrap();
            self.files -= 1;
        }
        if self.files == 0 {
            self.file = open(&self.path);
            self.files = 1;
        } else {
            self.rotate();
        }
        self.before = Some(before);
    }

    fn rotate(&mut self) {
        let name = |age: u32| format!("{}.{age}", self.path.display());
        for age in (1..self.files).rev() {
            fs::rename(name(age), name(age + 1)).unwrap();
        }
        fs::rename(&self.path, name(1)).unwrap();
        self.file = open(&self.path);
        self.files += 1;
    }
}

fn open(path: &Path) -> File {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap()
}

fn drain(merged: &mut Merged) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some((_, line)) = merged.next_line().unwrap() {
        lines.push(String::from_utf8(line.content).unwrap());
    }
    lines
}

fn read(paths: &[PathBuf], start: Start) -> Vec<String> {
    drain(&mut Merged::open(paths, start).unwrap())
}

fn scratch() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web.log");
    (directory, path)
}

#[test]
fn a_log_that_does_not_exist_has_no_lines() {
    let (_directory, path) = scratch();
    for start in [Start::Oldest, Start::Last(3)] {
        assert!(read(std::slice::from_ref(&path), start).is_empty());
    }
}

/// What is told beside the content: `!` before the first line after a gap, `>` where a run begins.
fn drain_marked(merged: &mut Merged) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some((_, line)) = merged.next_line().unwrap() {
        let gap = if line.is_after_gap { "!" } else { "" };
        let run = line
            .begins_run
            .map_or(String::new(), |run| format!("{run}>"));
        let content = String::from_utf8(line.content).unwrap();
        lines.push(format!("{gap}{run}{content}"));
    }
    lines
}

#[test]
fn what_was_rotated_away_unread_is_told_once_and_reading_goes_on() {
    let (_directory, path) = scratch();
    let mut writer = Writer::new(path.clone());
    writer.write(0, false, "read");
    let mut merged = Merged::open(&[path], Start::Oldest).unwrap();
    assert_eq!(drain_marked(&mut merged), ["read"]);
    for number in 1..6 {
        writer.write(number, false, &format!("line {number}"));
        writer.rotate_keeping(2);
    }
    writer.write(6, false, "line 6");
    merged.refresh().unwrap();
    // The file that it was reading is open, so its end is not lost.
    assert_eq!(drain_marked(&mut merged), ["line 1", "!line 5", "line 6"]);
    writer.write(7, false, "line 7");
    merged.refresh().unwrap();
    assert_eq!(drain_marked(&mut merged), ["line 7"]);
}

#[test]
fn a_reader_that_keeps_up_is_told_of_no_gap_though_its_file_is_gone() {
    for keep in 1..4 {
        let (_directory, path) = scratch();
        let mut writer = Writer::new(path.clone());
        writer.write(0, false, "line 0");
        let mut merged = Merged::open(&[path], Start::Oldest).unwrap();
        let mut lines = drain_marked(&mut merged);
        for number in 1..20 {
            writer.rotate_keeping(keep);
            writer.write(number, false, &format!("line {number}"));
            // At times it is as late as it may be.
            if number % i64::from(keep) == 0 {
                merged.refresh().unwrap();
                lines.extend(drain_marked(&mut merged));
            }
        }
        merged.refresh().unwrap();
        lines.extend(drain_marked(&mut merged));
        let expected: Vec<String> = (0..20).map(|number| format!("line {number}")).collect();
        assert_eq!(lines, expected, "keep {keep}");
    }
}

#[test]
fn a_gap_and_the_begin_of_a_run_are_told_also_when_the_line_is_filtered_out() {
    let (_directory, path) = scratch();
    let mut writer = Writer::new(path.clone());
    writer.write(0, false, "good 0");
    let filter = Filter::new(|content| content.starts_with(b"good"));
    let sources = vec![Source::new(&path)];
    let mut merged = Merged::open_chosen(sources, Start::Oldest, Some(filter)).unwrap();
    assert_eq!(drain_marked(&mut merged), ["good 0"]);
    for number in 1..4 {
        writer.rotate_keeping(1);
        writer.run = Some(RunId(9));
        writer.write(number, true, "bad piece ");
        writer.write(number, false, "bad end");
    }
    writer.write(5, false, "good 5");
    merged.refresh().unwrap();
    assert_eq!(drain_marked(&mut merged), ["!9>good 5"]);
}

#[test]
fn pieces_are_joined_also_across_a_rotation() {
    let (_directory, path) = scratch();
    let mut writer = Writer::new(path.clone());
    writer.write(0, false, "before");
    writer.write(1, true, "one ");
    writer.rotate();
    writer.write(2, true, "two ");
    writer.write(3, false, "three");
    let paths = [path];
    assert_eq!(read(&paths, Start::Oldest), ["before", "one two three"]);
    assert_eq!(read(&paths, Start::Last(1)), ["one two three"]);
}

#[test]
fn what_is_no_record_is_shown_as_it_is() {
    let (_directory, path) = scratch();
    let mut writer = Writer::new(path.clone());
    writer.write(5, false, "fine");
    writer.file.write_all(b"torn by a crash").unwrap();
    writer.rotate();
    writer.write(6, false, "after");
    writer.file.write_all(b"still being wr").unwrap();
    let paths = [path];
    let all = ["fine", "torn by a crash", "after"];
    assert_eq!(read(&paths, Start::Oldest), all);
    for count in 0..=3 {
        assert_eq!(read(&paths, Start::Last(count)), all[3 - count..]);
    }
}

#[test]
fn a_line_without_end_is_cut_and_says_so() {
    let (_directory, path) = scratch();
    let mut writer = Writer::new(path.clone());
    for _ in 0..100 {
        writer.write(0, true, &"x".repeat(8192));
    }
    writer.write(1, false, "end");
    writer.write(2, false, &"y".repeat(3 * LONGEST_LINE));
    writer.write(3, false, "short");
    let mut merged = Merged::open(&[path], Start::Oldest).unwrap();
    let mut next = || merged.next_line().unwrap().unwrap().1;
    for _ in 0..2 {
        let line = next();
        assert!(line.is_cut);
        assert_eq!(line.content.len(), LONGEST_LINE);
    }
    let line = next();
    assert!(!line.is_cut);
    assert_eq!(line.content, b"short");
}

#[test]
fn last_lines_are_found_across_blocks_and_files() {
    let (_directory, path) = scratch();
    let mut writer = Writer::new(path.clone());
    let mut all = Vec::new();
    for number in 0..5000 {
        // Lengths that put block borders into heads, contents and newlines.
        let line = format!("{number} {}", "z".repeat(number % 97));
        writer.write(number as i64, false, &line);
        all.push(line);
        if number == 2500 {
            writer.rotate();
        }
    }
    let paths = [path];
    for count in [1, 2, 700, 2499, 2500, 4999, 5000, 6000] {
        let expected = &all[all.len().saturating_sub(count)..];
        assert_eq!(read(&paths, Start::Last(count)), expected, "{count}");
    }
}

#[test]
fn following_sees_every_line_once_while_files_rotate() {
    const LINES: usize = 20_000;
    let (directory, path) = scratch();
    let watch = Watch::new(directory.path()).unwrap();
    let mut merged = Merged::open(&[&path], Start::Oldest).unwrap();
    let writer = std::thread::spawn(move || {
        let mut writer = Writer::new(path);
        for number in 0..LINES {
            writer.write(number as i64, false, &number.to_string());
            if number % 61 == 60 {
                writer.rotate();
            }
        }
    });
    let (_read_end, write_end) = io::pipe().unwrap();
    let mut seen = drain(&mut merged);
    while seen.len() < LINES {
        let woken = watch.wait(std::os::fd::AsFd::as_fd(&write_end)).unwrap();
        assert_ne!(woken, Woken::ReaderGone);
        merged.refresh().unwrap();
        seen.extend(drain(&mut merged));
    }
    writer.join().unwrap();
    let expected: Vec<String> = (0..LINES).map(|number| number.to_string()).collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_wait_ends_when_nobody_reads_any_more() {
    let (directory, _path) = scratch();
    let watch = Watch::new(directory.path()).unwrap();
    let (read_end, write_end) = io::pipe().unwrap();
    drop(read_end);
    let woken = watch.wait(std::os::fd::AsFd::as_fd(&write_end)).unwrap();
    assert_eq!(woken, Woken::ReaderGone);
}

#[derive(Debug, Clone)]
enum Act {
    Line(usize, usize),
    Rotate(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (0..3_usize, 0..300_usize).prop_map(|(log, length)| Act::Line(log, length)),
        1 => (0..3_usize).prop_map(Act::Rotate),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever was written where, the merged log is what was written, and its last lines are its
    /// last lines.
    #[test]
    fn the_merged_log_is_what_was_written(
        acts in proptest::collection::vec(act(), 0..120),
        count in 0..130_usize,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> =
            (0..3).map(|log| directory.path().join(format!("{log}.log"))).collect();
        let mut writers: Vec<Writer> = paths.iter().cloned().map(Writer::new).collect();
        let mut expected = Vec::new();
        for (number, act) in acts.iter().enumerate() {
            match act {
                Act::Line(log, length) => {
                    let line = format!("{number} {}", "x".repeat(*length));
                    writers[*log].write(number as i64, false, &line);
                    expected.push(line);
                }
                Act::Rotate(log) => writers[*log].rotate(),
            }
        }
        prop_assert_eq!(&read(&paths, Start::Oldest), &expected);
        let last = &expected[expected.len().saturating_sub(count)..];
        prop_assert_eq!(&read(&paths, Start::Last(count))[..], last);
    }

    /// Whatever is chosen by time and text, and from whichever end, is what choosing among all lines
    /// comes to.
    #[test]
    fn what_is_chosen_is_what_choosing_by_hand_comes_to(
        acts in proptest::collection::vec(act(), 0..120),
        count in proptest::option::of(0..40_usize),
        since in proptest::option::of(0..130_i64),
        until in proptest::option::of(0..130_i64),
        letter in proptest::option::of(0..10_u8),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> =
            (0..3).map(|log| directory.path().join(format!("{log}.log"))).collect();
        let mut writers: Vec<Writer> = paths.iter().cloned().map(Writer::new).collect();
        let mut expected = Vec::new();
        for (number, act) in acts.iter().enumerate() {
            match act {
                Act::Line(log, length) => {
                    let number = number as i64;
                    let line = format!("{number} {}", "x".repeat(*length));
                    let (head, tail) = line.split_at(line.len() / 2);
                    // Half of the lines are written in pieces, the first of which is older.
                    if length % 2 == 0 {
                        writers[*log].write(number - 1, true, head);
                        writers[*log].write(number, false, tail);
                    } else {
                        writers[*log].write(number, false, &line);
                    }
                    let is_in_time = since.is_none_or(|since| number >= since)
                        && until.is_none_or(|until| number <= until);
                    if is_in_time && letter.is_none_or(|letter| line.as_bytes()[0] == b'0' + letter) {
                        expected.push(line);
                    }
                }
                Act::Rotate(log) => writers[*log].rotate(),
            }
        }
        let at = |number: i64| Timestamp::UNIX_EPOCH + SignedDuration::from_millis(number);
        let sources = paths
            .iter()
            .map(|path| Source {
                path: path.clone(),
                since: since.map(at),
                until: until.map(at),
            })
            .collect();
        let filter = letter.map(|letter| Filter::new(move |line| line.first() == Some(&(b'0' + letter))));
        let start = count.map_or(Start::Oldest, Start::Last);
        if let Some(count) = count {
            expected.drain(..expected.len().saturating_sub(count));
        }
        let chosen = drain(&mut Merged::open_chosen(sources, start, filter).unwrap());
        prop_assert_eq!(chosen, expected);
    }
}

#[test]
fn a_time_is_found_in_files_of_many_blocks() {
    let (_directory, path) = scratch();
    let mut writer = Writer::new(path.clone());
    for number in 0..20_000_i64 {
        writer.write(
            number,
            false,
            &format!("{number} {}", "z".repeat(number as usize % 97)),
        );
        if number % 3000 == 1 {
            writer.file.write_all(b"no record\n").unwrap();
        }
        if number == 9000 {
            writer.rotate();
        }
    }
    let at = |number: i64| Timestamp::UNIX_EPOCH + SignedDuration::from_millis(number);
    for number in [0, 1, 2, 2999, 8999, 9000, 9001, 15_000, 19_999, 20_000] {
        let source = Source {
            path: path.clone(),
            since: Some(at(number)),
            until: Some(at(number)),
        };
        let lines = drain(&mut Merged::open_chosen(vec![source], Start::Oldest, None).unwrap());
        let expected = (number < 20_000).then(|| number.to_string());
        let first = lines.first().and_then(|line| line.split(' ').next());
        assert_eq!(first.map(str::to_owned), expected);
    }
}
