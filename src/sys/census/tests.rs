use std::path::Path;

use super::super::mark::{Mark, Nesting};
use super::*;
use crate::id::ProjectName;

const BOOT: &str = "this boot";
const RUN: RunId = RunId(12);

fn project(name: &str) -> ProjectId {
    ProjectId::new(&ProjectName::new(name).unwrap(), Path::new("/state"))
}

/// The mark of a run of a project whose supervisor is in no mark.
fn run_mark(name: &str, run: u64) -> Option<Decoded> {
    Mark::for_run(project(name), RunId(run), Nesting::NONE).decoded()
}

/// The mark of a run of a project whose supervisor carries `outer`.
fn nested_mark(name: &str, run: u64, outer: Option<Decoded>) -> Option<Decoded> {
    let nesting = Nesting::within(&outer.unwrap()).unwrap();
    Mark::for_run(project(name), RunId(run), nesting).decoded()
}

fn project_mark(name: &str) -> Option<Decoded> {
    Mark::for_project(project(name), Nesting::NONE).decoded()
}

/// A process in a group and session of its own, orphaned to init, made at the time of its pid.
fn process(pid: i32) -> ProcessInfo {
    ProcessInfo {
        pid,
        ppid: 1,
        pgid: pid,
        sid: pid,
        start_time: u64::try_from(pid).unwrap(),
        is_over: false,
        mark: None,
        is_answered_for: false,
    }
}

fn marked(pid: i32, mark: Option<Decoded>) -> ProcessInfo {
    ProcessInfo {
        mark,
        ..process(pid)
    }
}

fn child(pid: i32, ppid: i32) -> ProcessInfo {
    ProcessInfo {
        ppid,
        ..process(pid)
    }
}

fn identity(pid: i32) -> Identity {
    Identity {
        pid,
        start_time: u64::try_from(pid).unwrap(),
        boot_id: BOOT.into(),
    }
}

fn run_roots() -> Roots {
    Roots {
        owner: Some(Owner::Run(project("web"), RUN)),
        leaders: vec![identity(100)],
        spared: vec![50],
        ..Roots::default()
    }
}

fn project_roots() -> Roots {
    Roots {
        owner: Some(Owner::Project(project("web"))),
        leaders: Vec::new(),
        ..run_roots()
    }
}

/// Who is a member, with the proof as people read it.
fn members(roots: &Roots, processes: impl IntoIterator<Item = ProcessInfo>) -> Vec<String> {
    let processes = processes.into_iter();
    let census = Census {
        boot_id: BOOT.into(),
        processes: processes.map(|process| (process.pid, process)).collect(),
    };
    let members = census.members(roots).into_iter();
    members
        .map(|member| {
            assert_eq!(member.identity, identity(member.identity.pid));
            format!("{}: {}", member.identity.pid, member.why)
        })
        .collect()
}

#[test]
fn each_member_has_its_proof() {
    let found = members(
        &run_roots(),
        [
            process(100),
            ProcessInfo {
                pgid: 100,
                sid: 100,
                ..process(101)
            },
            ProcessInfo {
                sid: 100,
                ..process(102)
            },
            marked(103, run_mark("web", 12)),
            child(104, 103),
            child(105, 104),
            marked(106, nested_mark("inner", 3, run_mark("web", 12))),
            process(107),
        ],
    );
    assert_eq!(
        found,
        [
            "100: is the process that was started",
            "101: in the process group of the leader 100",
            "102: in the session of the leader 100",
            "103: carries the mark of run 12",
            "104: child of 103, which belongs to it",
            "105: child of 104, which belongs to it",
            "106: carries the mark of a project that was brought up in run 12",
        ]
    );
}

#[test]
fn a_number_that_is_another_process_now_proves_nothing() {
    let in_group = || ProcessInfo {
        pgid: 100,
        sid: 100,
        ..process(101)
    };
    let reused = ProcessInfo {
        start_time: 7,
        ..process(100)
    };
    assert!(members(&run_roots(), [reused, in_group()]).is_empty());
    // Nor does one that nobody has: it may have been another's in between.
    assert!(members(&run_roots(), [in_group()]).is_empty());
    let other_boot = Roots {
        leaders: vec![Identity {
            boot_id: "another boot".into(),
            ..identity(100)
        }],
        ..run_roots()
    };
    assert!(members(&other_boot, [process(100), in_group()]).is_empty());
}

#[test]
fn a_leader_that_is_kept_as_a_zombie_vouches_for_its_group_but_is_no_member() {
    let zombie = ProcessInfo {
        is_over: true,
        ..process(100)
    };
    let in_group = ProcessInfo {
        pgid: 100,
        ..process(101)
    };
    assert_eq!(
        members(&run_roots(), [zombie, in_group]),
        ["101: in the process group of the leader 100"]
    );
}

#[test]
fn a_mark_decides_over_group_session_and_parent() {
    let joined = ProcessInfo {
        pgid: 100,
        sid: 100,
        ppid: 100,
        ..marked(101, run_mark("web", 13))
    };
    let found = members(&run_roots(), [process(100), joined]);
    assert_eq!(found, ["100: is the process that was started"]);
}

#[test]
fn the_spared_and_what_they_started_are_left_alone() {
    let spared = ProcessInfo {
        pgid: 100,
        sid: 100,
        ..marked(50, run_mark("web", 12))
    };
    let found = members(&run_roots(), [process(100), spared, child(51, 50)]);
    assert_eq!(found, ["100: is the process that was started"]);
}

#[test]
fn a_project_is_all_its_runs_and_what_its_server_was_told_to_hold() {
    let found = members(
        &project_roots(),
        [
            marked(201, run_mark("web", 1)),
            marked(202, run_mark("web", 2)),
            marked(203, project_mark("web")),
            marked(204, run_mark("other", 1)),
            marked(205, project_mark("other")),
        ],
    );
    assert_eq!(
        found,
        [
            "201: carries the mark of the project",
            "202: carries the mark of the project",
            "203: carries the mark of the project",
        ]
    );
}

#[test]
fn a_run_does_not_own_what_the_project_itself_holds() {
    let found = members(&run_roots(), [marked(203, project_mark("web"))]);
    assert!(found.is_empty());
}

/// The pane of a session that is just being made: its shim has not lowered the mark yet.
#[test]
fn a_leader_may_carry_the_projects_own_mark() {
    let found = members(
        &run_roots(),
        [
            marked(100, project_mark("web")),
            ProcessInfo {
                ppid: 100,
                ..marked(101, project_mark("web"))
            },
            // In another pane somebody brought up another project: no concern of this run.
            marked(102, nested_mark("inner", 1, project_mark("web"))),
        ],
    );
    assert_eq!(
        found,
        [
            "100: is the process that was started",
            "101: child of 100, which belongs to it"
        ]
    );
}

/// Nested three deep; the supervisors in between are gone.
#[test]
fn nested_projects_are_found_link_by_link() {
    let outer = run_mark("web", 12);
    let inner = nested_mark("inner", 3, outer);
    let innermost = nested_mark("innermost", 5, inner);
    let found = members(&run_roots(), [marked(301, inner), marked(302, innermost)]);
    assert_eq!(found.len(), 2, "{found:?}");
    let found = members(
        &project_roots(),
        [marked(301, inner), marked(302, innermost)],
    );
    assert_eq!(found.len(), 2, "{found:?}");
    // Neither the outer's other run, nor a run of the inner one that was brought up elsewhere.
    let found = members(
        &run_roots(),
        [
            marked(303, nested_mark("inner", 3, run_mark("web", 13))),
            marked(304, run_mark("inner", 3)),
            marked(305, nested_mark("innermost", 5, run_mark("inner", 4))),
        ],
    );
    assert!(found.is_empty(), "{found:?}");
}

/// The inner sweep takes its own and leaves the outer alone.
#[test]
fn the_inner_project_is_swept_by_itself() {
    let outer = run_mark("web", 12);
    let roots = Roots {
        owner: Some(Owner::Project(project("inner"))),
        ..Roots::default()
    };
    let found = members(
        &roots,
        [
            marked(301, nested_mark("inner", 3, outer)),
            marked(302, outer),
        ],
    );
    assert_eq!(found, ["301: carries the mark of the project"]);
}

/// A service brought its own project's supervisor up again: the new runs are not the old run's.
#[test]
fn a_project_within_itself_is_not_nested() {
    let old = run_mark("web", 12);
    let new = nested_mark("web", 13, old);
    let found = members(&run_roots(), [process(100), marked(301, new)]);
    assert_eq!(found, ["100: is the process that was started"]);
}

#[test]
fn a_shared_server_that_a_service_founded_stays_with_all_that_people_do_in_it() {
    let founded = run_mark("web", 12);
    let roots = Roots {
        shared_servers: vec![400],
        ..run_roots()
    };
    let found = members(
        &roots,
        [
            process(100),
            marked(400, founded),
            // A person's shell, and what it runs.
            ProcessInfo {
                ppid: 400,
                ..marked(401, founded)
            },
            ProcessInfo {
                ppid: 401,
                ..marked(402, founded)
            },
            // A pane of the service itself, which lowered the mark of the server to its own.
            ProcessInfo {
                ppid: 400,
                ..marked(403, run_mark("web", 13))
            },
            // What the service started outside of the server.
            marked(404, founded),
        ],
    );
    assert_eq!(
        found,
        [
            "100: is the process that was started",
            "404: carries the mark of run 12"
        ]
    );
    let of_the_pane = Roots {
        owner: Some(Owner::Run(project("web"), RunId(13))),
        leaders: Vec::new(),
        ..roots
    };
    let pane = ProcessInfo {
        ppid: 400,
        ..marked(403, run_mark("web", 13))
    };
    assert_eq!(
        members(&of_the_pane, [marked(400, founded), pane]),
        ["403: carries the mark of run 13"]
    );
}

#[test]
fn orphans_go_with_the_project_unless_somebody_answers_for_them() {
    let roots = Roots {
        orphans_of: vec![50],
        ..project_roots()
    };
    let answered_for = ProcessInfo {
        is_answered_for: true,
        ..child(502, 50)
    };
    let found = members(&roots, [child(501, 50), answered_for, child(503, 501)]);
    assert_eq!(
        found,
        [
            "501: orphaned to the supervisor 50",
            "503: child of 501, which belongs to it"
        ]
    );
}

#[test]
fn without_an_owner_no_mark_counts() {
    let roots = Roots {
        owner: None,
        ..run_roots()
    };
    let found = members(&roots, [process(100), marked(101, run_mark("web", 12))]);
    assert_eq!(found, ["100: is the process that was started"]);
}

/// A process that is its own ancestor, as a torn look may show it, does not hang us.
#[test]
fn a_torn_look_is_survived() {
    let roots = Roots {
        shared_servers: vec![400],
        ..run_roots()
    };
    let knot = |pid, ppid| ProcessInfo {
        ppid,
        ..marked(pid, run_mark("web", 12))
    };
    let found = members(&roots, [knot(601, 602), knot(602, 601), knot(603, 603)]);
    assert_eq!(found.len(), 3);
}

/// What proved it was its parent, which is gone.
#[test]
fn who_was_a_member_stays_one() {
    let known = |pid| Member {
        identity: identity(pid),
        why: Why::Child(103),
    };
    let roots = Roots {
        known: vec![known(104), known(105), known(107)],
        ..run_roots()
    };
    let found = members(
        &roots,
        [
            child(104, 1),
            // The number is another's by now.
            ProcessInfo {
                start_time: 1,
                ..process(105)
            },
            child(106, 104),
            marked(107, run_mark("web", 13)),
        ],
    );
    assert_eq!(
        found,
        [
            "104: child of 103, which belongs to it",
            "106: child of 104, which belongs to it",
        ]
    );
}
