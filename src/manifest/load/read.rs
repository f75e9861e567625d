//! Reads files of text within bounds, and env files.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use super::rights::{OtherWriter, own_uid};
use crate::manifest::diagnostic::Diagnostic;
use crate::manifest::dotenv;
use crate::manifest::environment::{self, EnvironmentError};
use crate::manifest::model::Environment;
use crate::manifest::source::{FileId, Sources, Span};

/// The largest file, in bytes; the real host's manifest has some ten thousand.
const LARGEST_FILE: u64 = 1 << 20;

pub(super) fn not_utf8(sources: &Sources, file: FileId, path: &Path, at: usize) -> Diagnostic {
    let is_wide = at == 0 && sources.source(file).text.contains('\0');
    let span = Span {
        file,
        start: at,
        end: at + '\u{fffd}'.len_utf8(),
    };
    Diagnostic::error("not_utf8", format!("{} is not UTF-8", path.display()))
        .label(
            span,
            if is_wide {
                "this looks like UTF-16"
            } else {
                "not UTF-8 from here on"
            },
        )
        .help("save the file as UTF-8")
}

/// Why a file cannot be taken.
pub(super) enum ReadError {
    Io(std::io::Error),
    NotRegular,
    TooLarge,
    NotUtf8 { lossy: String, at: usize },
}

/// Reads a regular file whole, within bounds: a FIFO could keep us waiting for ever.
pub(super) fn read_text(path: &Path) -> Result<String, ReadError> {
    let metadata = std::fs::metadata(path).map_err(ReadError::Io)?;
    if !metadata.is_file() {
        return Err(ReadError::NotRegular);
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut bytes))
        .map_err(ReadError::Io)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(ReadError::TooLarge);
    }
    String::from_utf8(bytes).map_err(|error| ReadError::NotUtf8 {
        at: error.utf8_error().valid_up_to(),
        lossy: String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

/// Reads the env files of a service and lays all layers of its environment over one another: what
/// its next run sees. `user` is the number of the user that it runs as, if that is another: its env
/// files may be that user's. Root takes none that yet another user decides about.
///
/// # Errors
/// Each file that is missing though required, unreadable or malformed; the message names it.
pub fn environment(
    environment: &Environment,
    user: Option<u32>,
) -> Result<BTreeMap<String, String>, Vec<EnvironmentError>> {
    environment::build(environment, |file| {
        // Ordinary users were warned when the manifest was read.
        if own_uid() == Some(0)
            && let Some(other) = OtherWriter::of_file_for(&file.path, user)
        {
            return Err(EnvironmentError::Unreadable {
                path: file.path.clone(),
                reason: other.to_string(),
            });
        }
        read_env_file(&file.path)
    })
}

/// The variables of an env file; `None` when it does not exist.
pub(super) fn read_env_file(
    path: &Path,
) -> Result<Option<Vec<(String, String)>>, EnvironmentError> {
    let unreadable = |reason: String| EnvironmentError::Unreadable {
        path: path.to_owned(),
        reason,
    };
    let text = match read_text(path) {
        Ok(text) => text,
        Err(ReadError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(ReadError::Io(error)) => return Err(unreadable(error.to_string())),
        Err(ReadError::NotRegular) => return Err(unreadable("it is not a regular file".into())),
        Err(ReadError::TooLarge) => return Err(unreadable("it is larger than 1 MiB".into())),
        Err(ReadError::NotUtf8 { .. }) => return Err(unreadable("it is not UTF-8".into())),
    };
    let variables = dotenv::parse(&text).map_err(|malformed| EnvironmentError::Malformed {
        path: path.to_owned(),
        line: malformed.line,
        reason: malformed.reason.to_owned(),
    })?;
    Ok(Some(variables))
}
