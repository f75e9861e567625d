//! Where a field stands: from its name back to a file and a line.

use std::path::PathBuf;

use super::source::{FileId, Sources, Span};
use super::yaml::{Data, Node, parse};

/// A field and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// How many steps of the path that was asked for are written.
    pub depth: usize,
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

/// The longest part of `path` that is written in any of the files, as in
/// `services`, `web`, `ready`, `timeout`. A step into a list is the text of its item.
pub fn find(sources: &Sources, path: &[&str]) -> Option<Place> {
    let mut best: Option<(usize, Span)> = None;
    for (number, source) in sources.iter().enumerate() {
        // What is wrong with it has been told by whoever loaded it.
        let Some(root) = parse(&source.text, FileId(number), &mut Vec::new()) else {
            continue;
        };
        if let Some(found) = deepest(&root, path)
            && best.is_none_or(|(depth, _)| found.0 > depth)
        {
            best = Some(found);
        }
    }
    let (depth, span) = best?;
    Some(Place {
        depth,
        file: sources.path(span.file).to_owned(),
        line: sources.place(span).line,
    })
}

fn deepest(root: &Node, path: &[&str]) -> Option<(usize, Span)> {
    let (first, rest) = path.split_first()?;
    let (span, value) = match &root.data {
        Data::Mapping(_) => {
            let entry = root.entry(first)?;
            (entry.span, &entry.value)
        }
        Data::Sequence(items) => {
            let is_it =
                |item: &Node| matches!(&item.data, Data::Scalar(scalar) if scalar.text == *first);
            let item = items.iter().find(|item| is_it(item))?;
            (item.span, item)
        }
        Data::Scalar(_) => return None,
    };
    let (depth, span) = deepest(value, rest).unwrap_or((0, span));
    Some((depth + 1, span))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
x-base: &base
  restart: { policy: always }
services:
  web:
    <<: *base
    command: x
    depends_on: [db, cache]
    ready:
      tcp: 80
";

    fn place(path: &[&str]) -> Option<(usize, usize)> {
        let mut sources = Sources::default();
        sources.add("a.yaml", "services:\n  db: { command: y }\n");
        sources.add("b.yaml", TEXT);
        find(&sources, path).map(|place| (place.depth, place.line))
    }

    #[test]
    fn a_field_is_found_where_it_is_written() {
        assert_eq!(place(&["services", "web", "ready", "tcp"]), Some((4, 9)));
        assert_eq!(place(&["services", "db"]), Some((2, 2)), "in another file");
        assert_eq!(
            place(&["services", "web", "restart", "policy"]),
            Some((4, 2)),
            "behind an alias"
        );
        assert_eq!(
            place(&["services", "web", "depends_on", "cache"]),
            Some((4, 7))
        );
    }

    #[test]
    fn what_is_not_written_leads_to_what_it_would_stand_in() {
        assert_eq!(
            place(&["services", "web", "ready", "timeout"]),
            Some((3, 8))
        );
        assert_eq!(place(&["services", "web", "stop"]), Some((2, 4)));
        assert_eq!(place(&["tmux"]), None);
    }
}
