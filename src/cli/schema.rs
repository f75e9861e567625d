//! `baudbot schema`.

use super::{Call, Failure};
use crate::exit::ExitCode;
use crate::manifest;

pub(super) fn run(call: &Call) -> Result<ExitCode, Failure> {
    call.print_json(&manifest::schema())?;
    Ok(ExitCode::Done)
}
