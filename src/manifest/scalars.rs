//! Texts and numbers with a form of their own: durations, sizes, signals, … Here is what each looks
//! like, for the schema, and what it means. Pattern and meaning stand side by side, so that the editor
//! and the parser accept the same.

use std::sync::LazyLock;
use std::time;

use regex::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::field::Scalar;
use super::model::{self, SIGNALS};
use crate::port::Host;

/// A duration: numbers with units.
const DURATION: &str = r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)( ?[0-9]+(\.[0-9]+)?(ms|s|m|h|d))*$";
/// A duration, or `never`.
const TIMEOUT: &str = r"^(never|[0-9]+(\.[0-9]+)?(ms|s|m|h|d)( ?[0-9]+(\.[0-9]+)?(ms|s|m|h|d))*)$";
/// A number of bytes with an optional unit.
const SIZE: &str = r"^[1-9][0-9]*(\.[0-9]+)? ?(B|[kKMGT]B?|[KMGT]i|[KMGT]iB)?$";
/// How much of a resource: any amount, or a number of bytes with an optional unit.
const LIMIT: &str = r"^(unlimited|[1-9][0-9]*(\.[0-9]+)? ?(B|[kKMGT]B?|[KMGT]i|[KMGT]iB)?)$";
/// An octal number.
const UMASK: &str = "^(0o)?0?[0-7]{1,3}$";
/// A status of HTTP, or two with a dash between them.
const STATUS: &str = "^[1-5][0-9]{2}(-[1-5][0-9]{2})?$";
/// `host:port`, a port, or something that becomes one of them once it is expanded.
const ADDRESS: &str = concat!(
    r"^(.*\$\{.*|(([^:\s\[\]]+|\[[^\s\[\]]+\]):)?",
    "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))$"
);

/// A port, or something that becomes one once it is expanded.
const PORT: &str = concat!(
    r"^(.*\$\{.*|",
    "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))$"
);

/// The longest duration: a hundred years would not fit the clocks below us.
const LONGEST: time::Duration = time::Duration::from_secs(365 * 24 * 3600);

/// The largest size: what lies beyond is a slip of the pen.
const LARGEST: u64 = 1 << 50;

/// The highest signal number (SIGRTMAX).
const HIGHEST_SIGNAL: i32 = 64;

macro_rules! scalar_type {
    ($(#[$doc:meta])* $name:ident, $schema:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
        pub(crate) struct $name(pub(crate) Scalar);

        impl AsRef<Scalar> for $name {
            fn as_ref(&self) -> &Scalar {
                &self.0
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

scalar_type! {
    /// The version of the language.
    Version, json_schema!({ "type": "integer", "enum": [1] })
}
scalar_type! {
    /// The value of an environment variable, as it is written.
    Variable, json_schema!({ "type": ["string", "number", "boolean"] })
}
scalar_type! {
    /// One argument of a command, as it is written.
    Argument, json_schema!({ "type": ["string", "number", "boolean"] })
}
scalar_type! {
    /// A duration.
    Duration, json_schema!({ "anyOf": [
        { "type": "string", "pattern": DURATION, "description": "A number with a unit: `ms`, `s`, `m`, `h` or `d`; several may follow each other." },
        { "type": "number", "minimum": 0, "description": "Seconds." }
    ] })
}
scalar_type! {
    /// A duration, or `never`.
    Timeout, json_schema!({ "anyOf": [
        { "type": "string", "pattern": TIMEOUT, "description": "A number with a unit (`ms`, `s`, `m`, `h`, `d`), or `never`." },
        { "type": "number", "minimum": 0, "description": "Seconds." }
    ] })
}
scalar_type! {
    /// A number of bytes.
    Size, json_schema!({ "anyOf": [
        { "type": "string", "pattern": SIZE, "description": "A number with a unit: `kB`, `MB`, `GB` are powers of 1000, `KiB`, `MiB`, `GiB` of 1024." },
        { "type": "integer", "minimum": 1, "description": "Bytes." }
    ] })
}
scalar_type! {
    /// How much of a resource.
    LimitValue, json_schema!({ "anyOf": [
        { "type": "integer", "minimum": 0, "description": "A number; of memory and files, bytes." },
        { "type": "string", "pattern": LIMIT, "description": "`unlimited`, or a size with a unit: `64KiB`, `2GiB`." }
    ] })
}
scalar_type! {
    /// A file mode creation mask.
    Umask, json_schema!({ "anyOf": [
        { "type": "string", "pattern": UMASK, "description": "An octal number." },
        { "type": "integer", "minimum": 0, "maximum": 777, "description": "An octal number: its digits are read as such." }
    ] })
}
scalar_type! {
    /// A signal.
    Signal, json_schema!({ "anyOf": [
        { "type": "string", "enum": signal_names(), "description": "A signal by its name." },
        { "type": "integer", "minimum": 1, "maximum": HIGHEST_SIGNAL, "description": "A signal by its number." }
    ] })
}
scalar_type! {
    /// A way for a process to end.
    Exit, json_schema!({ "anyOf": [
        { "type": "integer", "minimum": 0, "maximum": 255, "description": "An exit code." },
        { "type": "string", "enum": signal_names(), "description": "A signal by its name." }
    ] })
}
scalar_type! {
    /// A number of failures, or `never`.
    MaxFailures, json_schema!({ "anyOf": [
        { "type": "integer", "minimum": 1, "maximum": u32::MAX, "description": "Failures in a row." },
        { "type": "string", "enum": ["never"], "description": "It is never given up." }
    ] })
}
scalar_type! {
    /// Where a TCP connection goes.
    Port, json_schema!({ "anyOf": [
        { "type": "integer", "minimum": 1, "maximum": 65535, "description": "A port on 127.0.0.1." },
        { "type": "string", "pattern": ADDRESS, "description": "`host:port`" }
    ] })
}

scalar_type! {
    /// An HTTP status, or a range of them.
    Status, json_schema!({ "anyOf": [
        { "type": "integer", "minimum": 100, "maximum": 599, "description": "A status." },
        { "type": "string", "pattern": STATUS, "description": "A status, or a range with both its ends." }
    ] })
}
scalar_type! {
    /// Where a service listens.
    Listen, json_schema!({ "anyOf": [
        { "type": "integer", "minimum": 1, "maximum": 65535, "description": "A port on every address." },
        { "type": "string", "pattern": ADDRESS, "description": "`address:port`; an IPv6 address stands in brackets" }
    ] })
}
scalar_type! {
    /// The number of a port.
    PortNumber, json_schema!({ "anyOf": [
        { "type": "integer", "minimum": 1, "maximum": 65535, "description": "The port." },
        { "type": "string", "pattern": PORT, "description": "The port, as a text." }
    ] })
}

fn signal_names() -> Vec<String> {
    let names = SIGNALS.iter().map(|(name, _)| *name);
    names
        .clone()
        .map(str::to_owned)
        .chain(names.map(|name| format!("SIG{name}")))
        .collect()
}

fn compiled(pattern: &str) -> Regex {
    #[expect(
        clippy::expect_used,
        reason = "the patterns are constants of this file"
    )]
    Regex::new(pattern).expect("a pattern of this file compiles")
}

/// What is wrong with a scalar: what it is not, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfit {
    /// The code of the diagnostic.
    pub(crate) code: &'static str,
    /// As in "`x` is not …".
    pub(crate) what: String,
    /// What to write.
    pub(crate) help: String,
}

fn unfit(code: &'static str, what: &str, help: &str) -> Unfit {
    Unfit {
        code,
        what: what.to_owned(),
        help: help.to_owned(),
    }
}

impl Duration {
    /// The duration.
    pub(crate) fn meaning(&self) -> Result<time::Duration, Unfit> {
        duration(&self.0)
    }
}

impl Timeout {
    /// The duration; `None` for `never`.
    pub(crate) fn meaning(&self) -> Result<Option<time::Duration>, Unfit> {
        if self.0.is_text && self.0.text == "never" {
            return Ok(None);
        }
        duration(&self.0).map(Some).map_err(|mut unfit| {
            unfit.help.push_str("; `never` waits for ever");
            unfit
        })
    }
}

fn duration(scalar: &Scalar) -> Result<time::Duration, Unfit> {
    duration_of(&scalar.text, scalar.is_text)
}

/// A duration as it is typed on the command line, in the form that the manifest takes.
///
/// # Errors
/// What is wrong with it, and what one looks like.
pub fn parse_duration(text: &str) -> Result<time::Duration, String> {
    let is_number = text.parse::<f64>().is_ok();
    duration_of(text, !is_number)
        .map_err(|unfit| format!("it is not {}: {}", unfit.what, unfit.help))
}

fn duration_of(text: &str, has_unit: bool) -> Result<time::Duration, Unfit> {
    static PATTERN: LazyLock<Regex> = LazyLock::new(|| compiled(DURATION));
    let bad = || {
        unfit(
            "bad_duration",
            "a duration",
            "a duration is a number of seconds, or one with a unit (`ms`, `s`, `m`, `h`, `d`), as in `500ms`, `10s` or `1m 30s`",
        )
    };
    let too_long = || {
        unfit(
            "bad_duration",
            "a duration that can be waited for",
            "the longest duration is `365d`",
        )
    };
    let duration = if has_unit {
        if !PATTERN.is_match(text) {
            return Err(bad());
        }
        // What has the form can only be too large.
        humantime::parse_duration(text).map_err(|_| too_long())?
    } else {
        let seconds: f64 = text.parse().map_err(|_| bad())?;
        if !seconds.is_finite() || seconds < 0.0 {
            return Err(bad());
        }
        time::Duration::try_from_secs_f64(seconds).map_err(|_| too_long())?
    };
    if duration > LONGEST {
        return Err(too_long());
    }
    Ok(duration)
}

impl Size {
    /// The number of bytes.
    pub(crate) fn meaning(&self) -> Result<u64, Unfit> {
        static PATTERN: LazyLock<Regex> = LazyLock::new(|| compiled(SIZE));
        let text = self.0.text.as_str();
        let bad = || {
            unfit(
                "bad_size",
                "a size",
                "a size is a number of bytes, or a number with a unit, as in `500kB` or `10MiB`",
            )
        };
        let is_fit = if self.0.is_text {
            PATTERN.is_match(text)
        } else {
            text.parse::<u64>().is_ok()
        };
        if !is_fit {
            return Err(bad());
        }
        let bytes: bytesize::ByteSize = text.parse().map_err(|_| bad())?;
        // What a number of bytes cannot hold is taken for the largest that can.
        match bytes.as_u64() {
            0 => Err(bad()),
            bytes if bytes > LARGEST => Err(unfit(
                "bad_size",
                "a size that a file can have",
                "the largest size is `1024TiB`",
            )),
            bytes => Ok(bytes),
        }
    }
}

impl LimitValue {
    /// The amount; `u64::MAX` for any.
    pub(crate) fn meaning(&self, is_in_bytes: bool) -> Result<u64, Unfit> {
        let bad = || {
            unfit(
                "bad_limit",
                "a limit",
                if is_in_bytes {
                    "it takes a number of bytes, a size as in `64MiB`, or `unlimited`"
                } else {
                    "it takes a number or `unlimited`"
                },
            )
        };
        match self.0.text.as_str() {
            "unlimited" if self.0.is_text => Ok(u64::MAX),
            number if !self.0.is_text => number.parse().map_err(|_| bad()),
            _ if is_in_bytes => Size(self.0.clone()).meaning().map_err(|_| bad()),
            _ => Err(bad()),
        }
    }
}

impl Umask {
    /// The mask.
    pub(crate) fn meaning(&self) -> Result<u32, Unfit> {
        let bad = || {
            unfit(
                "bad_umask",
                "a file mode creation mask",
                "a mask is an octal number up to `0777`, as in `022` or `077`",
            )
        };
        let digits = self.0.text.strip_prefix("0o").unwrap_or(&self.0.text);
        if digits.len() > 4 || !digits.chars().all(|c| c.is_digit(8)) {
            return Err(bad());
        }
        let mask = u32::from_str_radix(digits, 8).map_err(|_| bad())?;
        if mask > 0o777 {
            return Err(bad());
        }
        Ok(mask)
    }
}

impl Signal {
    /// The signal.
    pub(crate) fn meaning(&self) -> Result<model::Signal, Unfit> {
        let number = if self.0.is_text {
            signal_by_name(&self.0.text)
        } else {
            self.0
                .text
                .parse()
                .ok()
                .filter(|number| (1..=HIGHEST_SIGNAL).contains(number))
        };
        number.map(model::Signal).ok_or_else(|| {
            let names = SIGNALS.iter().map(|(name, _)| *name);
            let wanted = self.0.text.to_uppercase();
            let help = match super::similar::nearest(wanted.trim_start_matches("SIG"), names) {
                Some(near) => format!("a signal with a similar name exists: `{near}`"),
                None => format!(
                    "a signal is a name as in `TERM`, `INT` or `HUP`, or a number from 1 to {HIGHEST_SIGNAL}"
                ),
            };
            unfit("bad_signal", "a signal", &help)
        })
    }
}

fn signal_by_name(text: &str) -> Option<i32> {
    let name = text.strip_prefix("SIG").unwrap_or(text);
    SIGNALS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, number)| *number)
}

impl Exit {
    /// The exit.
    pub(crate) fn meaning(&self) -> Result<model::Exit, Unfit> {
        let text = self.0.text.as_str();
        if self.0.is_text {
            return signal_by_name(text)
                .map(|number| model::Exit::Signal(model::Signal(number)))
                .ok_or_else(|| {
                    unfit(
                        "bad_exit",
                        "an exit code or a signal",
                        "an exit is a code from 0 to 255, or the name of a signal, as in `143` or `TERM`",
                    )
                });
        }
        text.parse::<u8>()
            .map(|code| model::Exit::Code(code.into()))
            .map_err(|_| {
                unfit(
                    "bad_exit",
                    "an exit code",
                    "an exit code is a number from 0 to 255",
                )
            })
    }
}

impl MaxFailures {
    /// The number; `None` for `never`.
    pub(crate) fn meaning(&self) -> Result<Option<u32>, Unfit> {
        if self.0.is_text && self.0.text == "never" {
            return Ok(None);
        }
        let number = if self.0.is_text {
            None
        } else {
            self.0.text.parse().ok().filter(|number| *number > 0)
        };
        number.map(Some).ok_or_else(|| {
            unfit(
                "bad_number",
                "a number of failures",
                "it takes a number from 1 on, or `never`; `policy: never` does not restart at all",
            )
        })
    }
}

impl Status {
    /// The statuses.
    pub(crate) fn meaning(&self) -> Result<model::Statuses, Unfit> {
        static PATTERN: LazyLock<Regex> = LazyLock::new(|| compiled(STATUS));
        let text = self.0.text.as_str();
        let bad = || {
            unfit(
                "bad_status",
                "a status of HTTP",
                "it takes a status from 100 to 599, or a range, as in `204` or `200-399`",
            )
        };
        if !PATTERN.is_match(text) {
            return Err(bad());
        }
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        match (from.parse(), to.parse()) {
            (Ok(from), Ok(to)) if from <= to => Ok(model::Statuses { from, to }),
            _ => Err(bad()),
        }
    }
}

impl Version {
    /// Whether it is a version that this program understands.
    pub(crate) fn meaning(&self) -> Result<(), Unfit> {
        match (self.0.text.as_str(), self.0.is_text) {
            ("1", false) => Ok(()),
            ("1", true) => Err(unfit(
                "wrong_version",
                "which is a text and not a number",
                "write `version: 1`, without quotes",
            )),
            _ => Err(unfit(
                "wrong_version",
                "a version of the manifest language that this program does not know",
                "the version is `1`; a newer one needs a newer program",
            )),
        }
    }
}

/// Reads an address: `host:port`, `[v6]:port`, or a port on 127.0.0.1.
pub(crate) fn address(text: &str) -> Result<(String, u16), Unfit> {
    let bad = |what| {
        unfit(
            "bad_port",
            what,
            "it takes a port from 1 to 65535 on 127.0.0.1, or `host:port`, as in `8080` or `localhost:8080`",
        )
    };
    let (host, port) = match text.rsplit_once(':') {
        None => ("127.0.0.1", text),
        Some((host, port)) => (host, port),
    };
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').unwrap_or_default(),
        None if host.contains(':') => "",
        None => host,
    };
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || matches!(c, '[' | ']')) {
        return Err(bad("an address"));
    }
    match port_number(port) {
        Some(port) => Ok((host.to_owned(), port)),
        None => Err(bad("a port")),
    }
}

fn port_number(text: &str) -> Option<u16> {
    if !text.chars().all(|c| c.is_ascii_digit()) || text.starts_with('0') {
        return None;
    }
    text.parse().ok()
}

/// Reads the number of a port.
pub(crate) fn owned_port(text: &str) -> Result<u16, Unfit> {
    port_number(text).ok_or_else(|| {
        unfit(
            "bad_port",
            "a port",
            "it takes a number from 1 to 65535, as in `7890`",
        )
    })
}

/// Reads where a service listens: a port on every address, or `address:port`.
pub(crate) fn listen(text: &str) -> Result<(Host, u16), Unfit> {
    if !text.contains(':') {
        return owned_port(text).map(|port| (Host::Every, port));
    }
    let (host, port) = address(text).map_err(|mut unfit| {
        LISTEN_HELP.clone_into(&mut unfit.help);
        unfit
    })?;
    Ok((host_address(&host)?, port))
}

const LISTEN_HELP: &str = "it takes a port from 1 to 65535, or `address:port`, as in `8080`, `127.0.0.1:8080` or `[::1]:8080`";

/// Reads the address that a service listens on.
pub(crate) fn host_address(text: &str) -> Result<Host, Unfit> {
    match (text, text.parse()) {
        ("localhost", _) => Ok(Host::Localhost),
        (_, Ok(address)) => Ok(Host::Address(address)),
        (_, Err(_)) => Err(unfit(
            "bad_port",
            "an address of this host",
            "it takes an address, as in `127.0.0.1` or `::1`, or `localhost`; without one, every address is meant",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Scalar {
        Scalar {
            text: text.into(),
            is_text: true,
        }
    }

    fn number(text: &str) -> Scalar {
        Scalar {
            text: text.into(),
            is_text: false,
        }
    }

    #[test]
    fn durations_have_units_and_plain_numbers_are_seconds() {
        let millis = |scalar| Duration(scalar).meaning().map(|found| found.as_millis());
        assert_eq!(millis(text("500ms")), Ok(500));
        assert_eq!(millis(text("1m 30s")), Ok(90_000));
        assert_eq!(millis(text("1m30s")), Ok(90_000));
        assert_eq!(millis(text("1.5s")), Ok(1500));
        assert_eq!(millis(text("2h")), Ok(7_200_000));
        assert_eq!(millis(number("0.5")), Ok(500));
        assert_eq!(millis(number("3")), Ok(3000));
        for bad in [
            "",
            "s",
            "10",
            "10 parsecs",
            "-1s",
            "1y",
            "5M",
            "never",
            "1s,2s",
        ] {
            assert!(millis(text(bad)).is_err(), "{bad}");
        }
        for bad in ["-1", ".nan", ".inf", "true", "1e300", "366000000"] {
            assert!(millis(number(bad)).is_err(), "{bad}");
        }
        assert_eq!(Timeout(text("never")).meaning(), Ok(None));
    }

    #[test]
    fn sizes_have_units_of_both_kinds() {
        let bytes = |scalar| Size(scalar).meaning();
        assert_eq!(bytes(text("10MiB")), Ok(10 << 20));
        assert_eq!(bytes(text("500kB")), Ok(500_000));
        assert_eq!(bytes(text("1 GiB")), Ok(1 << 30));
        assert_eq!(bytes(text("1.5KiB")), Ok(1536));
        assert_eq!(bytes(number("4096")), Ok(4096));
        for bad in ["", "MiB", "10 apples", "-1", "0", "0B"] {
            assert!(bytes(text(bad)).is_err(), "{bad}");
        }
        for bad in ["0", "1.5", "-3", "true"] {
            assert!(bytes(number(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn masks_are_octal_however_they_are_written() {
        assert_eq!(Umask(text("077")).meaning(), Ok(0o077));
        assert_eq!(Umask(number("022")).meaning(), Ok(0o022));
        assert_eq!(Umask(number("0o27")).meaning(), Ok(0o027));
        for bad in ["", "088", "0x1f", "7777", "-22", "a"] {
            assert!(Umask(text(bad)).meaning().is_err(), "{bad}");
        }
    }

    #[test]
    fn signals_and_exits() {
        assert_eq!(Signal(text("TERM")).meaning(), Ok(model::Signal(15)));
        assert_eq!(Signal(text("SIGHUP")).meaning(), Ok(model::Signal(1)));
        assert_eq!(Signal(number("2")).meaning(), Ok(model::Signal(2)));
        assert!(Signal(text("15")).meaning().is_err());
        assert!(Signal(number("65")).meaning().is_err());
        assert!(
            Signal(text("TREM"))
                .meaning()
                .unwrap_err()
                .help
                .contains("`TERM`")
        );
        assert_eq!(Exit(number("143")).meaning(), Ok(model::Exit::Code(143)));
        assert_eq!(
            Exit(text("HUP")).meaning(),
            Ok(model::Exit::Signal(model::Signal(1)))
        );
        assert!(Exit(number("256")).meaning().is_err());
    }

    #[test]
    fn addresses() {
        let ok = |host: &str, port| Ok((host.to_owned(), port));
        assert_eq!(address("8080"), ok("127.0.0.1", 8080));
        assert_eq!(address("localhost:80"), ok("localhost", 80));
        assert_eq!(address("[::1]:80"), ok("::1", 80));
        for bad in [
            "", "0", "65536", "http", "::1:80", ":80", "a b:80", "host:", "+80",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
