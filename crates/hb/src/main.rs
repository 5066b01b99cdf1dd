//! The binary.

fn main() -> std::process::ExitCode {
    hb_sys::memory::give_large_blocks_back();
    hb::cli::main().into()
}
