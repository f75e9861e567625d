//! Texts with `${…}` in them, and paths.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::exports::{Found, References};
use super::given::{self, Given, GivenValue, Script};
use crate::manifest::diagnostic::Diagnostic;
use crate::manifest::expand::{self, Kind, Mistake, PARAM, Scope};
use crate::manifest::reference;
use crate::manifest::similar::list;
use crate::manifest::source::{Sources, Span};
use crate::manifest::unexpanded::{self, Unexpanded};

/// How many places of one text are warned of.
const MOST_WARNINGS: usize = 5;

/// What the texts of one place see.
pub(crate) struct Texts<'a> {
    pub(crate) sources: &'a Sources,
    pub(crate) is_service: &'a dyn Fn(&str) -> bool,
    /// The variables that `${NAME}` sees first.
    pub(crate) variables: &'a BTreeMap<String, String>,
    /// Those of them that hold a value which another party gives.
    pub(crate) given: &'a Given,
    /// The environment of the ordering command.
    pub(crate) fallback: &'a BTreeMap<String, String>,
    pub(crate) facts: &'a BTreeMap<String, String>,
    /// Where references to exports are noted; `None` where there may be none.
    pub(crate) references: Option<&'a References>,
    /// What `~` stands for; `None`: the home of the ordering user.
    pub(crate) home: Option<&'a str>,
    /// Where relative paths start from.
    pub(crate) directory: &'a Path,
}

impl Texts<'_> {
    /// The same, for what has to be known now.
    pub(crate) fn without_references(&self) -> Texts<'_> {
        Texts {
            references: None,
            ..*self
        }
    }

    /// Replaces what is to be replaced. `what` names the place, for messages. `None` when that went
    /// wrong, which has been reported.
    pub(crate) fn expand(
        &self,
        text: &str,
        span: Span,
        what: &str,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<String> {
        self.expand_noting(text, span, what, false, diagnostics)
            .map(|(expanded, _)| expanded)
    }

    /// The text as it is meant, without a word about what is wrong with it.
    pub(super) fn meant(&self, text: &str) -> Option<String> {
        let scope = Scope {
            variables: self.variables,
            fallback: self.fallback,
            facts: self.facts,
            is_service: self.is_service,
            references: Some(&|_, _, _| {}),
            used: &|_, _| {},
            is_script: false,
        };
        expand::expand(text, &scope).ok()
    }

    /// As [`expand`](Self::expand), for a script: values that another party gives are refused in it.
    pub(super) fn expand_script(
        &self,
        script: Script<'_>,
        what: &str,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<String> {
        let Script { text, span, .. } = script;
        let (expanded, values) = self.expand_noting(text, span, what, true, diagnostics)?;
        for value in &values {
            diagnostics.push(given::in_script(value, script, what, self));
        }
        if script.is_of_shell
            && let Some(range) = given::doubled_dollar(text)
        {
            let written = &text[range.clone()];
            let single = &written[1..];
            diagnostics.push(
                Diagnostic::warning(
                    "doubled_dollar",
                    format!("{what} has `{written}`, which a shell reads as its process number and what follows"),
                )
                .label(self.span_of(&range, text, span), "`$$` is left to the shell")
                .help(format!("write `{single}`: a `$` is doubled only before a `{{`")),
            );
        }
        Some(expanded)
    }

    /// As [`expand`](Self::expand), with the values in it that another party gives.
    pub(super) fn expand_noting(
        &self,
        text: &str,
        span: Span,
        what: &str,
        is_script: bool,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<(String, Vec<GivenValue>)> {
        let values = RefCell::new(Vec::new());
        let used = |range: std::ops::Range<usize>, name: &str| {
            let is_param = name.starts_with(PARAM);
            let held = self.given.get(name).cloned();
            if let Some(origin) = is_param.then(|| name.to_owned()).or(held) {
                values.borrow_mut().push(GivenValue {
                    range,
                    origin,
                    variable: (!is_param).then(|| name.to_owned()),
                });
            }
        };
        let note = |range: std::ops::Range<usize>, service: &str, export: &str| {
            values.borrow_mut().push(GivenValue {
                range: range.clone(),
                origin: format!("{service}.{export}"),
                variable: None,
            });
            if let Some(references) = self.references {
                references.push(Found {
                    service: service.to_owned(),
                    export: export.to_owned(),
                    span: self.span_of(&range, text, span),
                });
            }
        };
        let scope = Scope {
            variables: self.variables,
            fallback: self.fallback,
            facts: self.facts,
            is_service: self.is_service,
            references: self.references.map(|_| &note as _),
            used: &used,
            is_script,
        };
        let expanded = match expand::expand(text, &scope) {
            Ok(expanded) => expanded,
            Err(mistakes) => {
                for mistake in &mistakes {
                    let span = self.span_of(&mistake.range, text, span);
                    diagnostics.push(self.diagnostic(mistake, text, span, what));
                }
                return None;
            }
        };
        if self.references.is_none()
            && text.chars().all(|c| c != '\0')
            && reference::is_in(&expanded)
        {
            // Through a variable.
            diagnostics.push(
                Diagnostic::error(
                    "no_exports",
                    format!("{what} asks for a value that a service exports, through a variable"),
                )
                .label(span, "known only once that service is ready")
                .help("use it in commands, environments, probes and paths of services only"),
            );
            return None;
        }
        if reference::replaced(&expanded, |_| String::new()).contains('\0') || text.contains('\0') {
            diagnostics.push(
                Diagnostic::error("nul_character", format!("{what} holds a NUL character"))
                    .label(span, "a NUL character ends a text for the kernel")
                    .help("remove `\\0` or `\\x00`"),
            );
            return None;
        }
        Some((expanded, values.into_inner()))
    }

    /// As [`expand`](Self::expand), for a text that no shell reads: what only a shell expands is warned
    /// of.
    pub(crate) fn expand_word(
        &self,
        text: &str,
        span: Span,
        what: &str,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<String> {
        self.warn_of_word(text, span, what, diagnostics);
        self.expand(text, span, what, diagnostics)
    }

    /// Warns of what only a shell would expand, in a text that no shell reads.
    pub(super) fn warn_of_word(
        &self,
        text: &str,
        span: Span,
        what: &str,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let dollars = unexpanded::dollars(text).take(MOST_WARNINGS);
        for found in unexpanded::tilde(text).into_iter().chain(dollars) {
            self.warn(&found, text, span, what, diagnostics);
        }
    }

    /// As [`expand_word`](Self::expand_word), for a text that may well begin with a `~`.
    fn expand_value(
        &self,
        text: &str,
        span: Span,
        what: &str,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<String> {
        for found in unexpanded::dollars(text).take(MOST_WARNINGS) {
            self.warn(&found, text, span, what, diagnostics);
        }
        self.expand(text, span, what, diagnostics)
    }

    fn warn(
        &self,
        found: &Unexpanded,
        text: &str,
        span: Span,
        what: &str,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let literal = &text[found.range.clone()];
        let help = match &found.kept {
            Some(kept) => format!("write {}; {kept} keeps it as it is", found.instead),
            None => format!("write {}", found.instead),
        };
        diagnostics.push(
            Diagnostic::warning(
                "not_expanded",
                format!("{what} holds `{literal}`, which is not expanded: no shell reads it"),
            )
            .label(self.span_of(&found.range, text, span), "stays as it is")
            .help(help),
        );
    }

    /// A path: `~` is the home of the user that is meant, and what is relative starts from the directory.
    pub(crate) fn path(
        &self,
        text: &str,
        span: Span,
        what: &str,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<PathBuf> {
        let (home, rest) = match text.strip_prefix('~') {
            None => (None, text),
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                let home = self
                    .home
                    .or_else(|| self.fallback.get("HOME").map(String::as_str))
                    .filter(|home| home.starts_with('/'));
                let Some(home) = home else {
                    diagnostics.push(
                        Diagnostic::error(
                            "no_home",
                            format!("{what} begins with `~`, but HOME is not set"),
                        )
                        .label(span, "the home of nobody")
                        .help("set HOME to an absolute path, or write the path out"),
                    );
                    return None;
                };
                (Some(home), rest.trim_start_matches('/'))
            }
            Some(_) => {
                diagnostics.push(
                    Diagnostic::error(
                        "bad_path",
                        format!("{what} names the home of another user, `{text}`"),
                    )
                    .label(span, "only `~` and `~/…` are known")
                    .help("write the path out; a file whose name begins with `~` is `./~…`"),
                );
                return None;
            }
        };
        let rest = self.expand_value(rest, span, what, diagnostics)?;
        if rest.is_empty() && home.is_none() {
            diagnostics.push(
                Diagnostic::error("bad_path", format!("{what} is an empty path"))
                    .label(span, "empty")
                    .help("`.` is the directory of the manifest file"),
            );
            return None;
        }
        let start = home.map_or(self.directory, Path::new);
        // Collecting the components leaves `.` and doubled slashes out; `..` stays, since it may
        // follow a symbolic link.
        Some(start.join(rest).components().collect())
    }

    /// The place of a mistake within its text, as far as it can be told: escapes and folded lines
    /// make the text differ from its source.
    pub(super) fn span_of(&self, range: &std::ops::Range<usize>, text: &str, span: Span) -> Span {
        let reference = &text[range.clone()];
        let source = self.sources.text(span);
        let offset = if source == text {
            Some(range.start)
        } else if source.get(1..source.len().saturating_sub(1)) == Some(text) {
            Some(range.start + 1)
        } else {
            source.find(reference)
        };
        offset.map_or(span, |offset| Span {
            start: span.start + offset,
            end: span.start + offset + reference.len(),
            ..span
        })
    }

    fn diagnostic(&self, mistake: &Mistake, text: &str, span: Span, what: &str) -> Diagnostic {
        let reference = &text[mistake.range.clone()];
        match &mistake.kind {
            Kind::Unset(name) | Kind::Required(name, _) if name.starts_with(PARAM) => {
                let known = self.facts.keys().filter(|name| name.starts_with(PARAM));
                let known: Vec<&str> = known.map(String::as_str).collect();
                let help = match crate::manifest::similar::nearest(name, known.iter().copied()) {
                    Some(near) => format!("a param with a similar name exists: `${{{near}}}`"),
                    None if known.is_empty() => "a template declares what it is given in `params`".to_owned(),
                    None => format!("declared are {}", list(&known)),
                };
                Diagnostic::error(
                    "unknown_param",
                    format!("{what} asks for `{reference}`, which is not declared"),
                )
                .label(span, "no such param")
                .help(help)
            }
            Kind::Unset(name) => Diagnostic::error(
                "unset_variable",
                format!("{what} needs the variable `{name}`, which is not set"),
            )
            .label(span, "not set")
            .help(format!(
                "set it, or write `${{{name}:-}}` for nothing or `${{{name}:-default}}` for something else; `$${{{name}}}` leaves it to a shell"
            )),
            Kind::Required(name, message) => Diagnostic::error(
                "required_variable",
                if message.is_empty() {
                    format!("{what} requires the variable `{name}`")
                } else {
                    format!("{what} requires the variable `{name}`: {message}")
                },
            )
            .label(span, if self.is_set(name) { "empty" } else { "not set" })
            .help(format!("set `{name}` where the command is given, or in an env file")),
            Kind::Unclosed => Diagnostic::error(
                "bad_expansion",
                format!("{what} has a `${{` without its `}}`"),
            )
            .label(span, "opened here")
            .help("close it; `$${` is a plain `${`"),
            Kind::Unknown(inner) => Diagnostic::error(
                "bad_expansion",
                format!("{what} has an expansion that is not known, `{reference}`"),
            )
            .label(span, if inner.is_empty() { "nothing in it" } else { "not known" })
            .help(format!(
                "known are `${{NAME}}` with `:-`, `-`, `:+`, `+`, `:?` and `?`; `$${{{inner}}}` leaves it to a shell"
            )),
            Kind::UnknownFact(fact) => {
                let known = ["project", "service", "state_dir", "runtime_dir"];
                let help = match (fact.as_str(), crate::manifest::similar::nearest(fact, known)) {
                    ("service", _) => "there is no service here; it is known in services, their `env` and `defaults`".to_owned(),
                    (_, Some(near)) => format!("a name that is similar exists: `${{baudbot.{near}}}`"),
                    _ => format!("behind `baudbot.` there are {}", list(&known)),
                };
                Diagnostic::error("bad_expansion", format!("{what} asks for `{reference}`, which does not exist"))
                    .label(span, "not known")
                    .help(help)
            }
            Kind::Export(inner) => Diagnostic::error(
                "no_exports",
                format!("{what} asks for `{reference}`, a value that a service exports"),
            )
            .label(span, "known only once that service is ready")
            .help(format!("use it in commands, environments, probes and paths of services only; `$${{{inner}}}` is a plain `${{{inner}}}`")),
            Kind::TooDeep => Diagnostic::error("bad_expansion", format!("{what} nests `${{…}}` too deep"))
                .label(span, "16 levels are the most")
                .help("take some levels out"),
            Kind::TooLong => Diagnostic::error("bad_expansion", format!("{what} becomes too long"))
                .label(span, "longer than 128 KiB once it is expanded")
                .help("no program takes a text of this length; put it into a file"),
        }
    }

    fn is_set(&self, name: &str) -> bool {
        self.variables.contains_key(name) || self.fallback.contains_key(name)
    }
}
