//! The way from the top of a document to a value, as people would say it.

use std::fmt;

/// One step down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// Into the value of this key.
    Key(&'a str),
    /// Into the item of this index, from 0.
    Index(usize),
}

/// A path: a list that shares its beginning with the paths of the values around.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path<'a> {
    up: Option<(&'a Path<'a>, Step<'a>)>,
}

/// What holds a key, in words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// As in "unknown field `x` …".
    pub(crate) inside: String,
    /// As in "not a field of …".
    pub(crate) what: &'static str,
}

impl<'a> Path<'a> {
    pub(crate) const ROOT: Self = Self { up: None };

    pub(crate) fn join(&'a self, step: Step<'a>) -> Self {
        Self {
            up: Some((self, step)),
        }
    }

    pub(crate) fn is_root(&self) -> bool {
        self.up.is_none()
    }

    /// The keys from the top, indexes left out.
    pub(crate) fn keys(&self) -> Vec<&'a str> {
        let mut keys = Vec::new();
        let mut at = self.up;
        while let Some((parent, step)) = at {
            if let Step::Key(key) = step {
                keys.push(key);
            }
            at = parent.up;
        }
        keys.reverse();
        keys
    }

    /// Whether this is the value of one environment variable.
    pub(crate) fn is_variable(&self) -> bool {
        let keys = self.keys();
        keys.len() >= 2 && keys[keys.len() - 2] == "env"
    }

    /// Whether this is an item of a list of dependencies.
    pub(crate) fn is_dependency_in_list(&self) -> bool {
        self.index().is_some() && self.keys().last() == Some(&"depends_on")
    }

    fn index(&self) -> Option<usize> {
        match self.up {
            Some((_, Step::Index(index))) => Some(index),
            _ => None,
        }
    }

    /// What this map is, when a key in it is wrong.
    pub(crate) fn owner(&self) -> Owner {
        let keys = self.keys();
        let (inside, what) = match keys.as_slice() {
            [] => ("at the top level".to_owned(), "a manifest"),
            ["services", name] => (format!("in service `{name}`"), "a service"),
            ["groups", name] => (format!("in group `{name}`"), "a group"),
            ["defaults"] => ("in `defaults`".to_owned(), "`defaults`"),
            ["tmux"] => ("in `tmux`".to_owned(), "`tmux`"),
            [.., "depends_on", _] => (format!("in {self}"), "a dependency"),
            [.., "env_files"] => (format!("in {self}"), "an environment file"),
            [.., "restart"] => (format!("in {self}"), "`restart`"),
            [.., "stop"] => (format!("in {self}"), "`stop`"),
            [.., "ready"] => (format!("in {self}"), "`ready`"),
            [.., "cleanup"] => (format!("in {self}"), "`cleanup`"),
            [.., "log"] => (format!("in {self}"), "`log`"),
            _ => (format!("in {self}"), "this map"),
        };
        Owner { inside, what }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(index) = self.index() {
            write!(f, "item {} of ", index + 1)?;
        }
        match self.keys().as_slice() {
            [] => f.write_str("the manifest"),
            ["services", name] => write!(f, "service `{name}`"),
            ["services", name, rest @ ..] => {
                write!(f, "`{}` of service `{name}`", rest.join("."))
            }
            ["groups", name] => write!(f, "group `{name}`"),
            ["groups", name, rest @ ..] => write!(f, "`{}` of group `{name}`", rest.join(".")),
            keys => write!(f, "`{}`", keys.join(".")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_like_speech() {
        let root = Path::ROOT;
        assert_eq!(root.to_string(), "the manifest");
        let services = root.join(Step::Key("services"));
        assert_eq!(services.to_string(), "`services`");
        let web = services.join(Step::Key("web"));
        assert_eq!(web.to_string(), "service `web`");
        let stop = web.join(Step::Key("stop"));
        let signal = stop.join(Step::Key("signal"));
        assert_eq!(signal.to_string(), "`stop.signal` of service `web`");
        let command = web.join(Step::Key("command"));
        let second = command.join(Step::Index(1));
        assert_eq!(second.to_string(), "item 2 of `command` of service `web`");
        assert_eq!(stop.owner().inside, "in `stop` of service `web`");
    }
}
