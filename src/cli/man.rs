//! `baudbot man`: manual pages, made from what `--help` is made from.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Call, Failure};
use crate::code;
use crate::exit::ExitCode;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Write a page for each command into this directory, as in ~/.local/share/man/man1
    #[arg(value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

pub(super) fn run(call: &Call, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let command = super::command();
    let Some(directory) = &arguments.directory else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command)
            .render(&mut page)
            .map_err(|error| Failure::of(code!("cli::system"), &error))?;
        page.extend(ending("baudbot").into_bytes());
        call.print(&String::from_utf8_lossy(&page))?;
        return Ok(ExitCode::Done);
    };
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(command, directory))
        .and_then(|()| end_pages(directory))
        .map_err(|error| {
            let doing = format!("cannot write manual pages into {}", directory.display());
            Failure::system(&doing, &error)
        })?;
    call.note(&format!(
        "manual pages are in {}; read one with `man -l {}`\n",
        directory.display(),
        directory.join("baudbot-up.1").display()
    ));
    Ok(ExitCode::Done)
}

/// What is typed most, by page, with what it does.
const EXAMPLES: [(&str, &[(&str, &str)]); 10] = [
    (
        "baudbot",
        &[
            ("baudbot init", "Write a manifest to begin with."),
            (
                "baudbot up",
                "Bring everything up and wait until it is ready.",
            ),
            ("baudbot status", "Show what runs, what does not, and why."),
            (
                "baudbot down",
                "Take everything down and prove that nothing is left.",
            ),
        ],
    ),
    (
        "baudbot-up",
        &[
            ("baudbot up", "Bring everything up."),
            (
                "baudbot up web @core",
                "Bring a service and a group up, with what they need.",
            ),
            ("baudbot up --dry-run", "Only show what would be done."),
        ],
    ),
    (
        "baudbot-down",
        &[
            ("baudbot down", "Take everything down."),
            ("baudbot down --now", "End everything without grace."),
        ],
    ),
    (
        "baudbot-restart",
        &[("baudbot restart web", "Give one service a new run.")],
    ),
    (
        "baudbot-status",
        &[
            (
                "baudbot status",
                "Show each service and what is wrong with it.",
            ),
            (
                "baudbot status --wait --timeout 1m",
                "Wait until all is settled, at most a minute.",
            ),
            ("baudbot status --json", "The same for a program."),
        ],
    ),
    (
        "baudbot-logs",
        &[
            ("baudbot logs web", "Show what a service printed."),
            ("baudbot logs -f", "Follow what all services print."),
            ("baudbot logs --since 10m web", "Show the last ten minutes."),
        ],
    ),
    (
        "baudbot-why",
        &[("baudbot why web", "Tell one service's whole story.")],
    ),
    (
        "baudbot-plan",
        &[
            ("baudbot plan", "Show what `up` would do."),
            (
                "baudbot plan down web",
                "Show what goes down with one service.",
            ),
        ],
    ),
    (
        "baudbot-exec",
        &[(
            "baudbot exec web -- env",
            "Print the environment of a service.",
        )],
    ),
    (
        "baudbot-explain",
        &[(
            "baudbot explain run::service_failed",
            "Tell what the code of an error means.",
        )],
    ),
];

/// Adds to the pages in `directory` what the parser of the command line does not know.
fn end_pages(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let is_ours = name == "baudbot" || name.starts_with("baudbot-");
        if is_ours && path.extension().is_some_and(|section| section == "1") {
            let mut page = OpenOptions::new().append(true).open(&path)?;
            page.write_all(ending(&name).as_bytes())?;
        }
    }
    Ok(())
}

/// The last sections of a page, in roff.
fn ending(page: &str) -> String {
    let mut text = String::new();
    let examples = EXAMPLES.iter().find(|(name, _)| *name == page);
    if let Some((_, examples)) = examples {
        text += ".SH EXAMPLES\n";
        for (command, does) in *examples {
            let command = command.replace('-', "\\-");
            text += &format!(".TP\n\\fB{command}\\fR\n{does}\n");
        }
    }
    let others = ["baudbot", "baudbot-up", "baudbot-status", "baudbot-why"];
    let others: Vec<String> = others
        .into_iter()
        .filter(|other| *other != page)
        .map(|other| format!("\\fB{}\\fR(1)", other.replace('-', "\\-")))
        .collect();
    text + &format!(".SH \"SEE ALSO\"\n{}\n", others.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_example_is_a_command_that_the_parser_takes() {
        for (page, examples) in EXAMPLES {
            for (line, _) in examples {
                let words = line.split(' ').map(Into::into);
                assert!(crate::cli::parse(words).is_ok(), "{page}: {line}");
            }
        }
    }

    #[test]
    fn pages_end_with_examples_and_other_pages() {
        let scratch = tempfile::tempdir().unwrap();
        clap_mangen::generate_to(crate::cli::command(), scratch.path()).unwrap();
        end_pages(scratch.path()).unwrap();
        for (page, _) in EXAMPLES {
            let text = std::fs::read_to_string(scratch.path().join(format!("{page}.1"))).unwrap();
            assert!(text.contains(".SH EXAMPLES"), "{page}");
            assert!(text.contains(".SH \"SEE ALSO\""), "{page}");
        }
    }
}
