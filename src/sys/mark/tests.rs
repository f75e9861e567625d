use proptest::prelude::*;

use super::*;

fn project(name: &str) -> ProjectId {
    ProjectId::new(&ProjectName::new(name).unwrap(), Path::new("/var/lib/x"))
}

fn nesting(depth: u8) -> Nesting {
    Nesting { depth, outer: None }
}

prop_compose! {
    fn any_project()(name in "[a-z]{1,12}", dir in "/[a-z]{1,12}") -> ProjectId {
        ProjectId::new(&ProjectName::new(name).unwrap(), Path::new(&dir))
    }
}

fn any_run() -> impl Strategy<Value = RunId> {
    prop_oneof![0_u64..100, WIDEST_24 - 5..WIDEST_24 + 5, any::<u64>()].prop_map(RunId)
}

proptest! {
    #[test]
    fn a_mark_says_who_set_it(project in any_project(), run in any_run(), depth in 0..=DEEPEST) {
        let mark = Mark::for_run(project, run, nesting(depth));
        let decoded = decode(mark.soft, mark.hard).unwrap();
        prop_assert!(decoded.is_run(project, run));
        prop_assert!(decoded.is_of(project));
        prop_assert!(!decoded.is_run(project, RunId(run.0.wrapping_add(1) % WIDEST_24)));
        prop_assert!(!decoded.is_project_itself(project));
        prop_assert_eq!(decoded.depth(), depth);
        prop_assert_eq!(decoded.outer(), None);
        prop_assert_eq!(Some(decoded), mark.decoded());
    }

    #[test]
    fn projects_are_told_apart(one in any_project(), other in any_project(), run in any_run()) {
        let mark = Mark::for_run(one, run, Nesting::NONE);
        prop_assert_eq!(mark.decoded().unwrap().is_of(other), one == other);
    }

    /// Signed readers must not see a negative number, and a soft limit above the hard one is refused.
    #[test]
    fn the_kernel_takes_it(project in any_project(), run in any_run(), depth in 0..=DEEPEST) {
        let outer = Some(Link { project_upper: WIDEST_24, place: WIDEST_24 });
        let mark = Mark::for_run(project, run, Nesting { depth, outer });
        prop_assert!(mark.soft <= mark.hard);
        prop_assert!(i64::try_from(mark.hard).is_ok());
    }

    #[test]
    fn what_is_deeper_is_lower(
        one in any_project(), first in any_run(),
        other in any_project(), second in any_run(),
        depth in 0..DEEPEST,
    ) {
        let outer = Mark::for_run(one, first, nesting(depth));
        let inner = Mark::for_project(other, nesting(depth + 1));
        prop_assert!(inner.hard < outer.hard);
        let inner = Mark::for_run(other, second, nesting(depth + 1));
        prop_assert!(inner.hard < outer.hard);
    }

    /// So that a pane can lower the mark of its server to its own, whoever founded that server.
    #[test]
    fn the_project_is_above_its_runs_and_earlier_runs_above_later(
        project in any_project(), run in 0..WIDEST_24 - 1, depth in 0..=DEEPEST,
    ) {
        let whole = Mark::for_project(project, nesting(depth));
        let earlier = Mark::for_run(project, RunId(run), nesting(depth));
        let later = Mark::for_run(project, RunId(run + 1), nesting(depth));
        prop_assert!(whole.hard > earlier.hard);
        prop_assert!(earlier.hard > later.hard);
        prop_assert!(whole.decoded().unwrap().is_project_itself(project));
    }

    #[test]
    fn a_little_less_is_still_the_mark(
        project in any_project(), run in any_run(), less in 0..=SLACK, soft in any::<u64>(),
    ) {
        let mark = Mark::for_run(project, run, Nesting::NONE);
        let hard = mark.hard - less;
        prop_assert!(decode(mark.soft, hard).unwrap().is_run(project, run));
        // Whoever sets both limits, as shells do, destroys what the soft one says, and no more.
        prop_assert!(decode(hard, hard).unwrap().is_run(project, run));
        if soft >> SOFT_MAGIC_SHIFT != SOFT_MAGIC {
            prop_assert!(decode(soft, hard).unwrap().is_run(project, run));
        }
    }

    #[test]
    fn a_nested_mark_names_the_run_around_it(
        outer in any_project(), run in any_run(), inner in any_project(),
    ) {
        let around = Mark::for_run(outer, run, Nesting::NONE).decoded().unwrap();
        let nesting = Nesting { depth: 1, outer: Some(around.link()) };
        let within = Mark::for_run(inner, RunId(1), nesting).decoded().unwrap();
        let expected = (outer.upper() != inner.upper()).then(|| Link::of_run(outer, run));
        prop_assert_eq!(within.outer(), expected);
    }

    #[test]
    fn nothing_that_is_read_makes_it_panic(soft in any::<u64>(), hard in any::<u64>()) {
        let _ = decode(soft, hard);
        let _ = decode(soft, MAGIC << MAGIC_SHIFT | hard >> 8);
    }
}

#[test]
fn limits_that_people_set_are_no_marks() {
    for limit in [0, 1, 1024, 1 << 20, 1 << 32, 1 << 56, 1 << 62] {
        assert_eq!(decode(limit, limit), None, "{limit}");
    }
    for limit in [u64::MAX, i64::MAX.cast_unsigned(), u64::MAX - 1] {
        assert_eq!(decode(limit, limit), None, "{limit}");
    }
}

/// Another version of this program must read what this one wrote: these numbers never change.
#[test]
fn the_layout_is_a_contract() {
    let project = project("web");
    let mark = Mark::for_run(project, RunId(12), Nesting::NONE);
    assert_eq!(format!("{:x}", project.0), "466c0d0ac");
    assert_eq!(
        format!("{:x} {:x}", mark.soft, mark.hard),
        "20ac000000000000 5be8cd81bffffe5f"
    );
    let whole = Mark::for_project(project, nesting(2));
    assert_eq!(
        format!("{:x} {:x}", whole.soft, whole.hard),
        "20ac000000000000 5ba8cd81bfffffff"
    );
}

#[test]
fn a_name_and_a_directory_make_a_project() {
    let id = |name, dir| ProjectId::new(&ProjectName::new(name).unwrap(), Path::new(dir));
    assert_eq!(id("a", "/b"), id("a", "/b"));
    assert_ne!(id("a", "/b"), id("a", "/c"));
    assert_ne!(id("a", "/b"), id("b", "/b"));
}

#[test]
fn proc_tells_what_prlimit_does() {
    let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                Max file locks            16                   6557241057451442208  locks     \n";
    let expected = Limits {
        soft: 16,
        hard: 6_557_241_057_451_442_208,
    };
    assert_eq!(parse_proc_limits(text), Some(expected));
    let text = "Max file locks            unlimited            unlimited            locks     \n";
    assert_eq!(parse_proc_limits(text), None);
    assert_eq!(parse_proc_limits("nonsense"), None);
    let me = std::process::id().cast_signed();
    let text = std::fs::read_to_string("/proc/self/limits").unwrap();
    let own = read_limits(me).unwrap();
    if own.hard != u64::MAX {
        assert_eq!(parse_proc_limits(&text), Some(own));
    }
}
