//! The status of a project as it changes: a snapshot, then what is new, from one supervisor after
//! the other.

use futures_util::StreamExt;

use super::super::Failure;
use super::super::session::{self, Notices};
use crate::control::client::Client;
use crate::control::protocol::{News, Status};
use crate::store::Project;

/// A stream of what is new, and what it came to so far.
pub(super) struct Live {
    client: Client,
    notices: Notices,
    status: Option<Status>,
}

impl Live {
    /// Listens to the supervisor, if one runs.
    pub(super) async fn open(project: &Project) -> Result<Option<Self>, Failure> {
        let Some(client) = session::running(project).await? else {
            return Ok(None);
        };
        match client.notices().await {
            Ok(notices) => Ok(Some(Self {
                client,
                notices: Box::pin(notices),
                status: None,
            })),
            Err(error) if error.is_leaving() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for something new; `None` when the supervisor has left.
    pub(super) async fn next(&mut self) -> Option<&Status> {
        loop {
            // A stream that breaks is a supervisor that went away.
            let notice = self.notices.next().await?.ok()?;
            match (notice.what, &mut self.status) {
                (News::Snapshot(status), _) => self.status = Some(status),
                (
                    News::Service {
                        name,
                        status: Some(new),
                    },
                    Some(status),
                ) => {
                    status.services.insert(name, *new);
                }
                (News::Service { name, status: None }, Some(status)) => {
                    status.services.shift_remove(&name);
                }
                (News::Service { .. } | News::Finished(_), _) => continue,
            }
            return self.status.as_ref();
        }
    }

    /// Asks what the services take of the machine. What was known before stays when nobody answers.
    pub(super) async fn measure(&mut self) -> Option<&Status> {
        if let Ok(status) = self.client.status_with_usage().await {
            self.status = Some(status);
        }
        self.status.as_ref()
    }

    /// What is known.
    pub(super) fn status(&self) -> Option<&Status> {
        self.status.as_ref()
    }
}
