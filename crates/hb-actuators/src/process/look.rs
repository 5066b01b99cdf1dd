//! The note that each child leaves about itself in the run folder before it becomes its program: by it a process is found whose
//! identity nobody could record any more.
//!
//! `AGENT.born` holds one line of our own, the spawn key, the boot, and the child's `/proc/PID/stat` of that moment. The child writes it itself, so
//! whatever has become a program has a whole note.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use hb_core::ids::AgentId;
use hb_core::supervise::agent::Identity;

use super::proc;

/// What it is, and in which form.
const FIRST: &str = "hb born 1";

fn file(run_dir: &Path, agent: &AgentId) -> std::path::PathBuf {
    run_dir.join(format!("{agent}.born"))
}

/// Where the child of an agent writes it.
pub(super) fn path(run_dir: &Path, agent: &AgentId) -> Result<CString, String> {
    let path = file(run_dir, agent).into_os_string().into_vec();
    CString::new(path).map_err(|_| "the path of the run folder holds a byte 0".to_owned())
}

/// What stands before the child's own part.
pub(super) fn head(key: &str, boot: &str) -> Vec<u8> {
    format!("{FIRST}\n{key}\n{boot}\n").into_bytes()
}

/// Who was started with this key, whether or not he is still there.
pub(super) fn noted(run_dir: &Path, agent: &AgentId, key: &str, boot: &str) -> Option<Identity> {
    let path = file(run_dir, agent);
    // Reading anything else than a file could take for ever.
    fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file)?;
    let bytes = fs::read(path).ok()?;
    let mut lines = bytes.splitn(4, |byte| *byte == b'\n');
    let same = [FIRST, key, boot].iter().all(|expected| lines.next() == Some(expected.as_bytes()));
    // Without its end it may be cut in the middle of a number; after it may stand something older.
    let rest = lines.next().filter(|rest| same && rest.contains(&b'\n'))?;
    let rest = rest.split(|byte| *byte == b'\n').next()?;
    let pid = std::str::from_utf8(rest.split(|byte| *byte == b' ').next()?).ok()?.parse().ok()?;
    Some(Identity { pid, start_ticks: proc::parse(rest)?.start_ticks, boot: boot.to_owned() })
}

/// The agent is forgotten.
pub(super) fn forget(run_dir: &Path, agent: &AgentId) {
    match fs::remove_file(file(run_dir, agent)) {
        Err(fault) if fault.kind() != io::ErrorKind::NotFound => {
            tracing::debug!(%agent, %fault, "a note stays behind");
        }
        Ok(()) | Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_note_of_that_key_and_boot_counts() {
        let folder = tempfile::tempdir().unwrap();
        let agent = AgentId::from("a");
        let (own, boot) = (std::process::id(), proc::boot().unwrap());
        let stat = fs::read(proc::folder(own).join("stat")).unwrap();
        let note = [head("k1", &boot), stat].concat();
        fs::write(file(folder.path(), &agent), &note).unwrap();
        let found = noted(folder.path(), &agent, "k1", &boot).unwrap();
        assert!(found.pid == own && proc::is(&found, &boot));
        assert_eq!(noted(folder.path(), &agent, "k", &boot), None);
        assert_eq!(noted(folder.path(), &agent, "k1", "another"), None);
        fs::write(file(folder.path(), &agent), [&note[..], b" 7 8 9\n"].concat()).unwrap();
        assert_eq!(noted(folder.path(), &agent, "k1", &boot), Some(found));
        for cut in 0..note.len() {
            fs::write(file(folder.path(), &agent), &note[..cut]).unwrap();
            assert_eq!(noted(folder.path(), &agent, "k1", &boot), None);
        }
        forget(folder.path(), &agent);
        assert_eq!(noted(folder.path(), &agent, "k1", &boot), None);
    }
}
