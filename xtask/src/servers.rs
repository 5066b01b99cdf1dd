//! Servers and tools that tests stand on, from the distribution's packages; and a tool that asks the API, from Python's.
//!
//! Tests start them for themselves, on free ports and in folders of their own. Here they are only installed, where that can be
//! done; a test whose server is missing fails in CI and says `NOT RUN` elsewhere.

use std::path::Path;
use std::process::{Command, Stdio};

/// A program and the package that has it.
const SERVERS: &[(&str, &str)] = &[
    ("mosquitto", "mosquitto"),
    ("etcd", "etcd-server"),
    ("pg_createcluster", "postgresql"),
    // Hosts of failover's tests are network namespaces.
    ("ip", "iproute2"),
    ("haproxy", "haproxy"),
    ("faketime", "faketime"),
    // Kills the real binary at each of its steps.
    ("strace", "strace"),
    // Checks the packaged rules, and scrapes a pair.
    ("promtool", "prometheus"),
];

/// Installs what is missing, as root on a machine with apt. Never a failure by itself: the tests say what they miss.
pub(crate) fn install() {
    let missing: Vec<&str> = SERVERS.iter().filter(|(program, _)| !has(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return;
    }
    let names = missing.join(" ");
    if !is_root() || !has("apt-get") {
        println!("MISSING for tests of sources: {names}; install them: apt-get install {names}");
        return;
    }
    println!("installing for tests of sources: {names}");
    // The lists may be there, and old: they are fetched only when that is needed.
    if !(apt(&missing) || run(&["update", "-qq"]) && apt(&missing)) {
        println!("NOT INSTALLED: {names}");
    }
}

/// A tool that asks an API whatever its OpenAPI document allows; the tests of the API look for it there.
const ASKER: Tool = Tool { name: "schemathesis", package: "schemathesis", program: "schemathesis", tests: "the API" };
/// A server that speaks S3; the tests of journals in buckets look for it there.
const BUCKETS: Tool = Tool { name: "moto", package: "moto[server]", program: "moto_server", tests: "buckets" };

/// Something of Python's packages.
struct Tool {
    /// Folder below the build folder.
    name: &'static str,
    package: &'static str,
    /// What is there when it is installed.
    program: &'static str,
    /// What it is for.
    tests: &'static str,
}

/// Puts the tools into Python environments of their own below the build folder, where they are missing and can be had. Never a failure by
/// itself: the tests say what they miss.
pub(crate) fn install_tools(root: &Path) {
    if !has(ASKER.program) {
        install_tool(root, &ASKER);
    }
    install_tool(root, &BUCKETS);
}

fn install_tool(root: &Path, tool: &Tool) {
    let folder = root.join("target").join(tool.name);
    if folder.join("bin").join(tool.program).is_file() {
        return;
    }
    println!("installing for tests of {}: {}", tool.tests, tool.package);
    let quiet = |program: &Path, arguments: &[&str]| {
        let status = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    };
    let made = quiet(Path::new("python3"), &["-m", "venv", &folder.to_string_lossy()]);
    let pip = folder.join("bin").join("pip");
    let arguments =
        ["install", "--quiet", "--disable-pip-version-check", "--timeout", "20", "--retries", "1", tool.package];
    if !(made && quiet(&pip, &arguments)) {
        println!("NOT INSTALLED: {}", tool.package);
    }
}

fn apt(packages: &[&str]) -> bool {
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(packages);
    run(&arguments)
}

fn run(arguments: &[&str]) -> bool {
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        // A package must not start its own server beside those of the tests.
        .env("RUNLEVEL", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/usr/bin"].map(Path::new).map(Path::to_owned);
    std::env::split_paths(&path).chain(more).any(|folder| folder.join(program).is_file())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
