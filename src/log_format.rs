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
//! a `:`; readers ignore them.
//!
//! Source: Kubernetes design proposal "CRI: Log management for container stdout/stderr streams".
//!
//! This module is pure: it turns records into bytes and back. The supervisor writes with it, the log
//! reader reads with it, and nothing else knows the format.

pub mod plain;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimeParser;

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
    /// The bytes between the tag and the newline.
    pub content: &'a [u8],
}

/// Appends one record, newline included, to `out`.
///
/// A newline inside `content` would be read as the end of the record, so the caller splits at
/// newlines first; one that slips through is written as a space rather than forging a record.
pub fn write_record(out: &mut Vec<u8>, record: &Record<'_>) {
    let tag = if record.is_partial { 'P' } else { 'F' };
    let head = format!("{:.9} {} {tag} ", record.time, record.stream.word());
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
    let is_partial = match tags.split(|byte| *byte == b':').next()? {
        b"P" => true,
        b"F" => false,
        _ => return None,
    };
    static PARSER: DateTimeParser = DateTimeParser::new();
    let time = PARSER.parse_timestamp(time).ok()?;
    Some(Record {
        time,
        stream,
        is_partial,
        content,
    })
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
            content: b"listening on 7890",
        };
        assert_eq!(
            written(&record),
            b"2026-03-01T08:15:30.000000042Z stderr F listening on 7890\n"
        );
    }

    #[test]
    fn nine_digits_also_when_the_second_is_whole() {
        let record = Record {
            time: Timestamp::UNIX_EPOCH,
            stream: Stream::Stdout,
            is_partial: true,
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
            mut content: Vec<u8>,
        ) {
            content.retain(|byte| *byte != b'\n');
            let record = Record {
                time: Timestamp::from_nanosecond(nanosecond).unwrap(),
                stream: if is_stderr { Stream::Stderr } else { Stream::Stdout },
                is_partial,
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
