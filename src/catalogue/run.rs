//! What an order can come to, and what can be the matter with a service.

use super::{Entry, entry};

pub(super) const ENTRIES: &[Entry] = &[
    entry(
        "run::ledger",
        "What is to be started cannot be written down, so nothing is started.",
        "Make room, or mend the rights of the project's state directory.",
    ),
    entry(
        "run::left_behind",
        "A service ended by itself and left processes behind; the supervisor ended them, since they belong to the run that is over. This is a warning.",
        "Run the program in the foreground, as the command of a `process` service: nearly every server has an option for it. A server that must put itself into the background names its process with `MAINPID=` (`ready: notify`).",
    ),
    entry(
        "run::other_manifest",
        "The project runs from another manifest than the one that was found: another checkout, say. Nothing is done to services that the other one declares.",
        "Give one of the two another `project`. `baudbot -p PROJECT down` takes down what runs, whatever manifest lies here.",
    ),
    entry(
        "run::other_project",
        "The supervisor that was asked runs another project.",
        "Name the project with `-p NAME`.",
    ),
    entry(
        "run::overtaken",
        "A later order wants the contrary of what this command waited for; the later one holds.",
        "`baudbot status` shows what comes of it, `baudbot events` who ordered what; give the order again if it should hold.",
    ),
    entry(
        "run::service_blocked",
        "A service cannot start until something is mended: a program is missing, a dependency failed, somebody else holds its port.",
        "`baudbot why NAME` tells what; then `baudbot start NAME`.",
    ),
    entry(
        "run::service_ended",
        "A service that should run ended, or was stopped by somebody meanwhile.",
        "`baudbot logs NAME` shows its last words; `baudbot start NAME` starts it again.",
    ),
    entry(
        "run::service_failed",
        "A service ended badly, or was not ready in time. It is not started again; or it has failed several times in a row, and is tried again in the background.",
        "`baudbot logs NAME` shows its last words and `baudbot why NAME` the whole story; mend it, then `baudbot start NAME`.",
    ),
    entry(
        "run::service_kept",
        "A running service should be replaced by a new run that could not start, so it is kept as it is: a program, a directory or a variable is missing, or another process holds a port that it declares anew.",
        "Mend what the message names, then give the same order again. To do without the service meanwhile: `baudbot stop NAME`.",
    ),
    entry(
        "run::survivors",
        "Processes outlived KILL, or may not be signalled.",
        "End them as their user or as root; one in state D waits for a device or a file server.",
    ),
    entry(
        "run::too_many_instances",
        "A template has as many instances as it may have.",
        "Stop one, or raise `max_instances`.",
    ),
    entry(
        "run::unknown_name",
        "No service or group has this name.",
        "`baudbot status` lists the names.",
    ),
];
