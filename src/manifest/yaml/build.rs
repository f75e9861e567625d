//! A parser's events to nodes.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use super::places::Places;
use super::value::plain_meaning;
use super::{Data, Entry, Meaning, Node, Scalar};
use crate::manifest::diagnostic::Diagnostic;
use crate::manifest::source::{FileId, Span};
use crate::manifest::syntax;

/// What to do about a list or a map in the place of a key.
const COLLECTION_KEY: &str = "a key is a word, as in `name: value`; a value that begins with `{` or `[` needs quotes to be a text";

/// How deep collections may be nested. The language itself needs seven levels.
const DEEPEST: usize = 64;
/// How much a document may hold once its aliases are followed. A file has a mebibyte at most.
const LARGEST: Weight = Weight {
    nodes: 100_000,
    bytes: 4 << 20,
};

/// How much a value holds, itself included and aliases followed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Weight {
    /// Values.
    nodes: usize,
    /// Bytes of text.
    bytes: usize,
}

impl Weight {
    fn of_text(text: &str) -> Self {
        Self {
            nodes: 1,
            bytes: text.len(),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            nodes: self.nodes.saturating_add(other.nodes),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// Parses one document. What is wrong goes into `diagnostics`; `None` when there is no document to
/// go on with. Time and memory are bounded by the length of `text`.
pub(crate) fn parse(
    text: &str,
    file: FileId,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Rc<Node>> {
    // A byte order mark is reported by the loader; here it only shifts every position.
    let (text, offset) = match text.strip_prefix('\u{feff}') {
        Some(rest) => (rest, '\u{feff}'.len_utf8()),
        None => (text, 0),
    };
    let mut builder = Builder {
        text,
        places: Places::new(text, file, offset),
        open: Vec::new(),
        anchors: HashMap::new(),
        documents: 0,
        root: None,
        total: Weight::default(),
        diagnostics,
    };
    match builder.run() {
        Ok(()) => builder.root,
        Err(Stop(diagnostic)) => {
            builder.diagnostics.push(*diagnostic);
            None
        }
    }
}

/// What ends the parsing of a document early.
struct Stop(Box<Diagnostic>);

impl From<Diagnostic> for Stop {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(Box::new(diagnostic))
    }
}

struct Builder<'a> {
    text: &'a str,
    places: Places,
    open: Vec<Open>,
    /// Anchored nodes; `None` while one is still being read.
    anchors: HashMap<usize, Option<Rc<Node>>>,
    documents: usize,
    root: Option<Rc<Node>>,
    /// What was read so far, aliases followed.
    total: Weight,
    diagnostics: &'a mut Vec<Diagnostic>,
}

/// A collection that is not closed yet.
struct Open {
    anchor: usize,
    span: Span,
    content: Content,
}

enum Content {
    Sequence(Vec<Rc<Node>>),
    Mapping {
        entries: Vec<(Entry, IsMerge)>,
        /// Where each key first stood.
        seen: HashMap<(String, IsMerge), Span>,
        /// The key whose value comes next.
        key: Option<PendingKey>,
    },
}

enum PendingKey {
    Key {
        text: String,
        span: Span,
        is_merge: IsMerge,
    },
    /// Already reported; its value is dropped.
    Unfit,
}

type IsMerge = bool;

/// What a collection weighs beside what is in it.
const COLLECTION: Weight = Weight { nodes: 1, bytes: 0 };

impl Builder<'_> {
    fn run(&mut self) -> Result<(), Stop> {
        for event in Parser::new_from_str(self.text) {
            let (event, span) = event.map_err(|error| self.syntax_error(&error))?;
            let span = self.places.span(span);
            match event {
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
                Event::DocumentStart(_) => self.begin_document(span)?,
                Event::SequenceStart(anchor, tag) => {
                    self.collection_tag(tag.as_deref(), "seq", span);
                    self.open(anchor, span, Content::Sequence(Vec::new()))?;
                }
                Event::MappingStart(anchor, tag) => {
                    self.collection_tag(tag.as_deref(), "map", span);
                    let content = Content::Mapping {
                        entries: Vec::new(),
                        seen: HashMap::new(),
                        key: None,
                    };
                    self.open(anchor, span, content)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(span)?,
                Event::Scalar(text, style, anchor, tag) => {
                    let is_plain = style == ScalarStyle::Plain;
                    let meaning = self.meaning(&text, is_plain, tag.as_deref(), span);
                    let is_merge = is_plain && text == "<<";
                    let scalar = Scalar {
                        text: text.into_owned(),
                        meaning,
                    };
                    self.scalar(scalar, span, anchor, is_merge)?;
                }
                Event::Alias(anchor) => self.alias(anchor, span)?,
            }
        }
        Ok(())
    }

    fn begin_document(&mut self, span: Span) -> Result<(), Stop> {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        Err(
            Diagnostic::error("several_documents", "the file holds more than one document")
                .label(span, "a second document begins here")
                .help("a manifest is one document; `include` joins several files")
                .into(),
        )
    }

    fn open(&mut self, anchor: usize, span: Span, content: Content) -> Result<(), Stop> {
        if self.open.len() >= DEEPEST {
            return Err(Diagnostic::error(
                "too_deep",
                format!("values are nested deeper than {DEEPEST} levels"),
            )
            .label(span, "one level too deep")
            .help("a manifest needs seven levels at most")
            .into());
        }
        if anchor > 0 {
            self.anchors.insert(anchor, None);
        }
        self.open.push(Open {
            anchor,
            span,
            content,
        });
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<(), Stop> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let is_flow = self
            .places
            .source(open.span, self.text)
            .starts_with(['[', '{']);
        let span = if is_flow {
            Span {
                end: end.end.max(open.span.end),
                ..open.span
            }
        } else {
            open.span
        };
        let (data, weight) = match open.content {
            Content::Sequence(items) => {
                let weights = items.iter().map(|item| item.weight);
                let weight = weights.fold(COLLECTION, Weight::plus);
                (Data::Sequence(items), weight)
            }
            Content::Mapping { entries, .. } => {
                let entries = self.merge(entries);
                let weights = entries
                    .iter()
                    .map(|entry| entry.value.weight.plus(Weight::of_text(&entry.key)));
                let weight = weights.fold(COLLECTION, Weight::plus);
                (Data::Mapping(entries), weight)
            }
        };
        let node = Node { span, data, weight };
        self.count(COLLECTION, span)?;
        self.place(node, open.anchor, is_flow)
    }

    fn scalar(
        &mut self,
        scalar: Scalar,
        span: Span,
        anchor: usize,
        is_merge: IsMerge,
    ) -> Result<(), Stop> {
        let weight = Weight::of_text(&scalar.text);
        self.count(weight, span)?;
        if self.key_is_next() {
            if anchor > 0 {
                let node = Node {
                    span,
                    data: Data::Scalar(scalar.clone()),
                    weight,
                };
                self.anchors.insert(anchor, Some(Rc::new(node)));
            }
            self.key(&scalar, span, is_merge);
            return Ok(());
        }
        let is_written = !scalar.text.is_empty() || span.end > span.start;
        let node = Node {
            span,
            data: Data::Scalar(scalar),
            weight,
        };
        self.place(node, anchor, is_written)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Stop> {
        let node = match self.anchors.get(&anchor) {
            Some(Some(node)) => Rc::clone(node),
            Some(None) | None => {
                return Err(Diagnostic::error(
                    "recursive_alias",
                    "an alias stands inside the value that it repeats",
                )
                .label(span, "inside its own anchor")
                .help("an alias can repeat only a value that is complete before it")
                .into());
            }
        };
        self.count(node.weight, span)?;
        if self.key_is_next() {
            match &node.data {
                Data::Scalar(scalar) => self.key(&scalar.clone(), span, false),
                Data::Sequence(_) | Data::Mapping(_) => self.unfit_key(span, COLLECTION_KEY),
            }
            return Ok(());
        }
        self.insert(node);
        Ok(())
    }

    /// Puts a finished node where it belongs. One without a span of its own (a block collection, an
    /// absent value) takes the place of its key.
    fn place(&mut self, mut node: Node, anchor: usize, has_own_span: bool) -> Result<(), Stop> {
        if self.key_is_next() {
            self.unfit_key(node.span, COLLECTION_KEY);
            return Ok(());
        }
        if !has_own_span
            && let Some(Open {
                content:
                    Content::Mapping {
                        key: Some(PendingKey::Key { span, .. }),
                        ..
                    },
                ..
            }) = self.open.last()
        {
            node.span = *span;
        }
        let node = Rc::new(node);
        if anchor > 0 {
            self.anchors.insert(anchor, Some(Rc::clone(&node)));
        }
        self.insert(node);
        Ok(())
    }

    fn insert(&mut self, node: Rc<Node>) {
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        match &mut parent.content {
            Content::Sequence(items) => items.push(node),
            Content::Mapping { entries, key, .. } => {
                if let Some(PendingKey::Key {
                    text,
                    span,
                    is_merge,
                }) = key.take()
                {
                    let entry = Entry {
                        key: text,
                        span,
                        value: node,
                    };
                    entries.push((entry, is_merge));
                }
            }
        }
    }

    fn key_is_next(&self) -> bool {
        matches!(
            self.open.last(),
            Some(Open {
                content: Content::Mapping { key: None, .. },
                ..
            })
        )
    }

    fn key(&mut self, scalar: &Scalar, span: Span, is_merge: IsMerge) {
        if scalar.meaning == Meaning::Null {
            self.unfit_key(
                span,
                &format!("quotes make a text of it: `\"{}\"`", scalar.text),
            );
            return;
        }
        let new = scalar.text.clone();
        let Some(Open {
            content: Content::Mapping { seen, key, .. },
            ..
        }) = self.open.last_mut()
        else {
            return;
        };
        if let Some(&earlier) = seen.get(&(new.clone(), is_merge)) {
            let help = if is_merge {
                "one merge key takes a list: `<<: [*a, *b]`".to_owned()
            } else {
                format!("keep one of the two `{new}`")
            };
            let diagnostic = Diagnostic::error(
                "duplicate_key",
                format!("the key `{new}` stands here twice"),
            )
            .label(span, "again here")
            .label(earlier, "first here")
            .help(help);
            self.diagnostics.push(diagnostic);
            *key = Some(PendingKey::Unfit);
            return;
        }
        seen.insert((new.clone(), is_merge), span);
        *key = Some(PendingKey::Key {
            text: new,
            span,
            is_merge,
        });
    }

    fn unfit_key(&mut self, span: Span, help: &str) {
        self.diagnostics.push(
            Diagnostic::error("bad_key", "a key is not a text")
                .label(span, "this is used as a key")
                .help(help),
        );
        if let Some(Open {
            content: Content::Mapping { key, .. },
            ..
        }) = self.open.last_mut()
        {
            *key = Some(PendingKey::Unfit);
        }
    }

    /// Replaces the merge key by what it merges: a key that stands here wins over a merged one, and
    /// an earlier map of a list over a later one.
    fn merge(&mut self, entries: Vec<(Entry, IsMerge)>) -> Vec<Entry> {
        if entries.iter().all(|(_, is_merge)| !is_merge) {
            return entries.into_iter().map(|(entry, _)| entry).collect();
        }
        let mut taken: std::collections::HashSet<String> = entries
            .iter()
            .filter(|(_, is_merge)| !is_merge)
            .map(|(entry, _)| entry.key.clone())
            .collect();
        let mut merged = Vec::new();
        for (entry, is_merge) in entries {
            if !is_merge {
                merged.push(entry);
                continue;
            }
            let sources = match &entry.value.data {
                Data::Sequence(items) => items.as_slice(),
                Data::Scalar(_) | Data::Mapping(_) => std::slice::from_ref(&entry.value),
            };
            for source in sources {
                let Data::Mapping(from) = &source.data else {
                    self.diagnostics.push(
                        Diagnostic::error("bad_merge", "only maps can be merged")
                            .label(source.span, format!("this is {}", source.kind()))
                            .help("a merge key takes an alias of a map, or a list of such: `<<: *base`"),
                    );
                    continue;
                };
                let new = from.iter().filter(|entry| taken.insert(entry.key.clone()));
                merged.extend(new.cloned());
            }
        }
        merged
    }

    fn count(&mut self, weight: Weight, span: Span) -> Result<(), Stop> {
        self.total = self.total.plus(weight);
        if self.total.nodes <= LARGEST.nodes && self.total.bytes <= LARGEST.bytes {
            return Ok(());
        }
        Err(Diagnostic::error(
            "too_large",
            "the manifest is too large once its aliases are followed",
        )
        .label(span, "too much from here on")
        .help("100000 values and 4 MiB of text are the most; aliases of aliases multiply")
        .into())
    }

    fn collection_tag(&mut self, tag: Option<&Tag>, expected: &str, span: Span) {
        if let Some(tag) = tag
            && !(tag.is_yaml_core_schema() && tag.suffix == expected)
        {
            self.unknown_tag(tag, span);
        }
    }

    fn unknown_tag(&mut self, tag: &Tag, span: Span) {
        self.diagnostics.push(
            Diagnostic::error("unknown_tag", format!("the tag `{tag}` means nothing here"))
                .label(span, "this value is tagged")
                .help("a manifest needs no tags; quotes make a text of anything"),
        );
    }

    fn meaning(&mut self, text: &str, is_plain: bool, tag: Option<&Tag>, span: Span) -> Meaning {
        let Some(tag) = tag else {
            return if is_plain {
                plain_meaning(text)
            } else {
                Meaning::Text
            };
        };
        let by_text = plain_meaning(text);
        let fits = tag.is_yaml_core_schema()
            && match tag.suffix.as_str() {
                "str" => return Meaning::Text,
                "null" => by_text == Meaning::Null,
                "bool" => matches!(by_text, Meaning::Bool(_)),
                "int" => matches!(by_text, Meaning::Integer(_)),
                "float" => matches!(by_text, Meaning::Integer(_) | Meaning::Float(_)),
                _ => false,
            };
        if fits {
            return by_text;
        }
        if tag.handle.is_empty() && tag.suffix == "!" {
            return Meaning::Text;
        }
        self.unknown_tag(tag, span);
        Meaning::Text
    }

    fn syntax_error(&self, error: &ScanError) -> Diagnostic {
        let span = self.places.at(error.marker().index());
        let line_start = self.text[..self.places.local(span.start)]
            .rfind('\n')
            .map_or(0, |newline| newline + 1);
        let line = self.text[line_start..].lines().next().unwrap_or_default();
        let indentation = &line[..line.len() - line.trim_start().len()];
        let tab = indentation.contains('\t').then(|| Span {
            start: self.places.shift(line_start),
            end: self.places.shift(line_start + indentation.len()),
            ..span
        });
        syntax::error(error.info(), span, tab)
    }
}
