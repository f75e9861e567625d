//! Env files, in the form that people know as `.env`.
//!
//! ```text
//! # a comment
//! NAME=value            up to the end of the line or a `#` behind a blank, trimmed
//! export NAME=value     the same
//! NAME='as it is'       may span lines
//! NAME="with \n, \t, \", \\ and \$"    may span lines
//! ```
//! Nothing is substituted: a `$` is a `$`. A file is data that may come from elsewhere, and what it
//! means must not depend on who reads it. `docs/manifest.md` has a table of what other programs make
//! of each form.

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// The line, from 1.
    pub(crate) line: usize,
    /// What is wrong with it. Never a part of the file: values are secrets.
    pub(crate) reason: &'static str,
}

/// The variables of a file, in its order.
///
/// # Errors
/// The first line that is not of the form.
pub(crate) fn parse(text: &str) -> Result<Vec<(String, String)>, Malformed> {
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut variables = Vec::new();
    while !rest.is_empty() {
        let at = rest;
        let malformed = |reason| Malformed {
            line: text[..text.len() - at.len()].matches('\n').count() + 1,
            reason,
        };
        let (line, next) = split_line(rest);
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            demand_no_bare_return(line).map_err(malformed)?;
            rest = next;
            continue;
        }
        let statement = line.trim_start();
        let statement = match statement.strip_prefix("export") {
            Some(after) if after.starts_with([' ', '\t']) => after.trim_start(),
            _ => statement,
        };
        let Some((name, _)) = statement.split_once('=') else {
            return Err(malformed("there is no `=`, as in `NAME=value`"));
        };
        let value_start = offset_of(statement, text) + name.len() + 1;
        let name = name.trim_end();
        if !is_name(name) {
            return Err(malformed(
                "the name has other characters than letters, digits, `_`, `-` and `.`, or begins with a digit",
            ));
        }
        let (value, after) = value(&text[value_start..]).map_err(malformed)?;
        if value.contains('\0') {
            return Err(malformed("the value holds a NUL character"));
        }
        variables.push((name.to_owned(), value));
        rest = after;
    }
    Ok(variables)
}

/// Where `part`, a slice of `whole`, begins in it.
fn offset_of(part: &str, whole: &str) -> usize {
    part.as_ptr() as usize - whole.as_ptr() as usize
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// A line without its end, and what comes after it.
fn split_line(text: &str) -> (&str, &str) {
    let (line, next) = text.split_once('\n').unwrap_or((text, ""));
    (line.strip_suffix('\r').unwrap_or(line), next)
}

/// A carriage return that ends no line would become a part of a value, or hide what follows it in a
/// comment.
fn demand_no_bare_return(line: &str) -> Result<(), &'static str> {
    if line.trim_end_matches('\r').contains('\r') {
        return Err(
            "there is a carriage return (CR) within the line: end lines with LF or CR LF, or put the value into quotes",
        );
    }
    Ok(())
}

/// The value at the beginning of `text`, and what comes after its line.
fn value(text: &str) -> Result<(String, &str), &'static str> {
    let start = text.trim_start_matches([' ', '\t']);
    let (value, after) = match start.chars().next() {
        Some('\'') => {
            let inner = &start[1..];
            let end = inner.find('\'').ok_or("the quote is not closed")?;
            (inner[..end].to_owned(), &inner[end + 1..])
        }
        Some('"') => double_quoted(&start[1..])?,
        _ => return unquoted(text),
    };
    let (line, next) = split_line(after);
    demand_no_bare_return(line)?;
    let remainder = line.trim();
    if !(remainder.is_empty() || remainder.starts_with('#')) {
        return Err("there is text after the closing quote");
    }
    Ok((value.replace("\r\n", "\n"), next))
}

/// A value without quotes: up to a `#` that a blank stands before, or to the end of the line.
fn unquoted(text: &str) -> Result<(String, &str), &'static str> {
    let (line, next) = split_line(text);
    demand_no_bare_return(line)?;
    let end = line
        .match_indices('#')
        .find(|&(at, _)| line[..at].ends_with([' ', '\t']))
        .map_or(line.len(), |(at, _)| at);
    Ok((line[..end].trim().to_owned(), next))
}

fn double_quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 'r')) => value.push('\r'),
                Some((_, 't')) => value.push('\t'),
                Some((_, escaped @ ('"' | '\\' | '$' | '\''))) => value.push(escaped),
                Some((_, other)) => {
                    value.push('\\');
                    value.push(other);
                }
                None => break,
            },
            _ => value.push(c),
        }
    }
    Err("the quote is not closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> String {
        match parse(text).as_deref() {
            Ok([(name, value)]) if name == "A" => value.clone(),
            other => panic!("{text:?} gave {other:?}"),
        }
    }

    fn error(text: &str) -> (usize, &'static str) {
        let malformed = parse(text).unwrap_err();
        (malformed.line, malformed.reason)
    }

    #[test]
    fn the_forms_that_people_know() {
        assert_eq!(one("A=b"), "b");
        assert_eq!(one("  export A = b c  \n"), "b c");
        assert_eq!(one("A="), "");
        assert_eq!(one("A=b # comment"), "b");
        assert_eq!(one("A=b#c"), "b#c");
        assert_eq!(one("A= # comment"), "");
        assert_eq!(one("A='it # is' # comment"), "it # is");
        assert_eq!(one("A='$x \\n'"), "$x \\n");
        assert_eq!(one(r#"A="a\n\"b\" \$c \d""#), "a\n\"b\" $c \\d");
        assert_eq!(one("A=\"two\nlines\"\n"), "two\nlines");
        assert_eq!(
            one("A='-----BEGIN\nx\n-----END'\n# end"),
            "-----BEGIN\nx\n-----END"
        );
        assert_eq!(one("A=a=b"), "a=b");
        assert_eq!(one("A=$HOME/${X:-y}"), "$HOME/${X:-y}");
        assert_eq!(one("A=it's"), "it's");
        assert_eq!(one("\u{feff}A=b"), "b");
    }

    #[test]
    fn windows_line_ends() {
        assert_eq!(
            parse("A=b\r\n\r\n# c\r\nB=\"x\r\ny\"\r\n"),
            Ok(vec![("A".into(), "b".into()), ("B".into(), "x\ny".into())])
        );
    }

    /// Each row of the table says what is true here.
    #[test]
    fn the_table_of_the_docs_is_true() {
        let docs = include_str!("../../docs/manifest.md");
        let table = docs.split("| a line | here |").nth(1).unwrap();
        let table = table.split("\n\n").next().unwrap();
        let code = |cell: &str| {
            let cell = cell.trim().strip_prefix('`')?.strip_suffix('`')?;
            Some(cell.to_owned())
        };
        let mut count = 0;
        for row in table.lines().skip(2) {
            let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
            let line = code(cells[0]).unwrap();
            let read = parse(&line).map(|all| all[0].1.clone());
            match cells[1].trim() {
                "refused" => assert!(read.is_err(), "{line}: {read:?}"),
                "empty" => assert_eq!(read, Ok(String::new()), "{line}"),
                cell => assert_eq!(read.ok(), code(cell), "{line}"),
            }
            count += 1;
        }
        assert!(count > 20, "{count} rows");
    }

    #[test]
    fn the_last_of_equal_names_comes_last() {
        let all = parse("A=1\nA=2").unwrap();
        assert_eq!(all.last(), Some(&("A".into(), "2".into())));
    }

    /// A file with the line ends of an old Macintosh would be one variable.
    #[test]
    fn a_carriage_return_within_a_line_is_refused_outside_quotes() {
        for (text, line) in [
            ("A=1\rB=2\rC=3", 1),
            ("X=0\n# comment\rA=1\n", 2),
            ("X=0\nA=\"1\"\rB=2", 2),
            ("X=0\n\nA='1' # c\rB=2", 3),
        ] {
            let (found, reason) = error(text);
            assert_eq!(found, line, "{text:?}");
            assert!(reason.contains("carriage return"), "{text:?}: {reason}");
        }
        assert_eq!(one("A=\"b\rc\"\r\r\n"), "b\rc");
        assert_eq!(one("A=b\r\r\n"), "b");
        assert_eq!(one("A=b\r"), "b");
    }

    #[test]
    fn mistakes_name_their_line_and_no_secret() {
        assert_eq!(
            error("A=1\n\nsecret\n"),
            (3, "there is no `=`, as in `NAME=value`")
        );
        assert_eq!(error("A=1\nB='x\ny\n"), (2, "the quote is not closed"));
        assert_eq!(
            error("A=\"x\ny\" z"),
            (1, "there is text after the closing quote")
        );
        assert_eq!(error("A=1\n1B=2").0, 2);
        assert_eq!(error("A B=2").0, 1);
        assert_eq!(error("=2").0, 1);
    }
}
