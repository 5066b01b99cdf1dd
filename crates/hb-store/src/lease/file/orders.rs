//! What operators ask of the nodes that share a folder: `hb.orders`, changed under a lock of its own.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::atomic::{Disk, Durability};
use crate::lease::lock::{self, Asked, Lock};
use crate::lease::orders::check;
use crate::port::{LeaseError, Order, Orders};

/// File of the orders, in `output_dir`.
pub const ORDERS_FILE: &str = "hb.orders";
/// Its lock: it is replaced as a whole, so it cannot be locked itself.
pub const ORDERS_LOCK: &str = "hb.orders.lock";
/// How long a change waits for another one.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(10);
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    orders: Orders,
}

impl Document {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("orders are plain data with string keys");
        bytes.push(b'\n');
        bytes
    }
}

/// Reads the orders; none where nobody ever gave one.
pub(super) fn read(disk: &Disk, dir: &Path) -> Result<Orders, LeaseError> {
    let path = dir.join(ORDERS_FILE);
    let Some(bytes) = disk.read(&path).map_err(|fault| LeaseError(fault.to_string()))? else {
        return Ok(Orders::default());
    };
    parse(&bytes).map_err(|what| LeaseError(format!("{} {what}", path.display())))
}

/// What the file says.
///
/// # Errors
/// What is wrong with it, in words that go on after its name.
pub(super) fn parse(bytes: &[u8]) -> Result<Orders, String> {
    let document: Document =
        serde_json::from_slice(bytes).map_err(|error| format!("cannot be read: {error}; put it right or remove it"))?;
    if document.format != FORMAT {
        return Err(format!("has format {}, this program knows {FORMAT}: use the newer one", document.format));
    }
    Ok(document.orders)
}

/// The file that says so.
pub(super) fn written(orders: Orders) -> Vec<u8> {
    Document { format: FORMAT, orders }.to_bytes()
}

/// Changes the orders.
pub(super) fn change(disk: &Disk, dir: &Path, order: Order) -> Result<Orders, LeaseError> {
    check(&order)?;
    let lock = take_lock(&dir.join(ORDERS_LOCK))?;
    let before = read(disk, dir)?;
    let after = before.clone().after(order);
    if after != before {
        let written = disk.replace(dir, ORDERS_FILE, &written(after.clone()), Durability::Durable);
        written.map_err(|fault| LeaseError(fault.to_string()))?;
    }
    drop(lock);
    Ok(after)
}

/// None where the file system cannot lock: then two changes at one moment may lose one, as `hb status` shows.
fn take_lock(path: &Path) -> Result<Option<Lock>, LeaseError> {
    let begun = Instant::now();
    loop {
        match lock::ask(path).map_err(LeaseError)? {
            Asked::Got(lock) => return Ok(Some(lock)),
            Asked::Unsupported(why) => {
                tracing::warn!(why, "changing orders without a lock");
                return Ok(None);
            }
            Asked::Held if begun.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
            Asked::Held => {
                let held = format!("{} is held by another process for {PATIENCE:?} now", path.display());
                return Err(LeaseError(format!("{held}: try again, or look for one that is stopped")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hb_core::time::Stamp;

    use super::*;
    use crate::port::Pause;

    fn pause(reason: &str) -> Order {
        Order::Pause(Pause { by: "operator:ada".into(), reason: reason.into(), at: Stamp(0) })
    }

    #[test]
    fn orders_are_kept_and_what_cannot_be_read_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new();
        assert_eq!(read(&disk, dir.path()).unwrap(), Orders::default());
        let after = change(&disk, dir.path(), pause("disks")).unwrap();
        assert_eq!(read(&disk, dir.path()).unwrap(), after);
        assert_eq!(change(&disk, dir.path(), Order::Resume).unwrap(), Orders::default());
        assert!(change(&disk, dir.path(), pause(&"x".repeat(1001))).unwrap_err().0.contains("1001"));
        for (bytes, what) in [(&b"garbage"[..], "put it right"), (br#"{"format":2,"orders":{}}"#, "format 2")] {
            std::fs::write(dir.path().join(ORDERS_FILE), bytes).unwrap();
            assert!(read(&disk, dir.path()).unwrap_err().0.contains(what), "{what}");
        }
    }

    #[test]
    fn a_change_waits_for_another_one_and_not_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let Ok(Asked::Got(held)) = lock::ask(&dir.path().join(ORDERS_LOCK)) else { panic!("it is free") };
        let refused = change(&Disk::new(), dir.path(), pause("disks")).unwrap_err().0;
        assert!(refused.contains("held by another process"), "{refused}");
        held.free();
        change(&Disk::new(), dir.path(), pause("disks")).unwrap();
    }
}
