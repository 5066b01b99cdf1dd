//! Leases between processes: `kill -9`, stopped and resumed holders, inherited descriptors, a standby's looks.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers as well")]

mod file;
mod holding;
mod register;
