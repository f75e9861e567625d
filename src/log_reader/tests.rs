//! Logs are written as the supervisor writes them, rotation included, and read back.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::log_format::{Record, write_record};

/// Writes one log; keeps every file.
struct Writer {
    path: PathBuf,
    file: File,
    files: u32,
}

impl Writer {
    fn new(path: PathBuf) -> Self {
        let file = open(&path);
        Self {
            path,
            file,
            files: 1,
        }
    }

    fn write(&mut self, millisecond: i64, is_partial: bool, content: &str) {
        let mut bytes = Vec::new();
        let record = Record {
            time: Timestamp::UNIX_EPOCH + SignedDuration::from_millis(millisecond),
            stream: Stream::Stdout,
            is_partial,
            content: content.as_bytes(),
        };
        write_record(&mut bytes, &record);
        self.file.write_all(&bytes).unwrap();
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
    let (_read_end, write_end) = std::io::pipe().unwrap();
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
    let (read_end, write_end) = std::io::pipe().unwrap();
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
}
