//! Did you mean: the nearest of the names that exist, and what other tools call our fields.

use super::path::Path;

/// The longest name that is compared, in bytes.
const LONGEST: usize = 100;

/// The name nearest to `name`, when it is near enough to have been meant.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST {
        return None;
    }
    let name = name.to_lowercase();
    // A third of the letters may be wrong; swapped neighbours count once.
    let limit = (name.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| {
            let distance = strsim::osa_distance(&name, &candidate.to_lowercase());
            (distance, candidate)
        })
        .filter(|&(distance, candidate)| distance <= limit && distance < candidate.chars().count())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// `a`, `b` and `c`
pub(crate) fn list(names: &[&str]) -> String {
    join(names, "and")
}

/// `a`, `b` or `c`
pub(crate) fn one_of(names: &[&str]) -> String {
    join(names, "or")
}

fn join(names: &[&str], word: &str) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} {word} {last}", most.join(", ")),
    }
}

/// The field that an unknown one was most likely meant to be.
pub(crate) fn meant<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let is_command = ELSEWHERE.contains(&(name, "command"));
    if is_command && let Some(command) = known.iter().find(|field| **field == "command") {
        return Some(command);
    }
    nearest(name, known.iter().copied())
}

/// What to do about an unknown field.
pub(crate) fn field_help(name: &str, path: &Path<'_>, known: &[&str]) -> String {
    if let Some((_, ours)) = ELSEWHERE
        .iter()
        .find(|(theirs, ours)| *theirs == name && known.contains(ours))
    {
        return format!("this is called `{ours}` here");
    }
    if let Some(near) = nearest(name, known.iter().copied()) {
        return format!("a field with a similar name exists: `{near}`");
    }
    if let Some((_, owner)) = INSIDE
        .iter()
        .find(|(field, owner)| *field == name && known.contains(owner))
    {
        return format!("`{name}` belongs below `{owner}`");
    }
    let fields = format!("the fields are {}", list(known));
    if path.is_root() {
        return format!("{fields}; a name that begins with `x-` is free for anything");
    }
    fields
}

/// What other tools call it, and we.
const ELSEWHERE: &[(&str, &str)] = &[
    ("cmd", "command"),
    ("exec", "command"),
    ("run", "command"),
    ("script", "command"),
    ("entrypoint", "command"),
    ("cwd", "working_dir"),
    ("dir", "working_dir"),
    ("directory", "working_dir"),
    ("workdir", "working_dir"),
    ("working_directory", "working_dir"),
    ("workingdirectory", "working_dir"),
    ("environment", "env"),
    ("env_file", "env_files"),
    ("needs", "depends_on"),
    ("requires", "depends_on"),
    ("after", "depends_on"),
    ("readiness", "ready"),
    ("readiness_probe", "ready"),
    ("healthcheck", "ready"),
    ("availability", "restart"),
    ("kind", "type"),
    ("group", "groups"),
    ("processes", "services"),
    ("programs", "services"),
    ("includes", "include"),
    ("extends", "include"),
    ("name", "project"),
    ("profiles", "groups"),
    ("stop_signal", "stop"),
    ("stop_grace_period", "stop"),
    ("shutdown", "stop"),
    ("initial_delay", "delay"),
    ("backoff", "delay"),
    ("max_restarts", "max_failures"),
    ("grace", "timeout"),
    ("when", "condition"),
];

/// What to do about a word that is none of `known`.
pub(crate) fn value_help(word: &str, known: &[&str]) -> String {
    let ours = VALUES
        .iter()
        .find(|(theirs, ours)| *theirs == word && known.contains(ours));
    if let Some((_, ours)) = ours {
        return format!("this is called `{ours}` here");
    }
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("a value with a similar name exists: `{near}`"),
        None => format!("the values are {}", list(known)),
    }
}

/// What other tools write as a value, and we.
const VALUES: &[(&str, &str)] = &[
    ("no", "never"),
    ("none", "never"),
    ("off", "never"),
    ("false", "never"),
    ("yes", "always"),
    ("true", "always"),
    ("unless-stopped", "always"),
    ("on_failure", "on-failure"),
    ("on-abnormal", "on-failure"),
    ("service_started", "started"),
    ("process_started", "started"),
    ("service_healthy", "ready"),
    ("process_healthy", "ready"),
    ("process_log_ready", "ready"),
    ("healthy", "ready"),
    ("service_completed_successfully", "completed"),
    ("process_completed_successfully", "completed"),
    ("process_completed", "completed"),
    ("oneshot", "task"),
    ("job", "task"),
    ("simple", "process"),
    ("daemon", "process"),
    ("service", "process"),
];

/// Fields that stand one level deeper.
const INSIDE: &[(&str, &str)] = &[
    ("tcp", "ready"),
    ("http", "ready"),
    ("unix", "ready"),
    ("file", "ready"),
    ("interval", "ready"),
    ("policy", "restart"),
    ("delay", "restart"),
    ("factor", "restart"),
    ("max_delay", "restart"),
    ("jitter", "restart"),
    ("stable_after", "restart"),
    ("max_failures", "restart"),
    ("no_retry_exit", "restart"),
    ("signal", "stop"),
    ("timeout", "stop"),
    ("strategy", "cleanup"),
    ("max_size", "log"),
    ("keep", "log"),
    ("prefix", "tmux"),
    ("server", "tmux"),
    ("command", "services"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let known = ["command", "condition", "env", "db"];
        assert_eq!(nearest("comand", known), Some("command"));
        assert_eq!(nearest("Command", known), Some("command"));
        assert_eq!(nearest("evn", known), Some("env"));
        assert_eq!(nearest("dbb", known), Some("db"));
        assert_eq!(nearest("x", known), None);
        assert_eq!(nearest("port", known), None);
    }

    #[test]
    fn lists_are_sentences() {
        assert_eq!(list(&["a"]), "`a`");
        assert_eq!(one_of(&["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
