//! File systems that fill up, turn read-only, and break. They need root; where there is none, a test says that it was not run.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A mount, undone at the end.
pub(crate) struct Mount(PathBuf);

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{program} {}: {said}", args.join(" "))) }
}

fn name(dir: &Path) -> &str {
    dir.to_str().expect("folders of tests have plain names")
}

impl Mount {
    /// A file system of its own, of `megabytes`, at `dir`, which is made.
    pub(crate) fn small(dir: &Path, megabytes: u32) -> Result<Self, String> {
        std::fs::create_dir_all(dir).map_err(|error| error.to_string())?;
        run("mount", &["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs", name(dir)])?;
        Ok(Self(dir.to_owned()))
    }

    /// The same folder over itself, read-only.
    pub(crate) fn read_only(dir: &Path) -> Result<Self, String> {
        let name = name(dir);
        run("mount", &["--bind", name, name])?;
        let mount = Self(dir.to_owned());
        // While somebody has a file open for writing it is busy.
        let tried = super::within(super::GENEROUS, || match run("mount", &["-o", "remount,bind,ro", name]) {
            Err(why) if why.contains("busy") => None,
            ended => Some(ended),
        });
        tried.unwrap_or_else(|| Err(format!("{name} is busy all the time")))?;
        Ok(mount)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(what) = run("umount", &["-l", name(&self.0)]) {
            eprintln!("{what}");
        }
    }
}

/// A file system in a file, whose kernel can be told that it is broken: it turns read-only under whoever has files open on it.
pub(crate) struct Failing {
    image: PathBuf,
    dir: PathBuf,
    mounted: Option<Mount>,
}

impl Failing {
    /// Makes one at `dir`, in the file `image`.
    pub(crate) fn mount(image: &Path, dir: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(dir).map_err(|error| error.to_string())?;
        let file = std::fs::File::create(image).map_err(|error| error.to_string())?;
        file.set_len(48 << 20).map_err(|error| error.to_string())?;
        run("mkfs.ext4", &["-q", "-F", name(image)])?;
        let mut failing = Self { image: image.to_owned(), dir: dir.to_owned(), mounted: None };
        failing.attach()?;
        Ok(failing)
    }

    fn attach(&mut self) -> Result<(), String> {
        run("mount", &["-o", "loop,errors=remount-ro", name(&self.image), name(&self.dir)])?;
        self.mounted = Some(Mount(self.dir.clone()));
        Ok(())
    }

    /// From now on nothing can be written, whoever has it open.
    pub(crate) fn fail(&self) -> Result<(), String> {
        let mounts = std::fs::read_to_string("/proc/self/mounts").map_err(|error| error.to_string())?;
        let here = |line: &&str| line.split(' ').nth(1) == Some(name(&self.dir));
        let device = mounts.lines().find(here).and_then(|line| line.split(' ').next()?.strip_prefix("/dev/"));
        let device = device.ok_or("it is not mounted")?;
        let trigger = format!("/sys/fs/ext4/{device}/trigger_fs_error");
        std::fs::write(&trigger, "broken for a test").map_err(|error| format!("{trigger}: {error}"))
    }

    /// It is looked through and mounted again. Nobody may have files open on it.
    pub(crate) fn heal(&mut self) -> Result<(), String> {
        let gone = super::within(super::GENEROUS, || run("umount", &[name(&self.dir)]).ok());
        gone.ok_or("somebody has files open on it")?;
        if let Some(mount) = self.mounted.take() {
            std::mem::forget(mount);
        }
        let looked = Command::new("e2fsck").args(["-p", "-f", name(&self.image)]).output();
        let looked = looked.map_err(|error| format!("e2fsck: {error}"))?;
        // 1: faults were found and are mended.
        if !matches!(looked.status.code(), Some(0 | 1)) {
            return Err(format!("e2fsck ended with {}", looked.status));
        }
        self.attach()
    }
}

/// Says that a test was not run, and why.
pub(crate) fn not_run(test: &str, why: &str) {
    println!("NOT RUN {test}: {why}");
}
