//! Alerts as lines on standard output.

use std::io::{self, Stdout, Write};

use hb_core::supervise::alert::Notification;
use hb_core::watch::alert::Alert;

use super::document::AlertDoc;
use super::{AlertSink, Delivery, NotificationDoc, NotificationSink};

/// What stands before the JSON document.
const PREFIX: &str = "HB_ALERT ";

/// Writes each alert as one line. Blocks for as long as whoever reads the output does not read.
#[derive(Debug)]
pub struct StdoutSink<W = Stdout> {
    name: String,
    out: W,
}

impl StdoutSink {
    /// The sink called `name` on this process's standard output.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), out: io::stdout() }
    }
}

impl<W: Write + Send> AlertSink for StdoutSink<W> {
    fn name(&self) -> &str {
        &self.name
    }

    fn deliver(&mut self, alert: &Alert, report: Option<&str>) -> Delivery {
        self.write(&AlertDoc::new(alert, report).to_line())
    }
}

impl<W: Write + Send> NotificationSink for StdoutSink<W> {
    fn name(&self) -> &str {
        &self.name
    }

    fn tell(&mut self, notification: &Notification) -> Delivery {
        self.write(&NotificationDoc::new(notification).to_line())
    }
}

impl<W: Write> StdoutSink<W> {
    fn write(&mut self, document: &str) -> Delivery {
        let line = format!("{PREFIX}{document}\n");
        // One write, so that lines of others cannot stand in its middle.
        match self.out.write_all(line.as_bytes()).and_then(|()| self.out.flush()) {
            Ok(()) => Delivery::Done,
            Err(fault) if fault.kind() == io::ErrorKind::BrokenPipe => Delivery::GiveUp {
                why: "nobody reads standard output any more: use a file or webhook sink where alerts must arrive"
                    .to_owned(),
            },
            Err(fault) => Delivery::retry(format!("standard output: {fault}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::tests::alert;
    use super::*;

    #[derive(Default)]
    struct Broken(Option<io::ErrorKind>, Vec<u8>);

    impl Write for Broken {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Some(kind) = self.0 {
                return Err(kind.into());
            }
            self.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn one_line_with_prefix() {
        let mut sink = StdoutSink { name: "stdout".to_owned(), out: Vec::new() };
        assert_eq!(sink.deliver(&alert(3), None), Delivery::Done);
        let text = String::from_utf8(sink.out).unwrap();
        assert!(text.starts_with("HB_ALERT {\"ts\":") && text.ends_with("}\n") && text.lines().count() == 1, "{text}");
    }

    #[test]
    fn a_closed_pipe_is_given_up_and_other_faults_are_retried() {
        let mut sink =
            StdoutSink { name: "stdout".to_owned(), out: Broken(Some(io::ErrorKind::BrokenPipe), Vec::new()) };
        assert!(matches!(sink.deliver(&alert(3), None), Delivery::GiveUp { .. }));
        sink.out.0 = Some(io::ErrorKind::StorageFull);
        assert!(matches!(sink.deliver(&alert(3), None), Delivery::Retry { .. }));
        sink.out.0 = None;
        assert_eq!(sink.deliver(&alert(3), None), Delivery::Done);
    }
}
