//! See [`crate::fuzzing`].

use super::orders::{parse, written};
use crate::port::Orders;

/// Reads the file of orders, and writes it again.
///
/// # Errors
/// What is wrong with it, in words.
pub fn orders(bytes: &[u8]) -> Result<(Orders, Vec<u8>), String> {
    let orders = parse(bytes)?;
    let bytes = written(orders.clone());
    Ok((orders, bytes))
}
