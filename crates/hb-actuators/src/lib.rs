//! Carries out: brings alerts to people, starts and stops programs, asks and calls agents elsewhere.
//!
//! Nothing here decides whether something is to be done, or keeps what still has to be: both are the journal's. A sink gets
//! one alert at a time, blocks while it delivers, and says how it went. Alerts may be delivered twice, never not at all;
//! each carries a key by which a receiver tells a repetition (W6). Programs are started once, signalled only when they are certainly
//! the ones that are meant, and found again after a crash (S2).

pub mod alert_sink;
pub mod ask;
mod backoff;
#[doc(hidden)]
pub mod fuzzing;
pub mod process;
mod secret;
pub mod teller;
mod tls;

pub use alert_sink::{AlertSink, Delivery, NotificationSink, SinkError, SinkSpec};
pub use ask::Asker;
pub use backoff::Backoff;
pub use process::{Hands, HandsSettings, NotTaken};
pub use secret::Secret;
pub use teller::{Teller, TellerSink};
