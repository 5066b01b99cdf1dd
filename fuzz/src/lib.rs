//! Everything that reads input from outside, as functions over bytes.
//!
//! A target takes any bytes, and panics where something does not hold that must hold for all bytes: what was read is written as what it was
//! read from, however the input is cut into pieces the same is read, a fault says where it is, nothing grows beyond its bound. Each
//! target is one file in `targets/`, its seeds are in `corpus/NAME/`. The tests of this crate replay the seeds and a fixed number of
//! changes of them; `cargo xtask fuzz` drives the same functions with a fuzzer that is led by coverage.

pub mod input;
mod room;
pub mod targets;

pub use room::Room;

/// One target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder of seeds.
    pub name: &'static str,
    /// What it reads, in words.
    pub about: &'static str,
    /// Takes any bytes.
    pub run: fn(&[u8]),
}

/// The target of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Target> {
    targets::ALL.iter().find(|target| target.name == name)
}
