//! Does the runbook hold as it is written? Its lines that are marked as tried are run, one after the other, on a host with a node.

use std::fs;
use std::process::Command;

use crate::pair::{Plan, Site};
use crate::stores::Pair;
use crate::support::project::{HB, told};

const RUNBOOK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ops/failover.md");

/// Lines of blocks that follow the mark.
fn tried() -> Vec<String> {
    let text = fs::read_to_string(RUNBOOK).unwrap();
    let blocks = text.split("<!-- tried -->\n```sh\n").skip(1);
    let lines = blocks.flat_map(|rest| rest.split("```").next().unwrap_or_default().lines());
    lines.map(str::to_owned).collect()
}

#[test]
fn the_runbook_holds_as_it_is_written() {
    let Some(mut site) = Site::start("the runbook", Pair::PostgresEtcd, &Plan::default()) else { return };
    site.warm();
    let lines = tried();
    assert!(lines.len() >= 8, "{lines:?}");
    let folder = std::path::Path::new(HB).parent().unwrap().to_owned();
    let path = std::env::var("PATH").unwrap_or_default();
    for line in lines {
        let member = &site.members[1];
        let mut command = Command::new("sh");
        // Where `hb.yaml` is.
        command.args(["-ec", &line]).current_dir(member.project.dir());
        command.env("PATH", format!("{}:{path}", folder.display()));
        let output = member.host.within(move || command.output().unwrap());
        site.timeline.note(format!("{line}\n{}", told(&output)));
        assert!(output.status.success(), "{line}: {}\n{}", output.status, told(&output));
        if line.starts_with("hb pause") || line.starts_with("hb status") {
            assert!(!told(&output).is_empty());
        }
        // A switchover waits until a standby is ready for it.
        if line.starts_with("hb switchover") {
            site.warm();
        }
    }
    site.finish();
}
