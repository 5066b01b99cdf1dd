//! The documents of the API, where they are not those of the core itself. Their fields are a promise: fields may be added, none is
//! renamed or removed.

pub(crate) mod agent;
pub(crate) mod policy;
pub(crate) mod presence;
pub(crate) mod supervisor;
