//! What a started program finds, how its end is told, and what is told when it cannot be started.

use hb_core::supervise::agent::Exit;
use serde_json::json;

use crate::stage::{Stage, key, of_agent, script, spec, stat, until};

#[test]
fn every_end_is_told_as_it_was_and_nothing_is_left() {
    let stage = Stage::new();
    for (name, text, exit) in [
        ("zero", "exit 0", Exit::Status(0)),
        ("seven", "exit 7", Exit::Status(7)),
        ("killed", "kill -9 $$", Exit::Signal(9)),
        ("segv", "kill -SEGV $$", Exit::Signal(11)),
    ] {
        let identity = stage.spawn(&script(name, text)).unwrap();
        assert_eq!(stage.exited(&identity), exit, "{name}");
        until("it is reaped", || {
            stat(identity.pid).is_none_or(|now| now[19] != identity.start_ticks.to_string()).then_some(())
        });
    }
    assert_eq!(stage.hands.as_ref().unwrap().figures().started, 4);
}

#[test]
fn what_cannot_be_started_is_told_with_advice_and_leaves_nothing() {
    let stage = Stage::new();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let plain = file("plain", "#!/bin/sh\n", 0o644);
    let garbage = file("garbage", "\u{1}\u{2}\u{3}", 0o755);
    let orphan = file("orphan", "#!/no/such/interpreter\n", 0o755);
    for (process, told) in [
        (json!({"command": ["/no/such/program"]}), "/no/such/program does not exist"),
        (json!({"command": ["no-such-program-at-all"]}), "in PATH"),
        (json!({"command": ["./relative"], "cwd": folder.path()}), "relative does not exist"),
        (json!({"command": [plain]}), "chmod +x"),
        (json!({"command": [folder.path()]}), "is a folder"),
        (json!({"command": [garbage]}), "not a program of this machine"),
        (json!({"command": [orphan]}), "first line (#!)"),
        (json!({"command": []}), "`command` is empty"),
        (json!({"command": ["sh", "a\u{0}b"]}), "byte 0"),
        (json!({"command": ["sh"], "cwd": "/no/such/folder"}), "/no/such/folder cannot be entered"),
        (json!({"command": ["sh"], "user": "no-such-user"}), "there is no user"),
    ] {
        let error = stage.spawn(&spec("faulty", process.clone())).unwrap_err();
        assert!(error.contains(told), "{process}: {error}");
    }
    assert_eq!(of_agent(&"faulty".into()), [0u32; 0]);
    assert_eq!(stage.hands.as_ref().unwrap().figures().started, 0);
    let nameless = stage.spawn(&script("../up", "exit 0")).unwrap_err();
    assert!(nameless.contains("name of a file"), "{nameless}");
}

#[test]
fn limits_that_cannot_be_enforced_are_refused_and_others_hold() {
    let stage = Stage::new();
    let limited =
        json!({"command": ["sh", "-c", "ulimit -n; ulimit -c; echo over"], "limits": {"open_files": 33, "core_mb": 0}});
    let limited = spec("limited", limited);
    let identity = stage.spawn(&limited).unwrap();
    assert_eq!(stage.exited(&identity), Exit::Status(0));
    assert_eq!(stage.log(&limited.id), "33\n0\nover\n");
    let grouped = spec("grouped", json!({"command": ["sleep", "1000"], "limits": {"memory_mb": 64}}));
    match stage.spawn(&grouped) {
        Ok(identity) => {
            let group = std::fs::read_to_string(format!("/proc/{}/cgroup", identity.pid)).unwrap();
            assert!(group.contains("hb-test/grouped"), "{group}");
            stage.end(&grouped, &identity);
        }
        Err(error) => {
            assert!(error.contains("limits.memory_mb cannot be enforced") && error.contains("Delegate=yes"), "{error}")
        }
    }
}

#[test]
fn a_program_gets_a_session_three_descriptors_and_its_own_variables() {
    let stage = Stage::new();
    // Open in us without close-on-exec, as a careless library would have it.
    let leaky = std::fs::File::open("/dev/zero").unwrap();
    let flags = nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty());
    nix::fcntl::fcntl(&leaky, flags).unwrap();
    let process = json!({
        "command": ["sh", "-c", "env; echo pid=$$; echo over; exec sleep 1000"],
        "env": {"ONE": "1 2", "HOME": "/nowhere"},
        "cwd": "/",
        "watchdog_sec": 1.5,
    });
    let spec = spec("own", process);
    let identity = stage.spawn(&spec).unwrap();
    let log = stage.log_with(&spec.id, "over");
    let pid = identity.pid;
    let socket = format!("NOTIFY_SOCKET={}/own.notify", stage.run_dir.display());
    for line in [
        "ONE=1 2",
        "HOME=/nowhere",
        "PWD=/",
        "HB_AGENT=own",
        "HB_INCARNATION=1",
        &format!("HB_SPAWN_KEY={}", key(&spec.id, 1)),
        "WATCHDOG_USEC=1500000",
        &format!("WATCHDOG_PID={pid}"),
        &format!("pid={pid}"),
        &socket,
    ] {
        assert!(log.lines().any(|said| said == line), "{line} in {log}");
    }
    assert!(!log.contains("HB_RECOVERY"));
    let fields = stat(pid).unwrap();
    assert_eq!((fields[2].as_str(), fields[3].as_str()), (pid.to_string().as_str(), pid.to_string().as_str()));
    assert_eq!(fields[19], identity.start_ticks.to_string());
    // A program that has just begun has its libraries open for a moment; what was inherited stays.
    until("three descriptors", || {
        let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let mut open: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        open.sort();
        (open == ["0", "1", "2"]).then_some(())
    });
    let target = |fd: u32| std::fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap();
    assert_eq!(target(0), std::path::Path::new("/dev/null"));
    assert!(target(1) == target(2) && target(1).ends_with("own.log"));
    stage.end(&spec, &identity);
    drop(leaky);
}

#[test]
fn signals_are_as_if_nobody_had_ignored_or_blocked_them() {
    let stage = Stage::new();
    // The runtime of this language ignores SIGPIPE; a program must not inherit that.
    let spec = script("plain", "grep -E '^Sig(Blk|Ign)' /proc/self/status; echo over");
    let identity = stage.spawn(&spec).unwrap();
    stage.exited(&identity);
    let log = stage.log(&spec.id);
    assert_eq!(log, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nover\n");
}

#[test]
fn another_user_is_become_or_refused() {
    let stage = Stage::new();
    let nobody = spec("other", json!({"command": ["sh", "-c", "id -u; id -G; echo $USER"], "user": "nobody"}));
    let started = stage.spawn(&nobody);
    if nix::unistd::geteuid().is_root() {
        let Some(user) = nix::unistd::User::from_name("nobody").unwrap() else { return };
        assert_eq!(stage.exited(&started.unwrap()), Exit::Status(0));
        let log = stage.log(&nobody.id);
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!((lines[0], lines[2]), (user.uid.to_string().as_str(), "nobody"), "{log}");
        assert!(lines[1].split(' ').all(|group| group != "0"), "{log}");
    } else {
        assert!(started.unwrap_err().contains("run hb as root"));
    }
}

#[test]
fn a_program_that_forks_and_ends_has_ended() {
    let stage = Stage::new();
    let spec = script("daemon", "setsid sleep 1000 & exit 0");
    let identity = stage.spawn(&spec).unwrap();
    assert_eq!(stage.exited(&identity), Exit::Status(0));
    // Whether it had a session of its own in time is the shell's affair; if it had, only a control group would have caught it.
    for pid in of_agent(&spec.id) {
        let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
        match nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
            Err(fault) => panic!("{fault}"),
        }
    }
}
