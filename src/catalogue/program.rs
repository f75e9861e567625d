//! Why a command, or the supervisor behind it, could not do its work.

use super::{Entry, entry};

pub(super) const ENTRIES: &[Entry] = &[
    entry(
        "cli::broken_project_name",
        "A name that is given for the project cannot be one.",
        "Use letters, digits, `.`, `_` and `-`, and begin with a letter or a digit.",
    ),
    entry(
        "cli::cannot_execute",
        "A program that a command becomes (tmux) cannot be executed.",
        "Install it, or mend PATH.",
    ),
    entry(
        "cli::exists_already",
        "A file that the command would write is there already, and is left as it is.",
        "Remove it first, or choose another directory.",
    ),
    entry(
        "cli::few_descriptors",
        "The limit of open files is so low that the command cannot talk to anything.",
        "Raise it with `ulimit -n 1024` in a new shell.",
    ),
    entry(
        "cli::needs_terminal",
        "The command needs a terminal and has none.",
        "Run it in a terminal, or use a command that prints.",
    ),
    entry(
        "cli::no_manifest",
        "There is no manifest here or in a directory above, and none is known of the project that was named.",
        "Write one with `baudbot init`, or name one with `-f FILE`; `baudbot ps` lists the projects that run, and `-p NAME` names one.",
    ),
    entry(
        "cli::not_logged",
        "Nothing was logged yet, so there is nothing to show.",
        "Start the services with `baudbot up`.",
    ),
    entry(
        "cli::not_running",
        "What the command is about does not run.",
        "Start it with `baudbot up`, or the service with `baudbot start NAME`.",
    ),
    entry(
        "cli::not_taken_over",
        "No other supervisor took over in time.",
        "`baudbot status` tells who supervises now; the supervisor's log, beside the ledger, tells why.",
    ),
    entry(
        "cli::output",
        "The output cannot be written.",
        "Make room where it goes, or mend the rights of the file.",
    ),
    entry(
        "cli::param_without_instance",
        "`--param` was given without the one instance of a template that it is for.",
        "Name one: `baudbot start TEMPLATE@NAME --param NAME=VALUE`.",
    ),
    entry(
        "cli::selftest",
        "The self-test could not be carried out, or could not clear away everything of its own.",
        "The message says what failed; `baudbot doctor` looks at what this host can do. A process that does not end is named.",
    ),
    entry(
        "cli::supervisor_left",
        "The supervisor went away while its work was being followed.",
        "See what is left with `baudbot status`; the next `baudbot up` or `baudbot down` finds all that it started.",
    ),
    entry(
        "cli::system",
        "The system refused something that the command needs.",
        "The message says what and why; `baudbot doctor` looks at what this host can do.",
    ),
    entry(
        "cli::unfit_params",
        "What an instance was given is not what its template takes.",
        "Give what the message asks for, with `--param NAME=VALUE`.",
    ),
    entry(
        "cli::unfit_program",
        "The program that is to take over cannot be executed, or is no baudbot.",
        "Nothing has changed. Check the program: `PROGRAM --version`.",
    ),
    entry(
        "cli::unknown_code",
        "No error has this code.",
        "`baudbot explain --all` lists all codes.",
    ),
    entry(
        "cli::unknown_name",
        "No service or group has this name.",
        "`baudbot status` lists the names.",
    ),
    entry(
        "cli::unknown_template",
        "The manifest has no template of this name.",
        "Use one that it declares in `templates`.",
    ),
    entry(
        "cli::unreadable_manifest",
        "The manifest that was named cannot be read.",
        "Name another one with `-f FILE`, or mend its rights.",
    ),
    entry(
        "cli::wrong_manifest",
        "The manifest that was named is that of another project.",
        "Name the other project's manifest with `-f FILE`, or leave `-p` out.",
    ),
    entry(
        "control::bad_answer",
        "The supervisor's answer cannot be read.",
        "Use the same version of baudbot at both ends: `baudbot down` and `baudbot up` bring a new supervisor.",
    ),
    entry(
        "control::bad_order",
        "An order on the control socket cannot be read, or is incomplete.",
        "Use the same version of baudbot at both ends.",
    ),
    entry(
        "control::bad_query",
        "What was asked of the control socket beside the path cannot be understood.",
        "`docs/control-api.md` lists what may be asked.",
    ),
    entry(
        "control::bad_version",
        "An order has another version than the supervisor reads.",
        "Use the same version of baudbot at both ends.",
    ),
    entry(
        "control::connection",
        "The supervisor cannot be talked to.",
        "Try again; `baudbot status` tells whether it runs.",
    ),
    entry(
        "control::forbidden",
        "Somebody else than the project's user (or root) asks.",
        "Become the user that the project belongs to.",
    ),
    entry(
        "control::leaving",
        "The supervisor is about to leave.",
        "Give the order again: the next supervisor takes it.",
    ),
    entry(
        "control::no_answer",
        "The supervisor did not answer in time: it is stopped, or starved.",
        "`kill -CONT PID` lets a stopped one go on; `kill -9 PID` ends one that does not recover. Services go on, and the next supervisor takes them over.",
    ),
    entry(
        "control::too_many_readers",
        "So many clients read logs from the control socket that no more are served.",
        "End one of them; `baudbot logs` reads the files and needs no place.",
    ),
    entry(
        "control::unknown_path",
        "The control socket has nothing at this path.",
        "The message lists the paths that there are.",
    ),
    entry(
        "control::unreadable_body",
        "The body of an order did not come whole, or is larger than any order is.",
        "Send an order as `docs/control-api.md` has it.",
    ),
    entry(
        "control::wrong_method",
        "The control socket has something at this path, but not for this method.",
        "`docs/control-api.md` lists the methods: GET looks, POST orders.",
    ),
    entry(
        "store::file",
        "A file or directory of the project cannot be used.",
        "Mend its rights, make room, or choose another place with XDG_STATE_HOME and XDG_RUNTIME_DIR.",
    ),
    entry(
        "store::foreign_directory",
        "Another user owns a part of the way to the project's directories or its control socket, may write to it, or listens there: that user could answer in the supervisor's place, and would receive every value of the manifest. Nothing was sent. Only what belongs to you or to root is trusted.",
        "Set XDG_RUNTIME_DIR and XDG_STATE_HOME to directories of yours that others cannot write to. As root, unset them where they came from another user's session.",
    ),
    entry(
        "store::ledger",
        "The record of what was started cannot be read.",
        "Use the program that wrote it, at least for `baudbot down`; else end what it tells of by hand and move it away.",
    ),
    entry(
        "store::no_home",
        "There is no place for the project's state.",
        "Set HOME or XDG_STATE_HOME.",
    ),
    entry(
        "store::not_a_directory",
        "Something stands where a directory of the project should be.",
        "Move it out of the way.",
    ),
    entry(
        "store::not_a_socket",
        "Something else lies where the control socket of the project should be.",
        "Move it out of the way.",
    ),
    entry(
        "store::socket_path_too_long",
        "The path of a socket is longer than the kernel takes.",
        "Set XDG_RUNTIME_DIR to a shorter path, or choose a shorter project name.",
    ),
    entry(
        "supervisor::few_descriptors",
        "The limit of open files is so low that the supervisor could start services and not stop them.",
        "Raise it with `ulimit -n 1024` in a new shell, or LimitNOFILE= of the unit.",
    ),
    entry(
        "supervisor::locked",
        "Another supervisor has the project.",
        "`baudbot status` asks it; `baudbot down` ends what it runs, and it too.",
    ),
    entry(
        "supervisor::not_started",
        "The supervisor could not start.",
        "The message says why; `supervisor.log` in the project's state directory tells more.",
    ),
    entry(
        "supervisor::system",
        "The kernel refuses something that nothing can be done without.",
        "`baudbot doctor` looks at what this host can do.",
    ),
];
