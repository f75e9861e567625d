//! `baudbot config`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use clap::Args;
use regex::Regex;

use super::{Call, Failure, project};
use crate::code;
use crate::exit::ExitCode;
use crate::manifest::environment::LONGEST_SHOWN;
use crate::manifest::load::environment;
use crate::manifest::model::Manifest;
use crate::manifest::source::Sources;
use crate::render::config;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Write JSON instead of YAML
    #[arg(long)]
    json: bool,
    /// Show the values of environment variables, secrets among them
    #[arg(long)]
    show_values: bool,
}

pub(super) fn run(call: &Call, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (manifest, sources) = project::manifest_and_sources(call)?;
    let secrets = match arguments.show_values {
        true => Vec::new(),
        false => secrets(&manifest, &sources),
    };
    let shown = config::Shown {
        has_values: arguments.show_values,
        secrets: &secrets,
    };
    let value = config::value(&manifest, shown);
    if arguments.json {
        call.print_json(&value)?;
    } else {
        call.print(
            &config::yaml(&value).map_err(|error| Failure::of(code!("cli::output"), &error))?,
        )?;
    }
    Ok(ExitCode::Done)
}

/// Variables that hold no secrets; paths are hard to read without them.
const HARMLESS: [&str; 12] = [
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "PATH",
    "PWD",
    "LANG",
    "TZ",
    "TERM",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
];

/// The values of variables that the manifest refers to, longest first: where one holds another, the
/// longer one goes as a whole.
fn secrets(manifest: &Manifest, sources: &Sources) -> Vec<String> {
    #[expect(clippy::expect_used, reason = "the pattern is a constant")]
    static REFERENCE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\$\{([A-Za-z_][A-Za-z0-9_]*)").expect("the pattern compiles")
    });
    let mut variables: Vec<BTreeMap<String, String>> = vec![project::environment()];
    for service in manifest.services.values() {
        // A file that cannot be read now put nothing into the manifest either.
        variables.extend(environment(&service.env, None));
    }
    let mut secrets: Vec<String> = sources
        .iter()
        .flat_map(|source| REFERENCE.captures_iter(&source.text))
        .map(|reference| reference[1].to_owned())
        .filter(|name| !HARMLESS.contains(&name.as_str()) && !name.starts_with("LC_"))
        .flat_map(|name| {
            variables
                .iter()
                .filter_map(move |variables| variables.get(&name).cloned())
                .collect::<Vec<_>>()
        })
        .filter(|value| value.chars().count() > LONGEST_SHOWN)
        .collect();
    secrets.sort_by_key(|value| std::cmp::Reverse(value.len()));
    secrets.dedup();
    secrets
}
