//! How the end of a run is judged, and what is told of it.

use crate::scene::Scene;

#[test]
fn a_list_of_good_exits_without_0_makes_0_a_failure() {
    let scene = Scene::new(
        "services:\n  seven: {type: task, command: exit 7, success_exit: [7]}\n  \
         zero: {type: task, command: exit 0, success_exit: [7]}\n",
    );
    let up = scene.run(["up"]).code(1);
    scene.expect_state("seven", "completed");
    scene.expect_state("zero", "failed");
    assert!(
        up.stderr
            .contains("exited with 0, which `success_exit` does not name"),
        "{}",
        up.stderr
    );
    scene.end();
}
