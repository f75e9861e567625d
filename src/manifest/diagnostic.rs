//! What is wrong with a manifest, where, and how to mend it.
//!
//! A [`Diagnostic`] is data: a stable code, a message that stands alone, labels at the places that
//! matter, and a help text that says what to do. Two things are made of it: the JSON of
//! `validate --json` ([`to_json`]) and, through miette, what people see ([`Report`]).

use std::fmt;

use miette::{LabeledSpan, SourceCode};
use serde_json::{Value, json};

use super::excerpt::Excerpt;
use super::source::{FileId, Sources, Span};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The manifest can be used.
    Warning,
    /// It cannot.
    Error,
}

impl Severity {
    /// The word of the JSON form.
    pub fn word(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The stable code, without the leading `baudbot::manifest::`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong; understandable without the labels.
    pub message: String,
    /// The places; the first is the main one. Empty when no place in a file is to blame.
    pub labels: Vec<Label>,
    /// What to do about it.
    pub help: Option<String>,
}

/// A place and what there is to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What is so here.
    pub text: String,
}

impl Diagnostic {
    /// An error without a place yet.
    pub(crate) fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            labels: Vec::new(),
            help: None,
        }
    }

    /// A warning without a place yet.
    pub(crate) fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, message)
        }
    }

    /// Adds a place.
    pub(crate) fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// Says what to do.
    pub(crate) fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Whether it keeps the manifest from being used.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The whole code, as people look it up.
    pub fn full_code(&self) -> String {
        format!("baudbot::manifest::{}", self.code)
    }
}

/// What `validate --json` prints; lines and columns count from 1.
pub fn to_json(diagnostics: &[Diagnostic], sources: &Sources) -> Value {
    let labels = |diagnostic: &Diagnostic| -> Vec<Value> {
        diagnostic
            .labels
            .iter()
            .map(|label| {
                let place = sources.place(label.span);
                json!({
                    "file": sources.path(label.span.file),
                    "line": place.line,
                    "column": place.column,
                    "text": label.text,
                })
            })
            .collect()
    };
    let diagnostics: Vec<Value> = diagnostics
        .iter()
        .map(|diagnostic| {
            json!({
                "code": diagnostic.full_code(),
                "severity": diagnostic.severity.word(),
                "message": diagnostic.message,
                "help": diagnostic.help,
                "labels": labels(diagnostic),
            })
        })
        .collect();
    let valid = !diagnostics.iter().any(|one| one["severity"] == "error");
    json!({ "version": 1, "valid": valid, "diagnostics": diagnostics })
}

/// A diagnostic together with the texts that it points into, ready for miette to draw.
///
/// miette knows one source for a report, so labels in further files become related reports.
#[derive(Debug)]
pub struct Report {
    code: Option<String>,
    severity: Severity,
    message: String,
    help: Option<String>,
    source: Option<Excerpt>,
    labels: Vec<LabeledSpan>,
    related: Vec<Report>,
}

impl Report {
    /// Joins a diagnostic with its texts.
    pub fn new(diagnostic: &Diagnostic, sources: &Sources) -> Self {
        let mut files: Vec<FileId> = Vec::new();
        for label in &diagnostic.labels {
            if !files.contains(&label.span.file) {
                files.push(label.span.file);
            }
        }
        let labels_of = |file: FileId| {
            let labels = diagnostic.labels.iter();
            labels.filter(move |label| label.span.file == file)
        };
        let source = |file: FileId| {
            let source = sources.source(file);
            let spans: Vec<(usize, usize)> = labels_of(file)
                .map(|label| (label.span.start, label.span.end - label.span.start))
                .collect();
            Excerpt::new(
                source.path.to_string_lossy().into_owned(),
                &source.text,
                &spans,
            )
        };
        let labels_in = |file: FileId, excerpt: &Excerpt| -> Vec<LabeledSpan> {
            labels_of(file)
                .map(|label| {
                    let length = label.span.end - label.span.start;
                    let (start, length) = excerpt.span(label.span.start, length);
                    LabeledSpan::new(Some(label.text.clone()), start, length)
                })
                .collect()
        };
        let related = files
            .iter()
            .skip(1)
            .map(|&file| {
                let source = source(file);
                Self {
                    code: None,
                    severity: Severity::Warning,
                    message: "the other place".into(),
                    help: None,
                    labels: labels_in(file, &source),
                    source: Some(source),
                    related: Vec::new(),
                }
            })
            .collect();
        let first = files.first().map(|&file| (file, source(file)));
        Self {
            code: Some(diagnostic.full_code()),
            severity: diagnostic.severity,
            message: diagnostic.message.clone(),
            help: diagnostic.help.clone(),
            labels: first
                .as_ref()
                .map(|(file, source)| labels_in(*file, source))
                .unwrap_or_default(),
            source: first.map(|(_, source)| source),
            related,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Report {}

impl miette::Diagnostic for Report {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code.as_ref()?))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match (self.severity, &self.code) {
            (_, None) => miette::Severity::Advice,
            (Severity::Warning, _) => miette::Severity::Warning,
            (Severity::Error, _) => miette::Severity::Error,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.help.as_ref()?))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        if self.labels.is_empty() {
            return None;
        }
        Some(Box::new(self.labels.iter().cloned()))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        if self.related.is_empty() {
            return None;
        }
        Some(Box::new(
            self.related
                .iter()
                .map(|one| one as &dyn miette::Diagnostic),
        ))
    }
}
