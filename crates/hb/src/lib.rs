//! The binary's parts: what was typed ([`cli`], [`config`]), what it means to a running node ([`wire`]), and with what
//! number it ends ([`exit`]). A library only so that tests and chores can use it.

pub mod cli;
pub mod config;
pub mod exit;
pub mod log;
pub mod wire;
