//! The original's baseline policy file: what of it holds here.

use super::checked::Approval;
use super::raw::{self, Node};
use super::reader::{Reader, is_name, plain, scalar};
use super::{Environment, Files};

/// What a policy file says that holds here.
#[derive(Debug, Default)]
pub struct Policy {
    /// `tag`.
    pub tag: Option<String>,
    /// `governance.require_approval`.
    pub approval: Option<Approval>,
}

/// Reads the file that `baseline_policy` or `HB_BASELINE_POLICY` names.
pub fn read(reader: &mut Reader<'_>, environment: &Environment, files: &mut Files) -> Policy {
    let from_file = reader.path("baseline_policy");
    let Some(path) = environment.get("HB_BASELINE_POLICY").map(Into::into).or(from_file) else {
        return Policy::default();
    };
    let bytes = match files.read(&path) {
        Ok(bytes) => bytes,
        Err(fault) => {
            reader.findings.fault(*fault);
            return Policy::default();
        }
    };
    let name = path.display().to_string();
    let Some((file, root)) = raw::parse(&name, &bytes, reader.findings) else { return Policy::default() };
    let tag = root.get("tag").and_then(|entry| scalar(&entry.value)).filter(|tag| is_name(tag)).map(str::to_owned);
    let approval = root.get("governance").and_then(|entry| entry.value.get("require_approval"));
    let approval = approval.and_then(|entry| match plain(&entry.value) {
        Some("true" | "True" | "yes" | "on") => Some(Approval::Required),
        Some("false" | "False" | "no" | "off") => Some(Approval::NotRequired),
        Some(_) | None => {
            let what = format!("{} is neither true nor false", entry.value.describe());
            let help = "`governance.require_approval` takes true or false";
            reader.findings.fault(raw::at(&file, entry.value.place, "governance.require_approval", &what, help));
            None
        }
    });
    mapping_or_fault(&file, &root, reader);
    Policy { tag, approval }
}

fn mapping_or_fault(file: &super::fault::SourceFile, root: &Node, reader: &mut Reader<'_>) {
    if root.entries().is_none() {
        let what = format!("a baseline policy is a mapping, this is {}", root.describe());
        reader.findings.fault(raw::at(
            file,
            root.place,
            "",
            &what,
            "leave `baseline_policy` out, or name the right file",
        ));
    }
}
