//! Is it well? Samples become windows, windows become summaries, summaries and a baseline become a decision.
//!
//! Everything here is a function of its arguments (W2). Nothing here knows of positions, records or leases.

pub mod alert;
pub mod baseline;
pub mod compare;
pub mod decide;
pub mod decision;
pub mod detect;
pub mod judge;
pub mod learner;
mod lesson;
pub mod line;
mod notes;
mod pool;
pub mod registry;
pub mod sample;
pub mod settings;
pub mod summary;
mod tally;
mod unit_table;
pub mod units;
pub mod window;
mod wording;
