//! Names that nobody else gives: of one process's attempt at something, between processes and hosts.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use hb_runtime::world;

/// 128 bits as hex digits, another each time. The system's randomness is in the keys of the hasher.
#[must_use]
pub fn nonce() -> String {
    let word = || {
        if let Some(given) = world::simulated_nonce() {
            return given;
        }
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u32(std::process::id());
        hasher.finish()
    };
    format!("{:016x}{:016x}", word(), word())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_comes_twice() {
        let given: std::collections::HashSet<_> = (0..1000).map(|_| nonce()).collect();
        assert_eq!(given.len(), 1000);
        assert!(given.iter().all(|nonce| nonce.len() == 32));
    }
}
