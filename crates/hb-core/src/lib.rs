//! Decides; never acts.
//!
//! Everything that `hb` concludes is concluded here, from values handed in: no clock, no file, no socket, no thread,
//! no randomness, no async. The one entry point that changes state is [`node::Node::handle`]: give it what happened and
//! when, make durable what it returns, report back, and only then carry out the effects that it releases.
//!
//! **Direction.** `time`, `ids`, `mark`, `journal` know nothing of the rest; `watch`, `cycle`, `lease` and `supervise` do not know one
//! another; `node` is the only place where they meet.

pub mod cycle;
pub mod ids;
pub mod journal;
pub mod lease;
pub mod mark;
pub mod node;
pub mod supervise;
pub mod time;
pub mod watch;
