//! What servers of others answer: etcd, Kubernetes, and the lines of their streams; a Retry-After, a /proc/PID/stat.

use std::sync::LazyLock;

use hb_core::time::Stamp;
use hb_engines::etcd::EtcdTarget;
use hb_engines::fuzzing;

use crate::input::{Input, pieces};

static ETCD: LazyLock<EtcdTarget> = LazyLock::new(|| EtcdTarget::parse("etcd://a/x").expect("a sound address"));

/// One byte chooses what it is, one the pieces or the status.
///
/// # Panics
/// When more was read than came, what was put into an object does not come back, or pieces change the lines of a stream.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let (what, choice) = (input.byte() % 6, input.byte());
    let rest = input.0;
    match what {
        0 => assert!(fuzzing::etcd_answer(&ETCD, 100 + u16::from(choice) * 2, rest) <= rest.len()),
        1 => drop(fuzzing::etcd_watch(rest).map_err(|why| assert!(!why.is_empty()))),
        2 => match fuzzing::kubernetes_object(rest, data) {
            Ok((bytes, same)) => assert!(same && bytes.len() <= 8 * rest.len()),
            Err(why) => assert!(!why.is_empty()),
        },
        3 => {
            let whole = fuzzing::stream([rest]);
            assert_eq!(whole, fuzzing::stream(pieces(rest, choice)), "lines in pieces");
        }
        4 => {
            let wait = hb_actuators::fuzzing::retry_after(Input(rest).text(), Stamp(1_700_000_000_000_000_000));
            assert!(wait.is_none_or(|(wait, most)| wait <= most));
        }
        _ => drop(hb_actuators::fuzzing::stat(rest)),
    }
}
