//! The only I/O of the manifest: finds files, reads them, follows includes, reads env files.

mod find;
mod include;
mod read;
mod rights;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::check::{self, Document, Input, Texts};
use super::deserialize::deserialize;
use super::diagnostic::Diagnostic;
use super::field::Field;
use super::raw::{self, OneOrMany};
use super::source::{FileId, Sources, Span};
use super::yaml::{self, Data, Meaning, Node};
use super::{Context, Loaded, ReadFrom};
use crate::id::ProjectName;
use include::Meant;
use read::{ReadError, not_utf8, read_env_file, read_text};
use rights::OtherWriter;

pub use find::{FindError, find, former_project_name, is_gone, is_same_file, project_name};
pub use read::environment;

/// How many files a manifest may be made of.
const MOST_FILES: usize = 256;
/// How many diagnostics a person wants to see.
const MOST_SHOWN: usize = 200;

/// Loads the manifest `file` and all that it includes, checks everything and resolves it. Never
/// panics; whatever is wrong is among the diagnostics.
pub fn load(file: &Path, context: &Context<'_>) -> Loaded {
    let mut loader = Loader {
        context,
        sources: Sources::default(),
        documents: Vec::new(),
        diagnostics: Vec::new(),
        is_complete: true,
        seen: BTreeSet::new(),
        directories: BTreeSet::new(),
    };
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    loader.file(&file, &mut Vec::new(), None);
    let Loader {
        sources,
        documents,
        mut diagnostics,
        is_complete,
        directories,
        ..
    } = loader;
    let mut from = ReadFrom {
        files: sources.iter().map(|source| source.path.clone()).collect(),
        directories,
    };
    let manifest = if documents.is_empty() {
        None
    } else {
        let project = project_of(&documents[0].raw, &file, context, &mut diagnostics);
        let cache = RefCell::new(HashMap::new());
        let asked = RefCell::new(BTreeSet::new());
        let input = Input {
            file: &file,
            documents: &documents,
            is_complete,
            context,
            sources: &sources,
            read_env_file: &|path| {
                let mut cache = cache.borrow_mut();
                cache
                    .entry(path.to_owned())
                    .or_insert_with(|| read_env_file(path))
                    .clone()
            },
            exists: &|path| {
                asked.borrow_mut().insert(path.to_owned());
                path.exists()
            },
        };
        let manifest = project.map(|project| check::check(&input, project, &mut diagnostics));
        let env_files: BTreeSet<PathBuf> = cache.into_inner().into_keys().collect();
        let others = env_files
            .iter()
            .filter_map(|path| OtherWriter::of_file_of_any_owner(path));
        diagnostics.extend(others.map(|other| other.diagnostic(context.is_root)));
        from.files.extend(env_files);
        from.files.extend(asked.into_inner());
        manifest
    };
    let diagnostics = tidy(diagnostics, &sources);
    let is_valid = !diagnostics.iter().any(Diagnostic::is_error);
    Loaded {
        manifest: manifest.filter(|_| is_valid),
        diagnostics,
        sources,
        from,
    }
}

/// The name of the project; `None` when there is none, which has been reported then.
fn project_of(
    raw: &raw::Manifest,
    file: &Path,
    context: &Context<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<ProjectName> {
    if let Some(written) = raw.project.written() {
        return ProjectName::new(written.value.as_str())
            .map_err(|error| {
                diagnostics.push(check::bad_name(
                    "project",
                    &written.value,
                    written.span,
                    &error,
                ));
            })
            .ok()
            .or_else(placeholder);
    }
    if matches!(raw.project, Field::Unfit(_)) {
        return placeholder();
    }
    let unwritten = context.unwritten_project.clone();
    unwritten
        .or_else(|| check::default_project(file))
        .or_else(|| {
            let message = "the manifest does not name its project, and neither does its directory";
            diagnostics.push(
                Diagnostic::error("missing_project", message)
                    .help("add `project: NAME` at the top level"),
            );
            placeholder()
        })
}

/// Stands for a project's name that was reported as unfit, so that the rest can be checked.
fn placeholder() -> Option<ProjectName> {
    ProjectName::new("project").ok()
}

/// Sorts by place, drops what was said before (a value of `defaults` is looked at for each service),
/// and shortens each label to one line.
fn tidy(diagnostics: Vec<Diagnostic>, sources: &Sources) -> Vec<Diagnostic> {
    let mut told = BTreeSet::new();
    let mut tidied: Vec<Diagnostic> = diagnostics
        .into_iter()
        .map(|mut diagnostic| {
            for label in &mut diagnostic.labels {
                let text = sources.text(label.span);
                let first_line = text.lines().next().unwrap_or_default().trim_end();
                label.span.end = label.span.start + first_line.len();
            }
            diagnostic
        })
        .filter(|diagnostic| {
            let span = diagnostic.labels.first().map(|label| label.span);
            // Several mistakes of one text may share its place.
            let is_of_a_text = matches!(
                diagnostic.code,
                "unset_variable" | "required_variable" | "bad_expansion" | "no_exports"
            );
            let message = (is_of_a_text || span.is_none()).then(|| diagnostic.message.clone());
            told.insert((diagnostic.code, span, message))
        })
        .collect();
    tidied.sort_by_key(|diagnostic| diagnostic.labels.first().map(|label| label.span));
    if tidied.len() > MOST_SHOWN {
        let more = tidied.split_off(MOST_SHOWN);
        let is_error = more.iter().any(Diagnostic::is_error);
        let message = format!("{} further mistakes are not shown", more.len());
        let last = if is_error {
            Diagnostic::error("further_mistakes", message)
        } else {
            Diagnostic::warning("further_mistakes", message)
        };
        tidied.push(last.help("mend those above first"));
    }
    tidied
}

struct Loader<'a> {
    context: &'a Context<'a>,
    sources: Sources,
    documents: Vec<Document>,
    diagnostics: Vec<Diagnostic>,
    is_complete: bool,
    /// The files that were read, by their canonical paths.
    seen: BTreeSet<PathBuf>,
    /// The directories that patterns look into.
    directories: BTreeSet<PathBuf>,
}

/// A file on the way from the manifest to the one that is being read.
struct Including {
    canonical: PathBuf,
    path: PathBuf,
}

impl Loader<'_> {
    /// Reads a file and what it includes. `from` is where it is included.
    fn file(&mut self, path: &Path, chain: &mut Vec<Including>, from: Option<Span>) {
        let canonical = match std::fs::canonicalize(path) {
            Ok(canonical) => canonical,
            Err(error) => return self.unreadable(path, from, &error),
        };
        if let Some(at) = chain.iter().position(|one| one.canonical == canonical) {
            self.include_cycle(&chain[at..], path, from);
            return;
        }
        if !self.seen.insert(canonical.clone()) {
            // Included from two sides: it counts once.
            return;
        }
        if self.seen.len() > MOST_FILES {
            self.is_complete = false;
            let diagnostic = Diagnostic::error(
                "too_many_files",
                format!("the manifest includes more than {MOST_FILES} files"),
            );
            self.push_at(diagnostic, from, "one too many");
            return;
        }
        let text = match read_text(path) {
            Ok(text) => text,
            Err(ReadError::Io(error)) => return self.unreadable(path, from, &error),
            Err(ReadError::NotRegular) => {
                self.is_complete = false;
                let diagnostic = Diagnostic::error(
                    "not_a_file",
                    format!("{} is not a regular file", path.display()),
                )
                .help("a manifest is a file of text");
                return self.push_at(diagnostic, from, "included here");
            }
            Err(ReadError::TooLarge) => {
                self.is_complete = false;
                let diagnostic = Diagnostic::error(
                    "too_large",
                    format!("{} is larger than 1 MiB", path.display()),
                )
                .help("a manifest is some kilobytes long; `include` splits one");
                return self.push_at(diagnostic, from, "included here");
            }
            Err(ReadError::NotUtf8 { lossy, at }) => {
                self.is_complete = false;
                let file = self.sources.add(path, lossy);
                self.diagnostics
                    .push(not_utf8(&self.sources, file, path, at));
                return;
            }
        };
        self.writable(path);
        let file = self.sources.add(path, text);
        let Some(raw) = self.parse(file) else {
            self.is_complete = false;
            return;
        };
        let is_torn =
            matches!(raw.services, Field::Unfit(_)) || matches!(raw.groups, Field::Unfit(_));
        self.is_complete &= !is_torn;
        let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
        let includes = self.includes(&raw, &directory);
        self.documents.push(Document {
            file,
            directory,
            raw,
        });
        chain.push(Including {
            canonical,
            path: path.to_owned(),
        });
        for (meant, span) in includes {
            match meant {
                Meant::File(path) => self.file(&path, chain, Some(span)),
                Meant::Matching { files, directory } => {
                    self.directories.insert(directory);
                    for path in files {
                        // Who includes `*.yaml` beside itself does not mean itself.
                        if !is_on_the_way(chain, &path) {
                            self.file(&path, chain, Some(span));
                        }
                    }
                }
            }
        }
        chain.pop();
    }

    fn parse(&mut self, file: FileId) -> Option<raw::Manifest> {
        let text = Rc::<str>::from(&*self.sources.source(file).text);
        let at = |start: usize, length: usize| Span {
            file,
            start,
            end: start + length,
        };
        if text.starts_with('\u{feff}') {
            self.diagnostics.push(
                Diagnostic::error("byte_order_mark", "the file begins with a byte order mark")
                    .label(at(0, 3), "U+FEFF, which cannot be seen")
                    .help("save the file as UTF-8 without a byte order mark"),
            );
        }
        let control = text
            .char_indices()
            .find(|(_, c)| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{85}'));
        if let Some((start, c)) = control {
            self.diagnostics.push(
                Diagnostic::error(
                    "control_character",
                    format!("the file holds the control character U+{:04X}", c as u32),
                )
                .label(at(start, c.len_utf8()), "cannot be seen")
                .help("remove it; within double quotes it can be written as an escape"),
            );
            return None;
        }
        let before = self.diagnostics.len();
        let node = yaml::parse(&text, file, &mut self.diagnostics);
        // These leave a part of the document out.
        self.is_complete &= !self.diagnostics[before..]
            .iter()
            .any(|one| matches!(one.code, "bad_key" | "bad_merge"));
        let is_empty = node.as_ref().is_none_or(|node| is_nothing(node));
        if is_empty {
            if self.diagnostics.len() == before {
                self.diagnostics.push(
                    Diagnostic::error("empty_manifest", "the manifest is empty")
                        .label(at(0, 0), "nothing in it")
                        .help(
                            "the shortest is `version: 1`; `baudbot init` writes one to begin with",
                        ),
                );
            }
            return None;
        }
        deserialize(node.as_deref()?, &mut self.diagnostics)
    }

    /// What a file includes.
    fn includes(&mut self, raw: &raw::Manifest, directory: &Path) -> Vec<(Meant, Span)> {
        let Some(written) = raw.include.written() else {
            if !raw.include.is_absent() {
                self.is_complete = false;
            }
            return Vec::new();
        };
        let nothing = BTreeMap::new();
        let facts = BTreeMap::new();
        let texts = Texts {
            sources: &self.sources,
            is_service: &|_| false,
            variables: &nothing,
            given: &check::NOTHING_GIVEN,
            fallback: &self.context.environment,
            facts: &facts,
            references: None,
            home: None,
            directory,
        };
        let items = OneOrMany::items(written);
        let includes: Vec<(Meant, Span)> = items
            .iter()
            .filter_map(|&(text, span)| {
                let path = texts.path(text, span, "`include`", &mut self.diagnostics)?;
                match include::meant(&path, span, MOST_FILES + 1) {
                    Ok(meant) => Some((meant, span)),
                    Err(diagnostic) => {
                        self.diagnostics.push(*diagnostic);
                        None
                    }
                }
            })
            .collect();
        let is_whole = match &written.value {
            OneOrMany::One(_) => includes.len() == 1,
            OneOrMany::Many(all) => includes.len() == all.len(),
        };
        self.is_complete &= is_whole;
        includes
    }

    fn unreadable(&mut self, path: &Path, from: Option<Span>, error: &std::io::Error) {
        self.is_complete = false;
        let shown = path.display();
        let is_missing = error.kind() == std::io::ErrorKind::NotFound;
        let diagnostic = match from {
            Some(_) if is_missing => Diagnostic::error(
                "include_not_found",
                format!("`include` finds nothing at {shown}"),
            )
            .help("the path is relative to the file that it stands in"),
            _ if is_missing => {
                Diagnostic::error("not_found", format!("there is no manifest at {shown}"))
                    .help("`baudbot init` writes one; `--file` names another")
            }
            _ => Diagnostic::error("unreadable", format!("cannot read {shown}: {error}")),
        };
        let label = if is_missing {
            "does not exist"
        } else {
            "cannot be read"
        };
        self.push_at(diagnostic, from, label);
    }

    fn include_cycle(&mut self, chain: &[Including], path: &Path, from: Option<Span>) {
        let names: Vec<String> = chain
            .iter()
            .map(|one| one.path.as_path())
            .chain([path])
            .map(|path| {
                let name = path.file_name().unwrap_or(path.as_os_str());
                format!("`{}`", name.to_string_lossy())
            })
            .collect();
        let message = if chain.len() == 1 {
            format!("{} includes itself", names[0])
        } else {
            format!("files include each other: {}", names.join(" -> "))
        };
        let diagnostic = Diagnostic::error("include_cycle", message).help("remove this include");
        self.push_at(diagnostic, from, "leads back to where it comes from");
    }

    fn push_at(&mut self, diagnostic: Diagnostic, from: Option<Span>, label: &str) {
        self.diagnostics.push(match from {
            Some(span) => diagnostic.label(span, label),
            None => diagnostic,
        });
    }

    /// Tells of another user who decides what this file says.
    fn writable(&mut self, path: &Path) {
        let other = OtherWriter::of(path);
        let told = other.map(|other| other.diagnostic(self.context.is_root));
        self.diagnostics.extend(told);
    }
}

fn is_on_the_way(chain: &[Including], path: &Path) -> bool {
    std::fs::canonicalize(path)
        .is_ok_and(|canonical| chain.iter().any(|one| one.canonical == canonical))
}

fn is_nothing(node: &Node) -> bool {
    matches!(&node.data, Data::Scalar(scalar) if scalar.meaning == Meaning::Null)
}
