//! Which words of an argument vector another program reads as code: the script of `sh -c`, and of the
//! interpreters that take one as an argument.
//!
//! Pure. In a script a `$` belongs to its language, and a value that is put into it becomes code.

/// A program that takes code as an argument.
struct Interpreter {
    /// What its file name begins with; a version may follow (`python3.12`).
    names: &'static [&'static str],
    /// The letters of the options before a script. They may end a cluster (`-lc`).
    letters: &'static [char],
    /// The long options before a script.
    long: &'static [&'static str],
    /// Other options that take the next word.
    with_argument: &'static [&'static str],
    /// Whether the script is the first word after all options, as of a shell, and not the one after
    /// its own option.
    is_shell: bool,
}

const INTERPRETERS: &[Interpreter] = &[
    Interpreter {
        names: &[
            "sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "fish", "csh", "tcsh", "rbash",
        ],
        letters: &['c'],
        long: &["--command", "--init-command"],
        with_argument: &["-o", "+o", "-O", "+O", "--rcfile", "--init-file"],
        is_shell: true,
    },
    Interpreter {
        names: &["su", "runuser"],
        letters: &['c'],
        long: &["--command", "--session-command"],
        with_argument: &[],
        is_shell: false,
    },
    Interpreter {
        names: &["python", "pypy"],
        letters: &['c'],
        long: &[],
        with_argument: &["-W", "-X"],
        is_shell: false,
    },
    Interpreter {
        names: &["perl", "ruby", "lua"],
        letters: &['e', 'E'],
        long: &[],
        with_argument: &["-I", "-r"],
        is_shell: false,
    },
    Interpreter {
        names: &["node", "nodejs", "bun"],
        letters: &['e', 'p'],
        long: &["--eval", "--print"],
        with_argument: &["-r", "--require", "--import"],
        is_shell: false,
    },
    Interpreter {
        names: &["php"],
        letters: &['r', 'B', 'R', 'E'],
        long: &["--run"],
        with_argument: &["-d", "-c"],
        is_shell: false,
    },
];

impl Interpreter {
    fn of(word: &str) -> Option<&'static Self> {
        let name = word.rsplit('/').next().unwrap_or(word);
        let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        INTERPRETERS.iter().find(|one| one.names.contains(&name))
    }

    /// Whether this option says that a script follows.
    fn announces(&self, option: &str) -> bool {
        match option.strip_prefix('-') {
            Some(letters) if !letters.starts_with('-') => {
                let mut letters = letters.chars();
                letters.clone().all(|c| c.is_ascii_alphabetic())
                    && if self.is_shell {
                        letters.any(|c| self.letters.contains(&c))
                    } else {
                        letters
                            .next_back()
                            .is_some_and(|c| self.letters.contains(&c))
                    }
            }
            _ => self.long.contains(&option),
        }
    }

    /// Whether this word is an option and its script in one, as in `-e1` and `--eval=1`.
    fn holds(&self, option: &str) -> bool {
        if let Some((long, _)) = option.split_once('=')
            && self.long.contains(&long)
        {
            return true;
        }
        let mut characters = option.strip_prefix('-').unwrap_or_default().chars();
        !self.is_shell
            && characters.next().is_some_and(|c| self.letters.contains(&c))
            && characters.next().is_some()
    }

    /// Whether the word after this option belongs to it.
    fn takes_next(&self, option: &str) -> bool {
        let is_cluster = self.is_shell && !option.starts_with("--");
        self.with_argument.contains(&option) || (is_cluster && option.ends_with(['o', 'O']))
    }

    /// The script among `words`, which follow the name of the program.
    fn script(&self, words: &[&str]) -> Option<usize> {
        let mut is_announced = false;
        let mut at = 0;
        while let Some(&word) = words.get(at) {
            let is_option = word.len() > 1 && word.starts_with(['-', '+']) && word != "--";
            if !is_option && (self.is_shell || !matches!(self.names, ["su", ..])) {
                let operand = at + usize::from(matches!(word, "-" | "--"));
                return (is_announced && operand < words.len()).then_some(operand);
            }
            if self.announces(word) {
                is_announced = true;
                if !self.is_shell {
                    return (at + 1 < words.len()).then_some(at + 1);
                }
                // As in `-euo pipefail`, or `-eco pipefail`.
                at += usize::from(self.takes_next(word));
            } else if self.holds(word) {
                return Some(at);
            } else if self.takes_next(word) {
                at += 1;
            }
            at += 1;
        }
        None
    }
}

/// Which of these words is a script: of the first interpreter among them that is given one. The
/// interpreter need not come first: `env`, `nice`, `timeout` and their like execute what follows.
pub(crate) fn script_of(words: &[&str]) -> Option<usize> {
    words.iter().enumerate().find_map(|(at, word)| {
        let script = Interpreter::of(word)?.script(&words[at + 1..])?;
        Some(at + 1 + script)
    })
}

/// Whether the script of such words is one of a shell, in which `"$NAME"` is a variable.
pub(crate) fn is_of_shell(words: &[&str], script: usize) -> bool {
    let before = words[..script].iter();
    before
        .filter_map(|word| Interpreter::of(word))
        .any(|one| one.is_shell || one.names.contains(&"su"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_of_a_shell_is_found_behind_its_options() {
        for (words, script) in [
            (&["sh", "-c", "x"][..], Some(2)),
            (&["/bin/bash", "-euo", "pipefail", "-c", "x", "y"], Some(4)),
            (&["bash", "-lc", "x"], Some(2)),
            (&["sh", "-c", "-e", "x"], Some(3)),
            (&["sh", "-c", "--", "x"], Some(3)),
            (&["bash", "--rcfile", "f", "-c", "x"], Some(4)),
            (&["fish", "--command=x"], Some(1)),
            (&["env", "A=b", "timeout", "5", "sh", "-c", "x"], Some(6)),
            (&["sudo", "su", "-", "web", "-c", "x"], Some(5)),
            (&["runuser", "-u", "web", "--", "sh", "-c", "x"], Some(6)),
            (&["sh", "script", "-c", "x"], None),
            (&["sh", "-e", "script"], None),
            (&["sh", "-c"], None),
            (&["echo", "-c", "x"], None),
            (&[], None),
        ] {
            assert_eq!(script_of(words), script, "{words:?}");
        }
    }

    #[test]
    fn the_script_of_another_interpreter_follows_its_option() {
        for (words, script) in [
            (&["python3", "-c", "x", "-c", "y"][..], Some(2)),
            (&["python3.12", "-W", "ignore", "-uc", "x"], Some(4)),
            (&["python3", "-cprint(1)"], Some(1)),
            (&["perl", "-lane", "x"], Some(2)),
            (&["node", "--eval", "x"], Some(2)),
            (&["node", "--eval=x"], Some(1)),
            (&["node", "-r", "m", "-pe", "x"], Some(4)),
            (&["php", "-r", "x"], Some(2)),
            (&["python3", "-m", "http.server", "-c", "x"], None),
            (&["node", "server.js", "-e", "x"], None),
        ] {
            assert_eq!(script_of(words), script, "{words:?}");
        }
        assert!(is_of_shell(&["env", "sh", "-c", "x"], 3));
        assert!(!is_of_shell(&["node", "-e", "x"], 2));
    }
}
