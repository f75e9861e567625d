//! The format of a service's log: one record a line, as the Kubernetes container runtimes write it.
//!
//! ```text
//! 2026-03-01T08:15:30.000000042Z stdout F listening on 7890
//! <RFC 3339, UTC, nanoseconds> <stream> <tag> <content>
//! ```
//!
//! The tag is `F` (full) for a whole line and `P` (partial) for a piece of a line that was too long
//! for the writer's buffer; a line is any number of pieces followed by one full record of the same
//! stream. Content is bytes: it may be anything but a newline. More tags may follow the first after
//! a `:`; readers pass over those that they do not know. Two are written here, each where it tells
//! what a reader could not know otherwise:
//!
//! | tag | on | says |
//! | --- | --- | --- |
//! | `run=N` | the first record of a run | which run begins here |
//! | `after=N` | the first record of a file | the inode number of the file before it, so that a reader that held on to that one knows whether a file between the two is missing |
//!
//! Source: Kubernetes design proposal "CRI: Log management for container stdout/stderr streams".
//!
//! This module is pure: it turns records into bytes and back. The supervisor writes with it, the log
//! reader reads with it, and nothing else knows the format.

pub mod plain;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimeParser;

use crate::id::RunId;

/// The tag of the first record of a run.
const RUN: &str = "run=";

/// The tag of the first record of a file.
const AFTER: &str = "after=";

/// Which of a service's two output streams a record came from. What a tmux pane shows counts as
/// standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// The word in the record.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// One record: a line, or a piece of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// When the line's last byte was read from the service.
    pub time: Timestamp,
    /// Where it came from.
    pub stream: Stream,
    /// Whether the line goes on in the stream's next record.
    pub is_partial: bool,
    /// The run that begins with this record.
    pub begins_run: Option<RunId>,
    /// The inode number of the file before the one that begins with this record.
    pub after_file: Option<u64>,
    /// The bytes between the tag and the newline.
    pub content: &'a [u8],
}

/// Appends one record, newline included, to `out`.
///
/// A newline inside `content` would be read as the end of the record, so the caller splits at
/// newlines first; one that slips through is written as a space rather than forging a record.
pub fn write_record(out: &mut Vec<u8>, record: &Record<'_>) {
    let tag = if record.is_partial { 'P' } else { 'F' };
    let mut head = format!("{:.9} {} {tag}", record.time, record.stream.word());
    if let Some(RunId(run)) = record.begins_run {
        head += &format!(":{RUN}{run}");
    }
    if let Some(inode) = record.after_file {
        head += &format!(":{AFTER}{inode}");
    }
    head.push(' ');
    out.reserve(head.len() + record.content.len() + 1);
    out.extend_from_slice(head.as_bytes());
    let start = out.len();
    out.extend_from_slice(record.content);
    for byte in &mut out[start..] {
        if *byte == b'\n' {
            *byte = b' ';
        }
    }
    out.push(b'\n');
}

/// Reads one record from a line without its newline. `None`: the line is not a record, for instance
/// because a crash or a full disk cut it.
pub fn read_record(line: &[u8]) -> Option<Record<'_>> {
    let (time, rest) = split_at_space(line)?;
    let (stream, rest) = split_at_space(rest)?;
    // A record without content may end right after its tag.
    let (tags, content) = split_at_space(rest).unwrap_or((rest, &[]));
    let stream = match stream {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    let mut tags = tags.split(|byte| *byte == b':');
    let is_partial = match tags.next()? {
        b"P" => true,
        b"F" => false,
        _ => return None,
    };
    let (mut begins_run, mut after_file) = (None, None);
    for tag in tags {
        begins_run = begins_run.or_else(|| number(tag, RUN).map(RunId));
        after_file = after_file.or_else(|| number(tag, AFTER));
    }
    static PARSER: DateTimeParser = DateTimeParser::new();
    let time = PARSER.parse_timestamp(time).ok()?;
    Some(Record {
        time,
        stream,
        is_partial,
        begins_run,
        after_file,
        content,
    })
}

/// The number behind the name of a tag.
fn number<T: std::str::FromStr>(tag: &[u8], name: &str) -> Option<T> {
    let digits = tag.strip_prefix(name.as_bytes())?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn split_at_space(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    Some((&bytes[..space], &bytes[space + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(record: &Record<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        write_record(&mut out, record);
        out
    }

    #[test]
    fn a_record_looks_as_the_format_says() {
        let record = Record {
            time: "2026-03-01T08:15:30.000000042Z".parse().unwrap(),
            stream: Stream::Stderr,
            is_partial: false,
            begins_run: None,
            after_file: None,
            content: b"listening on 7890",
        };
        assert_eq!(
            written(&record),
            b"2026-03-01T08:15:30.000000042Z stderr F listening on 7890\n"
        );
    }

    #[test]
    fn a_record_says_where_a_run_and_a_file_begin() {
        let record = Record {
            time: Timestamp::UNIX_EPOCH,
            stream: Stream::Stdout,
            is_partial: false,
            begins_run: Some(RunId(7)),
            after_file: Some(4711),
            content: b"hello",
        };
        assert_eq!(
            written(&record),
            b"1970-01-01T00:00:00.000000000Z stdout F:run=7:after=4711 hello\n"
        );
        let unknown = read_record(b"1970-01-01T00:00:00Z stdout F:run=x:y hello").unwrap();
        assert_eq!((unknown.begins_run, unknown.content), (None, &b"hello"[..]));
    }

    #[test]
    fn nine_digits_also_when_the_second_is_whole() {
        let record = Record {
            time: Timestamp::UNIX_EPOCH,
            stream: Stream::Stdout,
            is_partial: true,
            begins_run: None,
            after_file: None,
            content: b"",
        };
        assert_eq!(
            written(&record),
            b"1970-01-01T00:00:00.000000000Z stdout P \n"
        );
    }

    #[test]
    fn a_newline_in_the_content_forges_no_record() {
        let record = Record {
            time: Timestamp::UNIX_EPOCH,
            stream: Stream::Stdout,
            is_partial: false,
            begins_run: None,
            after_file: None,
            content: b"a\n1970-01-01T00:00:00Z stderr F forged",
        };
        let bytes = written(&record);
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
    }

    #[test]
    fn records_of_other_writers_are_read() {
        let record = read_record(b"2016-10-06T00:17:09.669794202+02:00 stdout F:x log").unwrap();
        assert_eq!(record.time.to_string(), "2016-10-05T22:17:09.669794202Z");
        assert_eq!(record.content, b"log");
        let empty = read_record(b"2016-10-06T00:17:09Z stdout F").unwrap();
        assert_eq!(empty.content, b"");
    }

    #[test]
    fn what_is_no_record_is_none() {
        for line in [
            &b""[..],
            b"hello",
            b"hello world again",
            b"2016-10-06T00:17:09Z stdin F x",
            b"2016-10-06T00:17:09Z stdout Q x",
            b"2016-10-06T00:17 stdout F x",
            b"2016-10-06T00:17:09Z stdo",
        ] {
            assert_eq!(read_record(line), None, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            nanosecond in -377_705_023_201_000_000_000_i128..253_402_207_200_000_000_000,
            is_stderr: bool,
            is_partial: bool,
            run: Option<u64>,
            after_file: Option<u64>,
            mut content: Vec<u8>,
        ) {
            content.retain(|byte| *byte != b'\n');
            let record = Record {
                time: Timestamp::from_nanosecond(nanosecond).unwrap(),
                stream: if is_stderr { Stream::Stderr } else { Stream::Stdout },
                is_partial,
                begins_run: run.map(RunId),
                after_file,
                content: &content,
            };
            let bytes = written(&record);
            prop_assert_eq!(read_record(&bytes[..bytes.len() - 1]), Some(record));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(line: Vec<u8>) {
            let _ = read_record(&line);
        }
    }
}
