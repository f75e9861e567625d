//! The lines of `events`.

use jiff::tz::TimeZone;

use super::status::state_style;
use super::visible::one_line;
use super::{FAINT, Look, STRONG};
use crate::event::{Asked, By, Change, Event, Supervision, What};
use crate::plan::Order;

/// One event in one line: when, what about, what happened, why.
pub fn event(event: &Event, look: &Look) -> String {
    let time = TimeZone::system().to_datetime(event.time);
    let time = look.paint(FAINT, &time.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string());
    let what = match &event.what {
        What::Service(one) => change(one, look),
        What::Order(asked) => format!("{}  {}", look.paint(STRONG, "order"), order(asked)),
        What::Supervisor(one) => {
            format!("{}  {}", look.paint(STRONG, "supervisor"), supervision(one))
        }
    };
    format!("{time}  {what}\n")
}

fn change(change: &Change, look: &Look) -> String {
    let name = look.paint(STRONG, change.service.as_str());
    let to = look.paint(state_style(change.to), change.to.word());
    let mut text = if change.from == change.to {
        format!("{name}  still {to}")
    } else {
        format!("{name}  {} -> {to}", change.from.word())
    };
    let mut why = vec![change.cause.word().to_owned()];
    why.extend(change.run.map(|run| format!("run {run}")));
    if let Some(asked) = &change.asked {
        why.push(order(asked));
    }
    text += &look.paint(FAINT, &format!("  ({})", why.join(", ")));
    if let Some(reason) = &change.reason {
        text += &format!("  {}", one_line(reason));
    }
    text
}

/// `up web by uid 0, pid 812`
fn order(asked: &Asked) -> String {
    let word = match asked.order {
        Order::Up => "up",
        Order::Down => "down",
        Order::Restart => "restart",
    };
    let mut text = word.to_owned();
    for name in &asked.selection {
        text += &format!(" {name}");
    }
    if asked.now {
        text += " --now";
    }
    text += &match &asked.by {
        By::Process {
            uid,
            pid: Some(pid),
        } => format!(" by uid {uid}, pid {pid}"),
        By::Process { uid, pid: None } => format!(" by uid {uid}"),
        By::Foreground => " by the command line".to_owned(),
        By::Signal => " by a signal".to_owned(),
    };
    text
}

fn supervision(one: &Supervision) -> String {
    let text = format!("{} {}", one.pid, one.did.words());
    match &one.detail {
        Some(detail) => format!("{text}: {detail}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Cause, Did};
    use crate::id::{RunId, ServiceName};
    use crate::machine::StateWord;
    use jiff::Timestamp;

    fn text(what: What) -> String {
        let look = Look::PLAIN;
        let text = event(&Event::at(Timestamp::UNIX_EPOCH, what), &look);
        // The time is shown as the clock on the wall has it.
        text.splitn(4, ' ').last().unwrap_or_default().to_owned()
    }

    #[test]
    fn each_kind_has_its_line() {
        let asked = Asked {
            order: Order::Up,
            selection: vec!["web".into(), "@core".into()],
            now: false,
            by: By::Process {
                uid: 0,
                pid: Some(812),
            },
        };
        let change = Change {
            service: ServiceName::new("web").unwrap(),
            from: StateWord::Ready,
            to: StateWord::Stopping,
            run: Some(RunId(7)),
            cause: Cause::Edit,
            reason: Some("stop signal sent".into()),
            exit: None,
            asked: Some(asked.clone()),
            note: None,
        };
        let supervision = Supervision {
            did: Did::Crashed,
            pid: 99,
            detail: Some("was ended by signal 9".into()),
        };
        insta::assert_snapshot!(
            [
                text(What::Service(change)),
                text(What::Order(asked)),
                text(What::Supervisor(supervision))
            ]
            .concat(),
            @r"
        web  ready -> stopping  (edit, run 7, up web @core by uid 0, pid 812)  stop signal sent
        order  up web @core by uid 0, pid 812
        supervisor  99 crashed: was ended by signal 9
        "
        );
    }
}
