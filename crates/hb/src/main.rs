//! The binary.

fn main() -> std::process::ExitCode {
    hb::cli::main().into()
}
