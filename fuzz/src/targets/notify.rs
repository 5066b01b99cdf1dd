//! Messages of `sd_notify`.

use hb_actuators::fuzzing::notified;
use hb_core::supervise::bounds::SAID_MAX;
use hb_core::supervise::input::Notified;

/// Messages, a NUL between them.
///
/// # Panics
/// When more is kept than one of each kind, or a status is longer than its bound or more than a line.
pub fn run(data: &[u8]) {
    let said = notified(data.split(|byte| *byte == 0));
    assert!(said.len() <= 6, "one of each kind");
    for one in &said {
        assert_eq!(
            said.iter().filter(|other| std::mem::discriminant(*other) == std::mem::discriminant(one)).count(),
            1
        );
        if let Notified::Status(text) = one {
            assert!(text.chars().count() <= SAID_MAX && !text.contains(char::is_control));
        }
    }
}
