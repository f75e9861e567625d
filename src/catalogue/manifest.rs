//! What is wrong with a manifest. The messages with their places are made in `manifest`.

use super::{Entry, entry};

pub(super) const ENTRIES: &[Entry] = &[
    entry(
        "manifest::after_ready_on_task",
        "A task has a hook for when it is ready, which it is when it is over.",
        "Use `after_stop`, or a further task that depends on it.",
    ),
    entry(
        "manifest::bad_duration",
        "A duration cannot be read, or is out of the range that its field takes.",
        "Write a number with a unit, as in `500ms`, `30s`, `5m` or `1h`, within the range that the message names.",
    ),
    entry(
        "manifest::bad_env_file",
        "A file of `env_files` has a line that is not `NAME=value`.",
        "Mend the line that is shown; a comment begins with `#`, and a value with blanks stands in quotes.",
    ),
    entry(
        "manifest::bad_exit",
        "What should be an exit code or a signal is neither.",
        "Write a number from 0 to 255 or the name of a signal, as in `143` or `TERM`.",
    ),
    entry(
        "manifest::bad_expansion",
        "A `${…}` has no end, is nested too deep, or asks for something that does not exist.",
        "Write `$${` for a plain `${`; `docs/manifest.md` lists what `${…}` knows.",
    ),
    entry(
        "manifest::bad_export",
        "An export does not say in one way where its value comes from, or has no usable name.",
        "Write one of `readlink`, `file` and `command`; `interval` stands beside `command` only.",
    ),
    entry(
        "manifest::bad_header",
        "A header of an HTTP probe cannot be sent.",
        "Write its name in letters, digits and dashes, and its value on one line.",
    ),
    entry(
        "manifest::bad_key",
        "A key is not a text.",
        "Put the key in quotes, or indent what follows it.",
    ),
    entry(
        "manifest::bad_limit",
        "The value of a limit is none.",
        "Write a number, a size where bytes are counted, or `unlimited`.",
    ),
    entry(
        "manifest::bad_merge",
        "A merge key (`<<`) stands before something that is no map.",
        "Merge an alias of a map, or a list of such: `<<: *base`.",
    ),
    entry(
        "manifest::bad_method",
        "The method of an HTTP probe is none.",
        "Write it in capitals, as in `GET`, `HEAD` or `POST`.",
    ),
    entry(
        "manifest::bad_name",
        "A name has characters that names do not have, or is too long.",
        "Use letters, digits, `.`, `_` and `-`, and begin with a letter or a digit.",
    ),
    entry(
        "manifest::bad_notify",
        "`ready.notify` is `false`, which says nothing.",
        "Write `true`, or leave it out.",
    ),
    entry(
        "manifest::bad_number",
        "A number is out of the range that its field takes.",
        "Take a number in the range that the message names.",
    ),
    entry(
        "manifest::bad_param",
        "A param of a template has a name, a default or a pattern that does not work.",
        "Mend what the label shows.",
    ),
    entry(
        "manifest::bad_path",
        "A path is empty, or names the home of another user.",
        "Write the path from `/` on, from the manifest's directory on, or with `~/`.",
    ),
    entry(
        "manifest::bad_pattern",
        "A pattern cannot be used: of `ready.log` it is no regular expression or is empty; of `include` it is no file pattern.",
        "Mend the pattern at the place that is shown; in a regular expression `\\` takes the special meaning off a character.",
    ),
    entry(
        "manifest::bad_port",
        "A port is not a number from 1 to 65535, or its address cannot be read.",
        "Write `7890`, `\"127.0.0.1:7890\"` or `\"[::1]:7890\"`.",
    ),
    entry(
        "manifest::bad_session",
        "A tmux session cannot have this name.",
        "Leave out `.`, `:` and control characters: tmux takes them for something else.",
    ),
    entry(
        "manifest::bad_signal",
        "There is no signal of this name.",
        "Write its name as in `TERM` or `SIGTERM`, or its number.",
    ),
    entry(
        "manifest::bad_size",
        "A size cannot be read, or is out of range.",
        "Write a number with a unit, as in `10MiB`.",
    ),
    entry(
        "manifest::bad_status",
        "A status of an HTTP probe is none, or there is none.",
        "Write statuses from 100 to 599 and ranges of them, as in `[200-299, 429]`.",
    ),
    entry(
        "manifest::bad_tmux_server",
        "`tmux.server` is neither a word that it knows nor a usable path.",
        "Write `private`, `default`, or the absolute path of a socket.",
    ),
    entry(
        "manifest::bad_umask",
        "A umask is not three octal digits.",
        "Write it in quotes, as in `\"027\"`.",
    ),
    entry(
        "manifest::bad_url",
        "The URL of a probe cannot be asked.",
        "Write `http://HOST:PORT/PATH`.",
    ),
    entry(
        "manifest::bad_variable",
        "What should be the name of a variable cannot be one.",
        "Use letters, digits and `_`, and do not begin with a digit; in `env_inherit` a `*` may stand at the end.",
    ),
    entry(
        "manifest::byte_order_mark",
        "The file begins with a byte order mark, which cannot be seen and makes the first key another one.",
        "Save the file as UTF-8 without a byte order mark.",
    ),
    entry(
        "manifest::cleanup_clash",
        "A service belongs to two groups that disagree on how it is cleaned up.",
        "Give the service a `cleanup` of its own, or make the groups agree.",
    ),
    entry(
        "manifest::completed_without_task",
        "A service waits for another to complete that is no task, and so never does.",
        "Wait for `ready` or `started`, or make the other one `type: task`.",
    ),
    entry(
        "manifest::conflicting_conditions",
        "A service depends on another through two groups that ask different things of it.",
        "Name the dependency itself in `depends_on`, with what counts.",
    ),
    entry(
        "manifest::control_character",
        "The file holds a control character, which YAML does not allow.",
        "Remove it, or write it as an escape in double quotes.",
    ),
    entry(
        "manifest::declared_twice",
        "Two files declare the same service or group.",
        "Rename one of them, or remove it.",
    ),
    entry(
        "manifest::delay_over_maximum",
        "The longest delay between restarts is shorter than the first one.",
        "Raise `restart.max_delay`, or lower `restart.delay`.",
    ),
    entry(
        "manifest::dependency_cycle",
        "Services depend on each other in a circle, so none of them can be first.",
        "Remove one of the edges that are shown.",
    ),
    entry(
        "manifest::depends_on_template",
        "A service depends on a template, of which `up` starts no instance.",
        "Declare a service of its own for what others need.",
    ),
    entry(
        "manifest::doubled_dollar",
        "A script has `$$` before a name, which a shell reads as its process number and the name.",
        "Write `$NAME`: a `$` is doubled only before a `{`, as in `$${NAME##*/}`.",
    ),
    entry(
        "manifest::duplicate_key",
        "A key stands twice in the same map; only one of the two values could count.",
        "Remove one of them.",
    ),
    entry(
        "manifest::empty_command",
        "A command has no words, or its first word is empty.",
        "Write the program to run; a list is executed as it is, a text by `sh -c`.",
    ),
    entry(
        "manifest::empty_group",
        "A service depends on a group without members, so it waits for nobody.",
        "Put services into the group, or remove the dependency.",
    ),
    entry(
        "manifest::empty_manifest",
        "There is nothing in the file.",
        "Begin with `version: 1`, or let `baudbot init` write an example.",
    ),
    entry(
        "manifest::empty_prefix",
        "A cleanup by prefix has an empty one, with which every session begins.",
        "Write the prefix that only sessions of this service have.",
    ),
    entry(
        "manifest::endless_restarts",
        "A service that ends at once would be started again without a pause, for ever.",
        "Give `restart.delay` some time, or `restart.max_failures` a number.",
    ),
    entry(
        "manifest::export_before_ready",
        "A service refers to what another exports, and does not wait for it to be ready.",
        "Let it wait for `ready`, and require it; or leave it out of `depends_on`: the reference implies it.",
    ),
    entry(
        "manifest::exports_on_task",
        "A task has exports, although it is over when it is ready.",
        "Let the service that needs the value read it, or make the task a process.",
    ),
    entry(
        "manifest::foreign_session",
        "The cleanup of one service or group would end the tmux session of another service.",
        "Choose a longer prefix, or another name for the session.",
    ),
    entry(
        "manifest::further_mistakes",
        "There are more mistakes than are shown.",
        "Mend those that are shown first.",
    ),
    entry(
        "manifest::health_on_task",
        "A task has `health`, although a task is never ready while it runs.",
        "Remove `health`, or make it `type: process`.",
    ),
    entry(
        "manifest::impossible_when",
        "A `when` asks for a variable to be set and to be unset, so it can never hold.",
        "Remove one of the two.",
    ),
    entry(
        "manifest::include_cycle",
        "Files include each other in a circle.",
        "Remove the `include` that leads back.",
    ),
    entry(
        "manifest::include_not_found",
        "`include` names a file that does not exist.",
        "Mend the path, which counts from the directory of the file that includes it; a pattern may match nothing.",
    ),
    entry(
        "manifest::legacy_session_in_use",
        "A name in `legacy_sessions` is the session of a declared service, which would be ended.",
        "Remove it from `legacy_sessions`, which lists old names only.",
    ),
    entry(
        "manifest::limit_over_hard",
        "A soft limit is above its hard limit.",
        "Make `hard` at least as high as `soft`.",
    ),
    entry(
        "manifest::missing_command",
        "A service has no `command`.",
        "Add one: a list is executed as it is, a text by `sh -c`.",
    ),
    entry(
        "manifest::missing_env_file",
        "A file of `env_files` does not exist.",
        "Write it, mend its path, or let it be missing with `required: false`.",
    ),
    entry(
        "manifest::missing_path",
        "An env file or a file probe does not say which file.",
        "Add `path`.",
    ),
    entry(
        "manifest::missing_port",
        "An entry of `ports` is a map without a `port`.",
        "Add `port: NUMBER`.",
    ),
    entry(
        "manifest::missing_prefix",
        "A cleanup by tmux prefix does not say which.",
        "Add `prefix: NAME-`.",
    ),
    entry(
        "manifest::missing_probe",
        "`ready` or `health` does not say what to ask.",
        "Add one of the probes that the message names.",
    ),
    entry(
        "manifest::missing_project",
        "The project has no name, and none can be made from the directory.",
        "Add `project: NAME` at the top level.",
    ),
    entry(
        "manifest::missing_strategy",
        "`cleanup` does not say how.",
        "Add `strategy: pgid` or `strategy: tmux-prefix`.",
    ),
    entry(
        "manifest::missing_url",
        "An HTTP probe does not say where it goes.",
        "Add `url: http://HOST:PORT/PATH`.",
    ),
    entry(
        "manifest::missing_version",
        "The manifest does not say which version of the language it is written in.",
        "Begin with `version: 1`.",
    ),
    entry(
        "manifest::needs_root",
        "A service runs as another user than the one who gives the order, who is not root.",
        "Give the order as root or as that user, or leave `user` out.",
    ),
    entry(
        "manifest::no_exports",
        "A reference to what a service exports stands where it has to be known before anything runs.",
        "Use it in commands, environments, probes and paths of services only; `$${…}` is a plain `${…}`.",
    ),
    entry(
        "manifest::no_home",
        "A path begins with `~`, but HOME is not set.",
        "Set HOME, or write the whole path.",
    ),
    entry(
        "manifest::no_services",
        "The manifest declares no service.",
        "Add one below `services`.",
    ),
    entry(
        "manifest::not_a_file",
        "What should be a manifest is a directory, a socket or the like.",
        "Name a file.",
    ),
    entry(
        "manifest::not_expanded",
        "A text that no shell reads holds `$NAME`, `$(command)` or a `~/`, which stays as it is.",
        "Write `${NAME}`, or `${HOME}/…` for `~/…`; `$$NAME` keeps the text. A command written as a text, not as a list, is read by a shell.",
    ),
    entry(
        "manifest::not_found",
        "There is no manifest at this place.",
        "Write one with `baudbot init`, or name another with `--file`.",
    ),
    entry(
        "manifest::not_in_include",
        "An included file sets what only the main file may set.",
        "Move it to the main file.",
    ),
    entry(
        "manifest::not_utf8",
        "The file is not UTF-8.",
        "Save it as UTF-8.",
    ),
    entry(
        "manifest::not_with_watchdog",
        "A key of `health` stands beside `watchdog`, where nothing is asked.",
        "Remove it: `watchdog` itself says how long the service may be silent.",
    ),
    entry(
        "manifest::nul_character",
        "A text holds a NUL character, which no program can be given.",
        "Remove it.",
    ),
    entry(
        "manifest::one_session_for_all",
        "All instances of a template would have the same tmux session.",
        "Put `${instance}` into `session`, or leave it out.",
    ),
    entry(
        "manifest::only_of_templates",
        "A service has a key that only templates have.",
        "Remove it, or move the service to `templates`.",
    ),
    entry(
        "manifest::pgid_on_tmux",
        "A service in a tmux session is to be cleaned up by process group, which does not reach into tmux.",
        "Remove `cleanup`, or choose `tmux-prefix`.",
    ),
    entry(
        "manifest::port_clash",
        "Two services that run here own the same port on the same address, or one owns it twice.",
        "Give one of them another port or address; where only one of them runs at a time, say so with `when`.",
    ),
    entry(
        "manifest::prefix_misses_session",
        "The cleanup of a service does not match the session that the service itself runs in.",
        "Let the prefix be the beginning of the session's name.",
    ),
    entry(
        "manifest::prefix_without_tmux",
        "A cleanup by process group has a prefix, which would mean nothing.",
        "Remove `prefix`, or choose `strategy: tmux-prefix`.",
    ),
    entry(
        "manifest::ready_on_task",
        "A task has `ready`, although a task is ready when it has completed.",
        "Remove `ready`, or make it `type: process`.",
    ),
    entry(
        "manifest::recursive_alias",
        "An alias stands inside the value that it repeats.",
        "Move the anchor, or write the value out.",
    ),
    entry(
        "manifest::required_variable",
        "A variable that the manifest asks for with `${NAME:?…}` is not set or empty.",
        "Set it in the environment, or in a file of `env_files`.",
    ),
    entry(
        "manifest::required_with_default",
        "A param is required and has a default all the same.",
        "Keep one of the two.",
    ),
    entry(
        "manifest::reserved_limit",
        "A service sets `limits.locks`, in which baudbot keeps the mark of its processes.",
        "Remove it; the kernel has ignored this limit since Linux 2.4.25.",
    ),
    entry(
        "manifest::reserved_variable",
        "A variable is set by `env` that the supervisor sets itself, so the value would be lost.",
        "Use another name.",
    ),
    entry(
        "manifest::self_dependency",
        "A service depends on itself, or on a group that it belongs to.",
        "Remove it from `depends_on`.",
    ),
    entry(
        "manifest::session_clash",
        "Two services have the same tmux session.",
        "Give one of them another `session`.",
    ),
    entry(
        "manifest::session_without_tmux",
        "A service has a `session` and does not run in tmux.",
        "Add `type: tmux`, or remove `session`.",
    ),
    entry(
        "manifest::set_and_unset",
        "A variable is set by `env` and removed by `env_unset`.",
        "Remove one of the two.",
    ),
    entry(
        "manifest::several_documents",
        "The file holds more than one YAML document.",
        "Leave one of them; `include` joins several files.",
    ),
    entry(
        "manifest::several_probes",
        "`ready` or `health` has more than one probe.",
        "Leave one; an `exec` probe may ask for several things at once.",
    ),
    entry(
        "manifest::syntax",
        "The file is not YAML.",
        "Mend the place that is shown; the mistake may stand just before it.",
    ),
    entry(
        "manifest::task_restarts_always",
        "A task would be started again however it ends, and so never completes.",
        "Take `restart: on-failure`, or make it `type: process`.",
    ),
    entry(
        "manifest::too_deep",
        "Values are nested deeper than any manifest needs.",
        "Flatten them.",
    ),
    entry(
        "manifest::too_large",
        "The manifest is larger than can be meant: the file, what its aliases become, or the number of dependencies.",
        "Split it, or look for an alias that repeats too much.",
    ),
    entry(
        "manifest::too_many_files",
        "The manifest includes more files than can be meant.",
        "Look for a pattern that matches too much.",
    ),
    entry(
        "manifest::unfit_params",
        "An instance that runs was given what its template does not take any more.",
        "Start it again with other params, or stop it.",
    ),
    entry(
        "manifest::unknown_alias",
        "An alias names an anchor that does not stand above it.",
        "Write `&name` before `*name`; a text that begins with `*` needs quotes.",
    ),
    entry(
        "manifest::unknown_dependency",
        "A service depends on one that is not declared.",
        "Mend the name, or declare the other service.",
    ),
    entry(
        "manifest::unknown_export",
        "A service refers to something that another does not export.",
        "Look for a typing error, or give the other service the export.",
    ),
    entry(
        "manifest::unknown_field",
        "A key is not one that is known at this place.",
        "Mend the key; `docs/manifest.md` lists all of them. What you need for yourself goes below a top-level `x-…` key.",
    ),
    entry(
        "manifest::unknown_group",
        "A group is named that is not declared.",
        "Mend the name, or declare it below `groups`.",
    ),
    entry(
        "manifest::unknown_limit",
        "There is no limit of this name.",
        "Use a name of `setrlimit(2)` in lower case, as in `nofile`.",
    ),
    entry(
        "manifest::unknown_param",
        "A text asks for a param that its template does not declare.",
        "Declare it in `params`, or mend the name.",
    ),
    entry(
        "manifest::unknown_tag",
        "A value has a YAML tag, which means nothing in a manifest.",
        "Remove it; quotes make a text of anything.",
    ),
    entry(
        "manifest::unknown_user",
        "This host does not know the user that a service runs as.",
        "Make the user, or name another.",
    ),
    entry(
        "manifest::unknown_value",
        "A field has a value that is not one of those that it knows.",
        "Take one of the values that the message lists.",
    ),
    entry(
        "manifest::unreadable",
        "A file of the manifest cannot be read.",
        "Mend its rights, as the reason in the message says.",
    ),
    entry(
        "manifest::unreadable_env_file",
        "A file of `env_files` is there and cannot be read.",
        "Mend its rights, as the reason in the message says.",
    ),
    entry(
        "manifest::unset_inherited",
        "`env_inherit` names a variable that is not set.",
        "Set it, or let it be missing with a `?` at the end of its name.",
    ),
    entry(
        "manifest::unset_required",
        "A variable that `env_required` names is not set, or is empty.",
        "Set it in a file of `env_files` or in `env`, or take it over with `env_inherit`.",
    ),
    entry(
        "manifest::unset_variable",
        "The manifest needs a variable that is not set.",
        "Set it, or give it a default: `${NAME:-default}`.",
    ),
    entry(
        "manifest::value_in_script",
        "A value that a service exports or that an instance is given as a param stands in a script, where it would be code.",
        "Put it into `env`, and write `\"$NAME\"` in the script; or make the command a list without a shell.",
    ),
    entry(
        "manifest::writable_by_others",
        "Another user owns, or may write to, a file or directory that decides what runs as you: a manifest, an included file or an env file. Root refuses it; others are warned. An env file may belong to the user that its service runs as.",
        "Take the right from the others with `chmod go-w FILE`, or own the file with `chown`.",
    ),
    entry(
        "manifest::wrong_type",
        "A value is of another kind than its field takes.",
        "Write what the message says: a text, a number, a list or a map.",
    ),
    entry(
        "manifest::wrong_version",
        "The manifest is written in a version of the language that this program does not know.",
        "Write `version: 1`, or use the program that knows the other version.",
    ),
];
