//! Leases: one file per backend. A lease picks who works now, and may be wrong; the journal alone is safe (H1).

pub mod external;
pub mod file;
pub(crate) mod fuzzing;
mod lock;
mod orders;
pub mod register;
mod stamp;

pub(crate) use stamp::boottime;
