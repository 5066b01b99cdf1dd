//! Starts the program of an agent: from its specification to what the kernel needs, and from the kernel's refusal to words that help.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hb_core::supervise::spec::{Limits, ProcessSpec};
use hb_sys::{Fault, Ids, Launch, Note, Resource, Rlimit, Stage, WatchdogPid};
use nix::unistd::{Uid, User};

/// Variables of ours that are not meant for agents: they speak of hb's own service manager.
pub(crate) const NOT_INHERITED: [&str; 11] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "FDSTORE",
    "HB_SPAWN_KEY",
    "HB_AGENT",
    "HB_INCARNATION",
    "HB_RECOVERY",
];
/// Where programs are looked for when the environment does not say.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Bytes of a megabyte.
const MB: u64 = 1 << 20;

/// What hb itself has, and gives on.
#[derive(Debug)]
pub(super) struct Own {
    /// Its environment.
    env: Vec<(OsString, OsString)>,
    /// Limit of open files as it was before hb raised its own.
    open_files: (u64, u64),
}

impl Own {
    /// Takes it down, and raises the limit of open files: each agent needs one or two of ours.
    pub(super) fn take() -> Self {
        use nix::sys::resource::{Resource as R, getrlimit, setrlimit};
        let env = std::env::vars_os().filter(|(name, _)| !NOT_INHERITED.iter().any(|not| name == not)).collect();
        let open_files = getrlimit(R::RLIMIT_NOFILE).unwrap_or((1024, 1024));
        if open_files.0 < open_files.1
            && let Err(fault) = setrlimit(R::RLIMIT_NOFILE, open_files.1, open_files.1)
        {
            tracing::warn!(%fault, "the limit of open files stays at {}", open_files.0);
        }
        Self { env, open_files }
    }
}

/// What a start adds to the specification.
#[derive(Debug)]
pub(super) struct Start<'a> {
    pub(super) process: &'a ProcessSpec,
    /// Variables of hb's for this incarnation.
    pub(super) env: Vec<(&'static str, OsString)>,
    pub(super) stdin: OwnedFd,
    pub(super) output: OwnedFd,
    pub(super) cgroup: Option<OwnedFd>,
    pub(super) note: Note,
}

/// Puts together what the kernel needs.
///
/// # Errors
/// What in the specification cannot be done, and what to do.
pub(super) fn launch(own: &Own, start: Start<'_>) -> Result<Launch, String> {
    let process = start.process;
    let person = process.user.as_deref().map(person).transpose()?.flatten();
    let env = environment(own, &start, person.as_ref());
    let first = process.command.first().ok_or("`command` is empty: give the program and its arguments")?;
    let path = env.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path.as_os_str());
    let program = resolve(first, path.unwrap_or(OsStr::new(PATH_DEFAULT)))?;
    let text = |what: &str, bytes: Vec<u8>| {
        CString::new(bytes).map_err(|_| format!("{what} holds a byte 0, which no program can be given"))
    };
    Ok(Launch {
        program: text("`command`", program.into_os_string().into_vec())?,
        args: process.command.iter().map(|arg| text("`command`", arg.clone().into())).collect::<Result<_, _>>()?,
        env: env
            .into_iter()
            .map(|(name, value)| text("`env`", [name.as_bytes(), b"=", value.as_bytes()].concat()))
            .collect::<Result<_, _>>()?,
        watchdog_pid: process.watchdog_sec.map(|_| WatchdogPid),
        cwd: process.cwd.as_ref().map(|cwd| text("`cwd`", cwd.clone().into())).transpose()?,
        stdin: start.stdin,
        output: start.output,
        limits: limits(&process.limits, own.open_files),
        ids: person.map(ids).transpose()?,
        cgroup: start.cgroup,
        note: Some(start.note),
    })
}

/// The user to become; none when that is who hb is already.
fn person(name: &str) -> Result<Option<User>, String> {
    let told = |fault: nix::Error| format!("user {name:?} cannot be looked up: {fault}");
    let mut found = User::from_name(name).map_err(told)?;
    if found.is_none()
        && let Ok(uid) = name.parse()
    {
        found = User::from_uid(Uid::from_raw(uid)).map_err(told)?;
    }
    let found =
        found.ok_or_else(|| format!("there is no user {name:?} on this system: create it, or change `user`"))?;
    let own = nix::unistd::geteuid();
    if found.uid == own {
        return Ok(None);
    }
    if !own.is_root() {
        return Err(format!(
            "hb runs as user {own} and may not become {name:?}: run hb as root, or leave `user` out so that the program runs as hb does"
        ));
    }
    Ok(Some(found))
}

/// The numeric user of a specification, for what belongs to it; ours when it cannot be told.
pub(super) fn uid(process: &ProcessSpec) -> u32 {
    let other = process.user.as_deref().and_then(|name| person(name).ok().flatten());
    other.map_or_else(nix::unistd::geteuid, |person| person.uid).as_raw()
}

fn ids(person: User) -> Result<Ids, String> {
    let name = CString::new(person.name.clone()).map_err(|_| "the user's name holds a byte 0")?;
    let groups = nix::unistd::getgrouplist(&name, person.gid)
        .map_err(|fault| format!("the groups of user {:?} cannot be looked up: {fault}", person.name))?;
    let groups = groups.into_iter().map(nix::unistd::Gid::as_raw).collect();
    Ok(Ids { uid: person.uid.as_raw(), gid: person.gid.as_raw(), groups })
}

/// Ours, then what a user has, then what the specification says, then what this incarnation is told.
fn environment(own: &Own, start: &Start<'_>, person: Option<&User>) -> Vec<(OsString, OsString)> {
    let user = person.into_iter().flat_map(|person| {
        let name = OsString::from(&person.name);
        let (home, shell) = (person.dir.clone().into_os_string(), person.shell.clone().into_os_string());
        [("HOME", home), ("USER", name.clone()), ("LOGNAME", name), ("SHELL", shell)]
    });
    let spec = start.process.env.iter().map(|(name, value)| (name.into(), value.into()));
    let over = user.map(|(name, value)| (name.into(), value)).chain(spec);
    let over = over.chain(start.env.iter().map(|(name, value)| ((*name).into(), value.clone())));
    let over: std::collections::BTreeMap<OsString, OsString> = over.collect();
    let kept = own.env.iter().filter(|(name, _)| !over.contains_key(name)).cloned();
    kept.chain(over.clone()).collect()
}

/// The file of a program: as it is when it holds a slash, else the first of that name in `PATH` that can be executed.
fn resolve(name: &str, path: &OsStr) -> Result<PathBuf, String> {
    if name.contains('/') {
        return Ok(name.into());
    }
    let mut refused = None;
    for folder in std::env::split_paths(path).filter(|folder| !folder.as_os_str().is_empty()) {
        let file = folder.join(name);
        match std::fs::metadata(&file) {
            Ok(found) if found.is_file() && found.permissions().mode() & 0o111 != 0 => return Ok(file),
            Ok(_) => refused = refused.or(Some(file)),
            Err(_) => {}
        }
    }
    Err(match refused {
        Some(file) => format!("{} is not executable: chmod +x it", file.display()),
        None => format!(
            "there is no program {name:?} in PATH ({}): install it, correct `command`, or give the full path",
            path.to_string_lossy()
        ),
    })
}

fn limits(limits: &Limits, open_files: (u64, u64)) -> Vec<Rlimit> {
    let both = |resource, value: Option<u64>| value.map(|value| Rlimit { resource, soft: value, hard: value });
    let files = Rlimit { resource: Resource::OpenFiles, soft: open_files.0, hard: open_files.1 };
    let bytes = |mb: Option<u64>| mb.map(|mb| mb.saturating_mul(MB));
    let set = [
        Some(both(Resource::OpenFiles, limits.open_files).unwrap_or(files)),
        both(Resource::Processes, limits.processes),
        both(Resource::Core, bytes(limits.core_mb)),
        both(Resource::AddressSpace, bytes(limits.address_space_mb)),
        both(Resource::Cpu, limits.cpu_sec),
    ];
    set.into_iter().flatten().collect()
}

/// A refusal of the kernel in words, with what to do.
pub(super) fn explain(fault: &Fault, process: &ProcessSpec, program: &Path) -> String {
    let error = &fault.error;
    match fault.stage {
        Stage::Clone => format!("no process can be made: {error}{}", many(error)),
        Stage::Session => format!("no session can be made: {error}"),
        Stage::Cgroup => format!("its control group cannot be joined: {error}"),
        Stage::Limit(resource) => {
            let (name, wanted) = limit(resource, &process.limits);
            format!(
                "limits.{name} = {wanted} cannot be set: {error}. It may not be above hb's own hard limit: lower it, or raise hb's"
            )
        }
        Stage::User => format!("it cannot run as user {:?}: {error}", process.user.as_deref().unwrap_or_default()),
        Stage::Cwd => {
            let cwd = process.cwd.as_deref().unwrap_or_default();
            format!(
                "its folder {cwd} cannot be entered: {error}. Create it and let the program's user enter it, or change `cwd`"
            )
        }
        Stage::Output => format!("its output cannot be put in place: {error}"),
        Stage::Program => refused(error, process, program),
    }
}

fn limit(resource: Resource, limits: &Limits) -> (&'static str, u64) {
    match resource {
        Resource::OpenFiles => ("open_files", limits.open_files.unwrap_or(0)),
        Resource::Processes => ("processes", limits.processes.unwrap_or(0)),
        Resource::Core => ("core_mb", limits.core_mb.unwrap_or(0)),
        Resource::AddressSpace => ("address_space_mb", limits.address_space_mb.unwrap_or(0)),
        Resource::Cpu => ("cpu_sec", limits.cpu_sec.unwrap_or(0)),
    }
}

fn many(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(nix::libc::EAGAIN) => {
            ". There are too many processes: raise the user's limit (LimitNPROC) or that of the control group (TasksMax)"
        }
        Some(nix::libc::EMFILE | nix::libc::ENFILE) => ". hb has too many open files: raise its limit (LimitNOFILE)",
        Some(nix::libc::ENOMEM) => ". The system is out of memory",
        Some(_) | None => "",
    }
}

fn refused(error: &io::Error, process: &ProcessSpec, program: &Path) -> String {
    // A relative program is looked for in its folder.
    let full = process.cwd.as_ref().map_or_else(|| program.to_owned(), |cwd| Path::new(cwd).join(program));
    let shown = full.display();
    match error.raw_os_error() {
        Some(nix::libc::ENOENT) if full.try_exists().unwrap_or(false) => {
            format!(
                "{shown} is there, but not what it is run by: look at its first line (#!), or whether it was built for this system"
            )
        }
        Some(nix::libc::ENOENT) => format!("{shown} does not exist: install it, or correct `command`"),
        Some(nix::libc::EACCES) if full.is_dir() => format!("{shown} is a folder: name a program in it"),
        Some(nix::libc::EACCES) => format!(
            "{shown} may not be executed ({error}): chmod +x it, let the program's user enter the folders above it, and look whether its file system is \
             mounted noexec"
        ),
        Some(nix::libc::ENOEXEC) => {
            format!("{shown} is not a program of this machine, nor a script with a first line like #!/bin/sh")
        }
        Some(nix::libc::E2BIG) => format!("{shown}: its arguments and environment are too long together"),
        Some(nix::libc::ETXTBSY) => format!("{shown} is being written to just now: try again when that is over"),
        Some(_) | None => format!("{shown} cannot be executed: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_in_path_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = std::env::join_paths([folder.path(), Path::new("/bin"), Path::new("/usr/bin")]).unwrap();
        assert!(resolve("sh", &path).unwrap().ends_with("sh"));
        assert_eq!(resolve("./x/y", &path).unwrap(), PathBuf::from("./x/y"));
        std::fs::write(folder.path().join("plain"), "").unwrap();
        assert!(resolve("plain", &path).unwrap_err().contains("not executable"));
        assert!(resolve("no-such-program", &path).unwrap_err().contains("install it"));
    }

    #[test]
    fn limits_of_ours_are_not_given_on() {
        let set = limits(&Limits { core_mb: Some(2), ..Limits::default() }, (1024, 4096));
        assert_eq!(set.len(), 2);
        assert_eq!(set[0], Rlimit { resource: Resource::OpenFiles, soft: 1024, hard: 4096 });
        assert_eq!(set[1], Rlimit { resource: Resource::Core, soft: 2 * MB, hard: 2 * MB });
    }

    #[test]
    fn unknown_users_are_told() {
        assert!(person("no-such-user-here").unwrap_err().contains("create it"));
    }
}
