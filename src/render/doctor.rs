//! What `doctor` found.

use anstyle::Style;

use super::table::{Cell, Table};
use super::{BAD, BUSY, FAINT, GOOD, Look, TYPED, human};
use crate::doctor::{Finding, Report, Verdict};

/// A line for each finding, what to do below it, and what it comes to.
pub fn report(report: &Report, look: &Look) -> String {
    let mut table = Table::bare();
    for finding in &report.findings {
        table.row([
            Cell::styled(finding.verdict.word(), style(finding.verdict)),
            finding.check.into(),
            finding.finding.as_str().into(),
        ]);
        if let Some(fix) = &finding.fix {
            table.row([
                "".into(),
                "".into(),
                Cell::styled(format!("fix: {fix}"), fix_style(finding)),
            ]);
        }
    }
    table.text(look, "") + &sum(report, look)
}

fn style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Good => GOOD,
        Verdict::Note => BUSY,
        Verdict::Bad => BAD,
    }
}

fn fix_style(finding: &Finding) -> Style {
    match finding.verdict {
        Verdict::Bad => TYPED,
        Verdict::Good | Verdict::Note => FAINT,
    }
}

fn sum(report: &Report, look: &Look) -> String {
    let bad = report
        .findings
        .iter()
        .filter(|one| one.verdict == Verdict::Bad);
    match bad.count() {
        0 => format!("{}\n", look.paint(GOOD, "nothing is wrong")),
        1 => format!("{}\n", look.paint(BAD, "1 thing is wrong")),
        many => {
            let text = format!("{} are wrong", human::count(many, "thing"));
            format!("{}\n", look.paint(BAD, &text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_has_a_line_and_its_fix_below() {
        let finding = |check, verdict, finding: &str, fix: Option<&str>| Finding {
            check,
            verdict,
            finding: finding.into(),
            fix: fix.map(str::to_owned),
        };
        let found = Report {
            version: 1,
            is_well: false,
            findings: vec![
                finding("kernel", Verdict::Good, "Linux 6.8: mark hold", None),
                finding(
                    "ports",
                    Verdict::Bad,
                    "port 7890 of `bridge` is held by pid 812 (`nginx`), user root",
                    Some("stop it"),
                ),
            ],
        };
        insta::assert_snapshot!(report(&found, &Look::PLAIN), @r"
        good  kernel  Linux 6.8: mark hold
        bad   ports   port 7890 of `bridge` is held by pid 812 (`nginx`), user root
                      fix: stop it
        1 thing is wrong
        ");
    }
}
