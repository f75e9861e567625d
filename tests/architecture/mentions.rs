//! What a source file names: every path in it, with its line, `use` trees unfolded.

use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// One path that a file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mention {
    /// Its parts; of a path inside this crate, counted from the crate's root.
    pub(crate) path: Vec<String>,
    /// Whether it lies in this crate.
    pub(crate) is_internal: bool,
    /// Where it stands, from 1.
    pub(crate) line: usize,
}

/// One file as the rules see it.
#[derive(Debug)]
pub(crate) struct Source {
    /// The file, below `src/`.
    pub(crate) file: PathBuf,
    /// The module that it is.
    pub(crate) module: Vec<String>,
    /// What it names outside of tests.
    pub(crate) mentions: Vec<Mention>,
    /// The modules that it declares for tests only.
    pub(crate) test_modules: Vec<Vec<String>>,
}

/// Reads one file.
pub(crate) fn read_source(file: &Path, module: Vec<String>, text: &str) -> Source {
    let tokens: TokenStream = text
        .parse()
        .unwrap_or_else(|error| panic!("src/{}: {error}", file.display()));
    let mut reader = Reader {
        // `main.rs` is the root of a crate of its own.
        module: if module == ["main"] {
            Vec::new()
        } else {
            module.clone()
        },
        children: Vec::new(),
        mentions: Vec::new(),
        test_modules: Vec::new(),
    };
    reader.read(tokens);
    Source {
        file: file.to_owned(),
        module,
        mentions: reader.mentions,
        test_modules: reader.test_modules,
    }
}

/// Words that no path goes through, though `::` may follow them.
const KEYWORDS: &[&str] = &[
    "as", "async", "break", "const", "dyn", "else", "for", "if", "impl", "in", "let", "loop",
    "match", "move", "mut", "pub", "ref", "return", "static", "unsafe", "use", "where", "while",
];

struct Reader {
    module: Vec<String>,
    children: Vec<String>,
    mentions: Vec<Mention>,
    test_modules: Vec<Vec<String>>,
}

fn is_punct(token: Option<&TokenTree>, character: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == character)
}

fn is_path_separator(tokens: &[TokenTree], at: usize) -> bool {
    is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')
}

fn group_of(token: Option<&TokenTree>, delimiter: Delimiter) -> Option<&Group> {
    match token {
        Some(TokenTree::Group(group)) if group.delimiter() == delimiter => Some(group),
        _ => None,
    }
}

fn ident_of(token: Option<&TokenTree>) -> Option<String> {
    match token {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    }
}

impl Reader {
    fn read(&mut self, stream: TokenStream) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        let children_before = self.children.len();
        for at in 0..tokens.len() {
            if ident_of(tokens.get(at)).is_some_and(|word| word == "mod")
                && let Some(name) = ident_of(tokens.get(at + 1))
            {
                self.children.push(name);
            }
        }
        let mut at = 0;
        while at < tokens.len() {
            at = self.read_one(&tokens, at);
        }
        self.children.truncate(children_before);
    }

    /// Reads what begins at `at` and returns where the next thing begins.
    fn read_one(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        if is_punct(tokens.get(at), '#')
            && let Some(attribute) = group_of(tokens.get(at + 1), Delimiter::Bracket)
        {
            let is_for_tests = attribute.stream().to_string().replace(' ', "") == "cfg(test)";
            return if is_for_tests {
                self.skip_item(tokens, at + 2)
            } else {
                self.read(attribute.stream());
                at + 2
            };
        }
        if ident_of(tokens.get(at)).is_some_and(|word| word == "mod")
            && let Some(name) = ident_of(tokens.get(at + 1))
            && let Some(body) = group_of(tokens.get(at + 2), Delimiter::Brace)
        {
            self.module.push(name);
            self.read(body.stream());
            self.module.pop();
            return at + 3;
        }
        if is_path_separator(tokens, at) && ident_of(tokens.get(at + 2)).is_some() {
            return self.read_path(tokens, at + 2, &[]);
        }
        match &tokens[at] {
            TokenTree::Ident(_) => self.read_path(tokens, at, &[]),
            TokenTree::Group(group) => {
                self.read(group.stream());
                at + 1
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => at + 1,
        }
    }

    /// Skips the item that a `#[cfg(test)]` stands before.
    fn skip_item(&mut self, tokens: &[TokenTree], mut at: usize) -> usize {
        while is_punct(tokens.get(at), '#') {
            at += 2;
        }
        let mut is_use = false;
        while let Some(token) = tokens.get(at) {
            let word = ident_of(Some(token));
            is_use |= word.as_deref() == Some("use");
            if word.as_deref() == Some("mod")
                && let Some(name) = ident_of(tokens.get(at + 1))
            {
                let mut module = self.module.clone();
                module.push(name);
                self.test_modules.push(module);
            }
            at += 1;
            let ends_item = is_punct(Some(token), ';')
                || (!is_use && group_of(Some(token), Delimiter::Brace).is_some());
            if ends_item {
                break;
            }
        }
        at
    }

    /// Reads a path whose first part stands at `at`, below `prefix`, and unfolds `{…}` and `*`.
    fn read_path(&mut self, tokens: &[TokenTree], mut at: usize, prefix: &[String]) -> usize {
        let line = tokens[at].span().start().line;
        let mut path = prefix.to_vec();
        while let Some(part) = ident_of(tokens.get(at)) {
            let is_keyword = KEYWORDS.contains(&part.as_str());
            path.push(part);
            at += 1;
            if is_keyword || !is_path_separator(tokens, at) {
                break;
            }
            if let Some(tree) = group_of(tokens.get(at + 2), Delimiter::Brace) {
                self.read_tree(tree.stream(), &path);
                return at + 3;
            }
            if is_punct(tokens.get(at + 2), '*') {
                path.push("*".into());
                at += 3;
                break;
            }
            if ident_of(tokens.get(at + 2)).is_none() {
                break;
            }
            at += 2;
        }
        self.mention(path, line);
        at
    }

    fn read_tree(&mut self, stream: TokenStream, prefix: &[String]) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        for branch in tokens.split(|token| is_punct(Some(token), ',')) {
            if ident_of(branch.first()).is_some_and(|word| word == "self") {
                let line = branch[0].span().start().line;
                self.mention(prefix.to_vec(), line);
            } else if is_punct(branch.first(), '*') {
                let line = branch[0].span().start().line;
                let mut path = prefix.to_vec();
                path.push("*".into());
                self.mention(path, line);
            } else if !branch.is_empty() {
                self.read_path(branch, 0, prefix);
            }
        }
    }

    /// Notes a path, counted from the crate's root if it lies in this crate.
    fn mention(&mut self, path: Vec<String>, line: usize) {
        let (is_internal, path) = match path[0].as_str() {
            "crate" | "baudbot" => (true, path[1..].to_vec()),
            "self" if path.len() > 1 => (true, [&self.module[..], &path[1..]].concat()),
            "super" => {
                let steps = path.iter().take_while(|part| *part == "super").count();
                let above = self.module.len().saturating_sub(steps);
                (true, [&self.module[..above], &path[steps..]].concat())
            }
            first if path.len() > 1 && self.children.iter().any(|child| child == first) => {
                (true, [&self.module[..], &path[..]].concat())
            }
            _ => (false, path),
        };
        self.mentions.push(Mention {
            path,
            is_internal,
            line,
        });
    }
}
