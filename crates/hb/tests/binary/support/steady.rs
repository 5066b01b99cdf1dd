//! One node at work on telemetry that keeps coming, to see what a disturbance does to it.

use super::journal::{self, Reader};
use super::mount::Mount;
use super::node::Node;
use super::project::Project;
use super::writer::Writer;
use super::{telemetry, until};

pub(crate) struct Steady {
    /// What the project's folder may stand on: undone before that is removed.
    pub(crate) mount: Option<Mount>,
    pub(crate) project: Project,
    pub(crate) node: Node,
    pub(crate) reader: Reader,
    writer: Writer,
    settings: String,
}

impl Steady {
    /// At work, a few cycles decided, and ready.
    pub(crate) fn start(more: &str) -> Self {
        Self::on(Project::new, more)
    }

    /// The same on a project that is made in a special way.
    pub(crate) fn on(project: impl Fn(&str) -> Project, more: &str) -> Self {
        let settings = format!("{}alert_sinks: [file]\n{more}", telemetry::SETTINGS);
        let project = project(&settings);
        let writer = Writer::start(&project);
        let node = project.start("a");
        let reader = Reader::open(&project.output);
        let mut steady = Self { mount: None, project, node, reader, writer, settings };
        steady.cycles(3);
        steady.ready();
        steady
    }

    /// Waits for `more` cycles.
    pub(crate) fn cycles(&mut self, more: usize) {
        self.reader.poll();
        let goal = self.reader.cycles() + more;
        until("the watch goes on", || {
            assert!(self.node.has_ended().is_none(), "the node has ended:\n{}", self.node.log());
            self.reader.poll();
            (self.reader.cycles() >= goal).then_some(())
        });
    }

    /// Waits until it is not ready for this check; gives what the check says.
    pub(crate) fn not_ready(&mut self, check: &str) -> String {
        let mut last = String::new();
        let said = super::within(super::GENEROUS, || {
            let answer = self.node.get("/ready");
            last.clone_from(&answer.body);
            let what = answer.json()["checks"][check].as_str()?.to_owned();
            if what == "ok" {
                return None;
            }
            assert_eq!(answer.status, 503, "{last}");
            assert_eq!(answer.json()["ready"], false);
            Some(what)
        });
        said.unwrap_or_else(|| panic!("/ready never named {check}: {last}"))
    }

    /// Waits until it is ready (again).
    pub(crate) fn ready(&mut self) {
        let mut last = String::new();
        let ready = super::within(super::GENEROUS, || {
            let answer = self.node.get("/ready");
            last = answer.body;
            (answer.status == 200).then_some(())
        });
        assert!(ready.is_some(), "it never was ready: {last}");
    }

    /// Stops it, decides the rest, and compares with an undisturbed run over the same bytes.
    pub(crate) fn finish(mut self) {
        assert_eq!(self.node.stop(), 0, "{}", self.node.log());
        let bytes = self.writer.finish();
        self.project.once("a");
        self.reader.poll();
        journal::assert_whole(&self.reader.records);
        let undisturbed = Project::new(&self.settings);
        undisturbed.feed(bytes);
        undisturbed.once("a");
        journal::assert_same_decisions(&self.reader.records, &journal::read(&undisturbed.output));
    }
}
