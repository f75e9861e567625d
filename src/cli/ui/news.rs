//! What the supervisor tells, for as long as there is one, and when there is one again.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::super::status;
use super::Call;
use crate::control::client;
use crate::control::protocol::{News, Status};
use crate::store::Project;
use crate::ui::{Event, Link};

/// How often a supervisor is looked for while there is none.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Tells what is new, for ever.
pub(super) async fn tell(call: &Call, project: &Project, sender: &mpsc::Sender<Event>) {
    let declared = |status: Status| status::declared(call, status);
    let absent = || declared(status::without_supervisor(project.name().clone()));
    let mut link = Link::Down;
    let _ = sender.send(Event::Status(absent())).await;
    loop {
        if let Ok(Some(client)) = client::connect(project).await
            && let Ok(mut notices) = client.notices().await
        {
            let mut is_finished = false;
            while let Some(Ok(notice)) = notices.next().await {
                let event = match notice.what {
                    News::Snapshot(status) => {
                        // From here on it would be missed.
                        link = Link::Lost;
                        Event::Status(declared(status))
                    }
                    News::Service { name, status } => Event::Service(name, status),
                    News::Finished(_) => {
                        is_finished = true;
                        continue;
                    }
                };
                let _ = sender.send(event).await;
            }
            if is_finished {
                link = Link::Down;
                let _ = sender.send(Event::Status(absent())).await;
            }
            let _ = sender.send(Event::Link(link)).await;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
