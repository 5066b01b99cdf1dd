//! A supervisor's notification, for the same sinks as the alerts of watches.

use hb_core::ids::{AgentId, GroupId, SupervisorId};
use hb_core::supervise::alert::{Notification, Severity};
use hb_core::time::Stamp;
use serde::Serialize;

use super::{Delivery, FileSink, SinkError, SinkSpec, StdoutSink, WebhookSink};

/// What is sent: one line of JSON, the same however often it is delivered. `ts`, `severity`, `primary_issue`, `key` and `headline` mean what they mean in
/// the document of a watch's alert; `supervisor` tells the two apart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NotificationDoc<'a> {
    /// When it was made. Not the time of sending.
    pub ts: Stamp,
    /// `INFO`, `WARNING`, `ERROR`, `CRITICAL`.
    pub severity: Severity,
    /// Always `supervisor`.
    pub primary_issue: &'static str,
    /// The same for every delivery of this notification.
    pub key: &'a str,
    /// One line.
    pub headline: &'a str,
    /// More.
    pub text: &'a str,
    /// Whom it is about.
    pub agents: &'a [AgentId],
    /// The group of alerts that it tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<&'a GroupId>,
    /// Who tells it.
    pub supervisor: &'a SupervisorId,
}

impl<'a> NotificationDoc<'a> {
    /// The document of a notification.
    #[must_use]
    pub fn new(notification: &'a Notification) -> Self {
        Self {
            ts: notification.at,
            severity: notification.severity,
            primary_issue: "supervisor",
            key: &notification.key,
            headline: &notification.title,
            text: &notification.text,
            agents: &notification.agents,
            group: notification.group.as_ref(),
            supervisor: &notification.supervisor,
        }
    }

    /// One line of JSON, without its end.
    ///
    /// # Panics
    /// Never: the document is plain data.
    #[must_use]
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("a notification is plain data with string keys")
    }
}

/// Brings notifications somewhere; otherwise as [`super::AlertSink`].
pub trait NotificationSink: Send {
    /// Its name in settings, records and metrics.
    fn name(&self) -> &str;

    /// Delivers a notification. Blocks for as long as the sink's own bound. Must not be called on a thread that runs an async runtime.
    fn tell(&mut self, notification: &Notification) -> Delivery;
}

/// Makes the sink called `name`. Touches neither disk nor network. It may be in use for alerts of watches as well.
///
/// # Errors
/// When the settings make no sense.
pub fn build(name: &str, spec: &SinkSpec) -> Result<Box<dyn NotificationSink>, SinkError> {
    Ok(match spec {
        SinkSpec::Stdout => Box::new(StdoutSink::new(name)),
        SinkSpec::File { path } => Box::new(FileSink::new(name, path)?),
        SinkSpec::Webhook { url, secret, timeout } => Box::new(WebhookSink::new(name, url, secret.clone(), *timeout)?),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn notification(number: u64) -> Notification {
        Notification {
            key: format!("group/g-{number}"),
            severity: Severity::Critical,
            title: "2 agents died".to_owned(),
            text: "a and b were killed by signal 9".to_owned(),
            agents: vec!["a".into(), "b".into()],
            group: Some(format!("g-{number}").as_str().into()),
            supervisor: "root".into(),
            at: Stamp(1_700_000_000_000_000_000),
            sinks: None,
        }
    }

    #[test]
    fn one_line_with_its_key() {
        let notification = notification(3);
        let line = NotificationDoc::new(&notification).to_line();
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["key"], "group/g-3");
        assert_eq!(value["severity"], "CRITICAL");
        assert_eq!(value["ts"], "2023-11-14T22:13:20Z");
        assert_eq!(value["agents"], serde_json::json!(["a", "b"]));
        assert_eq!(value["supervisor"], "root");
        assert!(!line.contains('\n'));
    }
}
