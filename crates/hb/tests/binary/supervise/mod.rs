//! The supervisor of the real binary: A1 … A13, the join and bad programs, each with the fault really injected.
//!
//! Agents are real programs that write down each of their starts themselves, and notice a second one of their name beside them:
//! what hb says of them is held against what they say.
//!
//! | question | file |
//! |---|---|
//! | What do the tests stand on? | `site.rs`, `sound.rs`, `asking.rs` |
//! | Is what was acknowledged still there after any `kill -9`? (A1) | `state.rs` |
//! | Are children found again, and only they? (A2, A3) | `adopt.rs` |
//! | Does an intervention happen once? (A4) | `interventions.rs` |
//! | Do allowance and back-off survive? (A5) | `allowance.rs` |
//! | Does hb's own downtime count against anybody? (A6) | `silence.rs`, by HTTP `beats.rs` |
//! | Do groups of alerts survive? (A7) | `groups.rs` |
//! | Does PAUSED stay PAUSED, and what is over stay over? (A8) | `lifecycle.rs` |
//! | What are two supervisors worth? (A9) | `pair.rs` |
//! | What if the database is bad, full, locked or newer? (A10) | `database.rs`, spoiled by single bytes `spoiled.rs` |
//! | What does health say? (A11) | `health.rs` |
//! | How long until all are monitored? (A12) | `scale.rs` |
//! | What do stops leave behind? (A13) | `stop.rs` |
//! | Does a bad cycle lead to one restart? (join) | `join.rs` |
//! | What of programs that behave badly? | `bad_programs.rs` |
//! | Is what the API acknowledged kept, and who is to be asked? | `api.rs` |

mod adopt;
mod allowance;
mod api;
mod asking;
mod bad_programs;
mod beats;
mod database;
mod groups;
mod health;
mod interventions;
mod join;
mod lifecycle;
mod pair;
mod scale;
mod silence;
mod site;
mod sound;
mod spoiled;
mod state;
mod stop;
