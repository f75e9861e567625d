//! Every error that a command can print: its code, what it means, and what to do about it.
//!
//! An error is told in the words of the moment ("cannot write /x/y: no space left"). Its code stays
//! the same from version to version, so that people can look it up (`baudbot explain CODE`,
//! `docs/errors.md`) and programs can tell one error from the other (`--json`, the control socket).
//!
//! [`code!`](crate::code) names a code and does not compile with one that is not listed here; the
//! tests hold that each listed code is used somewhere and that `docs/errors.md` is what
//! [`markdown`] makes.

mod manifest;
mod program;
mod run;

use std::fmt;

/// What every code begins with when it leaves the program.
const PREFIX: &str = "baudbot::";

/// One error in the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The code without its leading `baudbot::`, as in `run::service_failed`.
    pub code: &'static str,
    /// What it means.
    pub means: &'static str,
    /// What to do about it, where the message itself does not say it better.
    pub mend: &'static str,
}

const fn entry(code: &'static str, means: &'static str, mend: &'static str) -> Entry {
    Entry { code, means, mend }
}

/// A part of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// The heading.
    pub title: &'static str,
    /// The errors, by code.
    pub entries: &'static [Entry],
}

/// The whole catalogue.
pub const SECTIONS: [Section; 3] = [
    Section {
        title: "The command line and the supervisor",
        entries: program::ENTRIES,
    },
    Section {
        title: "Services and orders",
        entries: run::ENTRIES,
    },
    Section {
        title: "The manifest",
        entries: manifest::ENTRIES,
    },
];

/// The code of an error that is in the catalogue.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(&'static str);

impl Code {
    /// The code of this name. Used through [`code!`](crate::code), which asks at compile time.
    ///
    /// # Panics
    /// When the catalogue does not list it.
    pub const fn listed(name: &'static str) -> Self {
        assert!(
            find(name).is_some(),
            "no such code in src/catalogue: add it there"
        );
        Self(name)
    }

    /// The code that came over the control socket, from a program of perhaps another version.
    pub fn received(text: &str) -> Option<Self> {
        let name = text.strip_prefix(PREFIX).unwrap_or(text);
        find(name).map(|entry| Self(entry.code))
    }

    /// Without the leading `baudbot::`.
    pub fn short(self) -> &'static str {
        self.0
    }

    /// Its entry in the catalogue.
    ///
    /// # Panics
    /// Never: a code is made of an entry.
    pub fn entry(self) -> &'static Entry {
        let Some(entry) = find(self.0) else {
            unreachable!("a code is made of an entry");
        };
        entry
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The [`Code`](crate::catalogue::Code) of this name; one that the catalogue does not list does not
/// compile.
#[macro_export]
macro_rules! code {
    ($name:literal) => {
        const { $crate::catalogue::Code::listed($name) }
    };
}

/// The entry of this code, which is written without the leading `baudbot::`.
pub const fn find(name: &str) -> Option<&'static Entry> {
    let mut section = 0;
    while section < SECTIONS.len() {
        let entries = SECTIONS[section].entries;
        let mut at = 0;
        while at < entries.len() {
            if is_same(entries[at].code.as_bytes(), name.as_bytes()) {
                return Some(&entries[at]);
            }
            at += 1;
        }
        section += 1;
    }
    None
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// The entries that a word may mean: a whole code, or the part of one that tells it from others.
pub fn lookup(word: &str) -> Vec<&'static Entry> {
    let name = word.strip_prefix(PREFIX).unwrap_or(word);
    if let Some(entry) = find(name) {
        return vec![entry];
    }
    all()
        .filter(|entry| entry.code.rsplit("::").next() == Some(name))
        .collect()
}

/// Every entry.
pub fn all() -> impl Iterator<Item = &'static Entry> {
    SECTIONS.iter().flat_map(|section| section.entries)
}

/// The catalogue as the page `docs/errors.md`.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Errors\n\n\
         <!-- Made by `cargo run -- explain --all > docs/errors.md`; a test holds it equal. -->\n\n\
         Every error that a command prints has a code: in brackets after `error`, in front of a\n\
         manifest's diagnostics, and as `code` in JSON (there with a leading `baudbot::`).\n\
         `baudbot explain CODE` tells what stands here.\n",
    );
    for section in SECTIONS {
        text += &format!("\n## {}\n", section.title);
        for entry in section.entries {
            text += &format!(
                "\n### {}\n\n{}\n\n**What to do:** {}\n",
                entry.code, entry.means, entry.mend
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    #[test]
    fn each_section_is_in_order_and_no_code_is_listed_twice() {
        for section in SECTIONS {
            let codes: Vec<&str> = section.entries.iter().map(|one| one.code).collect();
            assert!(
                codes.is_sorted_by(|one, other| one < other),
                "keep `{}` sorted: {codes:#?}",
                section.title
            );
        }
    }

    #[test]
    fn every_entry_is_a_sentence_or_more() {
        for entry in all() {
            for text in [entry.means, entry.mend] {
                assert!(text.ends_with('.'), "{}: {text}", entry.code);
                assert!(!text.contains("  "), "{}: {text}", entry.code);
            }
        }
    }

    fn sources(directory: &Path, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, files);
            } else if path.extension().is_some_and(|end| end == "rs") {
                files.push(path);
            }
        }
    }

    /// Every text of the sources that could be a code: `run::x` in `code!`, and `x` in the
    /// diagnostics of the manifest.
    fn mentioned() -> BTreeSet<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = Vec::new();
        sources(&root, &mut files);
        let plain = regex::Regex::new(r#"code!\(\s*"([a-z_:0-9]+)"\s*\)"#).unwrap();
        let diagnostic =
            regex::Regex::new(r#"(?:\b(?:error|warning)|\bunfit)\(\s*"([a-z_0-9]+)"\s*,"#).unwrap();
        let mut mentioned = BTreeSet::new();
        for file in files {
            if file.starts_with(root.join("catalogue")) {
                continue;
            }
            let text = std::fs::read_to_string(&file).unwrap();
            for found in plain.captures_iter(&text) {
                mentioned.insert(found[1].to_owned());
            }
            if file.starts_with(root.join("manifest")) {
                for found in diagnostic.captures_iter(&text) {
                    mentioned.insert(format!("manifest::{}", &found[1]));
                }
            }
        }
        mentioned
    }

    #[test]
    fn what_the_program_says_is_listed_and_what_is_listed_is_said() {
        let listed: BTreeSet<String> = all().map(|entry| entry.code.to_owned()).collect();
        let mentioned = mentioned();
        let missing: Vec<_> = mentioned.difference(&listed).collect();
        assert!(
            missing.is_empty(),
            "list these in src/catalogue: {missing:#?}"
        );
        let unused: Vec<_> = listed.difference(&mentioned).collect();
        assert!(
            unused.is_empty(),
            "nothing says these any more: {unused:#?}"
        );
    }

    #[test]
    fn the_page_of_errors_is_the_catalogue() {
        assert!(
            include_str!("../../docs/errors.md") == markdown(),
            "docs/errors.md is old; make it anew: cargo run -- explain --all > docs/errors.md"
        );
    }

    #[test]
    fn a_code_is_found_by_its_whole_name_and_by_its_end() {
        for word in [
            "baudbot::run::service_failed",
            "run::service_failed",
            "service_failed",
        ] {
            let found: Vec<_> = lookup(word).iter().map(|entry| entry.code).collect();
            assert_eq!(found, ["run::service_failed"], "{word}");
        }
        assert!(lookup("nothing_of_the_kind").is_empty());
        assert_eq!(
            Code::received("baudbot::run::service_failed"),
            Some(code!("run::service_failed"))
        );
        assert_eq!(Code::received("baudbot::run::of_tomorrow"), None);
    }
}
