//! Keeps: journals, leases and views.

pub mod port;
