//! The binary's parts: what was typed ([`cli`], [`config`]), what it means to a running node ([`wire`]), and with what
//! number it ends ([`exit`]). A library only so that tests and chores can use it.

pub mod ask;
pub mod cli;
pub mod compare;
pub mod config;
pub mod exit;
pub mod import;
pub mod ledger;
pub mod log;
pub mod nodes;
pub mod reach;
pub mod redecide;
pub mod shown;
pub mod source;
pub mod stored;
pub mod top;
pub mod wire;
