//! Starts a program: a child that borrows our memory until it has become the program (`clone` with `CLONE_VM | CLONE_VFORK`, as
//! `posix_spawn` does), so that the cost does not grow with our size; with a session of its own, limits, another user and a control
//! group, which `posix_spawn` does not offer.
//!
//! **Invariants.** Between `clone` and `execve` the child calls nothing but system calls, allocates nothing, takes no lock and writes
//! nothing but its own [`Plan`]. The calling thread stands still meanwhile, with all signals blocked, so no handler of ours runs in the
//! child. What the child opens is closed at `execve`.

use std::ffi::{CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

use nix::libc;

/// Bytes of the child's stack; it needs a few hundred.
const STACK_BYTES: usize = 64 * 1024;
/// Most bytes of `/proc/self/stat` that are copied.
const STAT_BYTES: usize = 1024;
/// Signals that there are.
const SIGNALS: c_int = 64;
/// What stands before the child's own pid.
const WATCHDOG_PID: &[u8] = b"WATCHDOG_PID=";
/// Room for a pid in decimal and its end.
const PID_ROOM: usize = 12;

/// Which limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// `RLIMIT_NOFILE`.
    OpenFiles,
    /// `RLIMIT_NPROC`.
    Processes,
    /// `RLIMIT_CORE`, bytes.
    Core,
    /// `RLIMIT_AS`, bytes.
    AddressSpace,
    /// `RLIMIT_CPU`, seconds.
    Cpu,
}

/// A limit to be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rlimit {
    /// Which.
    pub resource: Resource,
    /// What is in force.
    pub soft: u64,
    /// Up to where the program may raise it.
    pub hard: u64,
}

/// Whom to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// All groups.
    pub groups: Vec<u32>,
}

/// A file that the child writes about itself before it becomes the program: `head`, then its `/proc/self/stat`, which is one line. It is written over what
/// is there, so something older may follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Where.
    pub path: CString,
    /// Its first bytes.
    pub head: Vec<u8>,
}

/// What is to be started, and how.
#[derive(Debug)]
pub struct Launch {
    /// The program's file.
    pub program: CString,
    /// Its arguments, the first being its name.
    pub args: Vec<CString>,
    /// Its whole environment, `NAME=VALUE` each.
    pub env: Vec<CString>,
    /// Whether `WATCHDOG_PID` with its own pid is added to the environment.
    pub watchdog_pid: Option<WatchdogPid>,
    /// Working directory; ours when absent.
    pub cwd: Option<CString>,
    /// Standard input.
    pub stdin: OwnedFd,
    /// Standard output and standard error.
    pub output: OwnedFd,
    /// Limits.
    pub limits: Vec<Rlimit>,
    /// Another user.
    pub ids: Option<Ids>,
    /// `cgroup.procs` of the control group that it joins, open for writing.
    pub cgroup: Option<OwnedFd>,
    /// What it writes about itself.
    pub note: Option<Note>,
}

/// The child is to be told its own pid as `WATCHDOG_PID`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchdogPid;

/// It runs: the program's file was taken by the kernel.
#[derive(Debug)]
pub struct Launched {
    /// Its number, ours to reap.
    pub pid: u32,
    /// Itself.
    pub pidfd: OwnedFd,
    /// Whether its note was written; trivially true when none was asked for.
    pub noted: bool,
}

/// Where it came to grief.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// No child could be made.
    Clone,
    /// No session of its own.
    Session,
    /// It could not join its control group.
    Cgroup,
    /// A limit could not be set.
    Limit(Resource),
    /// It could not become the other user.
    User,
    /// It could not enter its working directory.
    Cwd,
    /// Standard input and output could not be put in place.
    Output,
    /// The program's file was not taken by the kernel.
    Program,
}

/// Nothing was started, and nothing is left.
#[derive(Debug)]
pub struct Fault {
    /// Where.
    pub stage: Stage,
    /// Why.
    pub error: io::Error,
}

/// Room for the child's stack, to be used again and again.
#[derive(Debug)]
pub struct Stack(Box<[u128]>);

impl Stack {
    /// Makes room.
    #[must_use]
    pub fn new() -> Self {
        Self(vec![0; STACK_BYTES / size_of::<u128>()].into_boxed_slice())
    }

    /// The end of it, where a stack that grows downwards begins; aligned to 16 bytes as its elements are.
    fn top(&mut self) -> *mut c_void {
        self.0.as_mut_ptr_range().end.cast()
    }
}

impl Default for Stack {
    fn default() -> Self {
        Self::new()
    }
}

/// All that the child needs, in memory that both see.
struct Plan<'a> {
    launch: &'a Launch,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    watchdog: [u8; WATCHDOG_PID.len() + PID_ROOM],
    /// The head of the note, and room for the rest.
    note: Vec<u8>,
    noted: bool,
    failed: Option<(Stage, c_int)>,
}

impl Launch {
    /// Starts it. Returns once the kernel has taken the program's file, so a fault in it is told here.
    ///
    /// # Errors
    /// Where and why it failed; nothing runs then, and nothing is left to be reaped.
    pub fn start(&self, stack: &mut Stack) -> Result<Launched, Fault> {
        let mut plan = Plan {
            launch: self,
            argv: pointers(&self.args),
            envp: pointers(&self.env),
            watchdog: [0; WATCHDOG_PID.len() + PID_ROOM],
            note: self.note.iter().flat_map(|note| note.head.iter().copied().chain([0; STAT_BYTES])).collect(),
            noted: self.note.is_none(),
            failed: None,
        };
        if self.watchdog_pid.is_some() {
            // In front of the null at the end. The child fills it in before anybody reads it.
            plan.envp.insert(0, plan.watchdog.as_ptr().cast());
        }
        let (pid, pidfd) = clone_child(&mut plan, stack).map_err(|error| Fault { stage: Stage::Clone, error })?;
        if let Some((stage, errno)) = plan.failed {
            reap(pid);
            return Err(Fault { stage, error: io::Error::from_raw_os_error(errno) });
        }
        Ok(Launched { pid: pid.unsigned_abs(), pidfd, noted: plan.noted })
    }
}

/// Pointers to each, and a null after the last.
fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
}

fn clone_child(plan: &mut Plan<'_>, stack: &mut Stack) -> io::Result<(libc::pid_t, OwnedFd)> {
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    let mut pidfd: c_int = -1;
    let before = block_signals()?;
    // SAFETY: `run` is given the plan, which outlives the child's use of it because CLONE_VFORK holds this thread until the child has
    // executed the program or ended; so does the stack, which is only the child's meanwhile. `run` keeps to the invariants above.
    // CLONE_PIDFD makes the kernel write one int to the fifth argument.
    let pid = unsafe { libc::clone(run, stack.top(), flags, ptr::from_mut(plan).cast::<c_void>(), &raw mut pidfd) };
    let fault = io::Error::last_os_error();
    restore_signals(&before);
    if pid < 0 {
        return Err(fault);
    }
    // SAFETY: the kernel has just opened it for us, and nobody else knows of it.
    Ok((pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

fn block_signals() -> io::Result<libc::sigset_t> {
    let mut before = empty_set();
    let mut all = empty_set();
    // SAFETY: fills a set that is ours.
    unsafe { libc::sigfillset(&raw mut all) };
    // SAFETY: both sets are ours and live through the call.
    let done = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before) };
    if done == 0 { Ok(before) } else { Err(io::Error::from_raw_os_error(done)) }
}

fn restore_signals(before: &libc::sigset_t) {
    // SAFETY: the set is a valid one, which the kernel gave us. The call can only fail for a wrong first argument.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before, ptr::null_mut()) };
}

fn empty_set() -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the call makes the set an empty one, whatever it was.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: it is one now.
    unsafe { set.assume_init() }
}

/// A child that ended before it became anything.
fn reap(pid: libc::pid_t) {
    // SAFETY: takes numbers and a null pointer. The child has ended, so this does not wait; `EINTR` cannot come of it.
    unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
}

/// The child. Gives its exit status where it fails, which [`reap`] throws away.
extern "C" fn run(argument: *mut c_void) -> c_int {
    // SAFETY: `clone_child` gave us a pointer to a plan that lives, and its thread stands still, so we are the only one to use it.
    let plan = unsafe { &mut *argument.cast::<Plan<'_>>() };
    plan.failed = Some(plan.become_program());
    127
}

impl Plan<'_> {
    /// Returns only where it fails, and then where and why.
    fn become_program(&mut self) -> (Stage, c_int) {
        default_handlers();
        let steps = [Self::session, Self::cgroup, Self::note, Self::limits, Self::user, Self::cwd, Self::files];
        for step in steps {
            if let Err(stage) = step(self) {
                return (stage, errno());
            }
        }
        self.watchdog();
        let empty = empty_set();
        // SAFETY: the set is ours; the child is one thread, and no handler of ours is left.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, ptr::null_mut()) };
        let program = self.launch.program.as_ptr();
        // SAFETY: the three point to texts that end in a null byte and to lists that end in a null pointer, made by `start`.
        unsafe { libc::execve(program, self.argv.as_ptr(), self.envp.as_ptr()) };
        (Stage::Program, errno())
    }

    fn session(&mut self) -> Result<(), Stage> {
        // SAFETY: takes nothing.
        at(Stage::Session, unsafe { libc::setsid() }.into())
    }

    fn cgroup(&mut self) -> Result<(), Stage> {
        let Some(procs) = &self.launch.cgroup else { return Ok(()) };
        // SAFETY: one byte of a constant; "0" means whoever writes it.
        at(Stage::Cgroup, unsafe { libc::write(procs.as_raw_fd(), c"0".as_ptr().cast(), 1) } as i64)
    }

    /// Without a note the program can still be found by its environment, so a fault is told and is no reason to stop. One write of everything over what
    /// is there: a file that is cut first costs some file systems a write to the disk.
    fn note(&mut self) -> Result<(), Stage> {
        let Some(note) = &self.launch.note else { return Ok(()) };
        // SAFETY: the path is a constant that ends in a null byte.
        let own = unsafe { libc::open(c"/proc/self/stat".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
        let Some(room) = self.note.get_mut(note.head.len()..) else { return Ok(()) };
        // SAFETY: the buffer is as long as is said. A descriptor of -1 gives an error and nothing else.
        let got = unsafe { libc::read(own, room.as_mut_ptr().cast(), room.len()) };
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_CLOEXEC | libc::O_NOFOLLOW;
        // SAFETY: the path ends in a null byte.
        let file = unsafe { libc::open(note.path.as_ptr(), flags, 0o600) };
        let length = note.head.len() + usize::try_from(got).unwrap_or(0);
        // SAFETY: at most as many bytes as the buffer has.
        let written = unsafe { libc::write(file, self.note.as_ptr().cast(), length) };
        // SAFETY: our own, or -1.
        unsafe { libc::close(own) };
        // SAFETY: our own, or -1.
        unsafe { libc::close(file) };
        self.noted = got > 0 && usize::try_from(written) == Ok(length);
        Ok(())
    }

    fn limits(&mut self) -> Result<(), Stage> {
        for limit in &self.launch.limits {
            let pair = libc::rlimit { rlim_cur: limit.soft, rlim_max: limit.hard };
            let which = match limit.resource {
                Resource::OpenFiles => libc::RLIMIT_NOFILE,
                Resource::Processes => libc::RLIMIT_NPROC,
                Resource::Core => libc::RLIMIT_CORE,
                Resource::AddressSpace => libc::RLIMIT_AS,
                Resource::Cpu => libc::RLIMIT_CPU,
            };
            // SAFETY: the pair is ours and lives through the call.
            at(Stage::Limit(limit.resource), unsafe { libc::setrlimit(which, &raw const pair) }.into())?;
        }
        Ok(())
    }

    /// By plain system calls: the C library's wrappers would make all threads of the process do the same, and its memory is not ours.
    fn user(&mut self) -> Result<(), Stage> {
        let Some(ids) = &self.launch.ids else { return Ok(()) };
        // SAFETY: the list is as long as is said.
        at(Stage::User, unsafe { libc::syscall(libc::SYS_setgroups, ids.groups.len(), ids.groups.as_ptr()) })?;
        // SAFETY: takes numbers.
        at(Stage::User, unsafe { libc::syscall(libc::SYS_setresgid, ids.gid, ids.gid, ids.gid) })?;
        // SAFETY: takes numbers.
        at(Stage::User, unsafe { libc::syscall(libc::SYS_setresuid, ids.uid, ids.uid, ids.uid) })
    }

    fn cwd(&mut self) -> Result<(), Stage> {
        let Some(cwd) = &self.launch.cwd else { return Ok(()) };
        // SAFETY: the path ends in a null byte.
        at(Stage::Cwd, unsafe { libc::chdir(cwd.as_ptr()) }.into())
    }

    /// 0, 1 and 2 in place, everything else closed at `execve`, also what some library has opened without saying so.
    fn files(&mut self) -> Result<(), Stage> {
        let output = self.launch.output.as_raw_fd();
        for (from, to) in [(self.launch.stdin.as_raw_fd(), 0), (output, 1), (output, 2)] {
            // SAFETY: takes numbers; the child has its own table of descriptors.
            at(Stage::Output, unsafe { libc::dup2(from, to) }.into())?;
        }
        // SAFETY: takes numbers. Where the kernel is older than 5.11 it does nothing, and each descriptor of ours is close-on-exec anyhow.
        unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
        Ok(())
    }

    fn watchdog(&mut self) {
        // SAFETY: takes nothing.
        let mut pid = unsafe { libc::getpid() }.unsigned_abs();
        let mut digits = [0u8; PID_ROOM];
        let mut count = 0;
        for digit in &mut digits {
            *digit = b'0' + u8::try_from(pid % 10).unwrap_or(0);
            pid /= 10;
            count += 1;
            if pid == 0 {
                break;
            }
        }
        let number = digits.iter().take(count).rev();
        for (to, from) in self.watchdog.iter_mut().zip(WATCHDOG_PID.iter().chain(number)) {
            *to = *from;
        }
    }
}

/// Everything back to what it is without us: a program must not inherit that we ignore SIGPIPE, nor that whoever started us ignored something. By the
/// plain system call: the C library keeps two signals for itself, and would leave them as they are.
fn default_handlers() {
    // Handler, flags, restorer and mask, of which all zeroes mean the default; with room for whatever order a machine has them in.
    let default = [0u64; 8];
    for signal in 1..=SIGNALS {
        let nothing = ptr::null_mut::<c_void>();
        // SAFETY: sets a handler of the child alone, which has its own table. The structure is at least as long as the kernel's, whose mask has
        // eight bytes. What may not be set is refused.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), nothing, size_of::<u64>()) };
    }
}

fn at(stage: Stage, done: i64) -> Result<(), Stage> {
    if done < 0 { Err(stage) } else { Ok(()) }
}

fn errno() -> c_int {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}
