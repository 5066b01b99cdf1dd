//! Names of Lease objects for names of cells. They must be DNS subdomains: small letters, digits, `-` and `.`, at most 253 bytes.
//!
//! `a` to `y`, digits and `-` inside of a segment stand for themselves, `/` is `.`, and `z` begins what cannot be written otherwise. So
//! the name of an object can be read by people, and two cells never share one. A name that becomes too long ends with a hash; the
//! object's annotation has it whole.

use hb_core::journal::Hash;

/// Most bytes of an object's name.
const OBJECT_MAX: usize = 253;
/// How much of a name that is too long is kept before its hash.
const KEPT: usize = 120;

/// Name of the object for a cell of a deployment.
pub(super) fn object(deployment: &str, cell: &str) -> String {
    let mut out = format!("{deployment}.");
    let segments: Vec<String> = cell.split('/').map(segment).collect();
    out.push_str(&segments.join("."));
    if out.len() <= OBJECT_MAX {
        return out;
    }
    let hash = Hash::of(cell.as_bytes());
    let mut kept: String = out.chars().take(KEPT).collect();
    // A label ends with a letter or digit, and no `z` may be left without what follows it.
    while kept.ends_with(['-', '.', 'z']) {
        kept.pop();
    }
    // `zh` comes from no letter, so nothing else can have this name.
    format!("{kept}.zh{}", short(hash))
}

fn short(hash: Hash) -> String {
    hash.to_string().chars().take(40).collect()
}

fn segment(segment: &str) -> String {
    let mut out = String::with_capacity(segment.len());
    let last = segment.len().saturating_sub(1);
    for (at, letter) in segment.bytes().enumerate() {
        match letter {
            b'z' => out.push_str("zz"),
            b'a'..=b'y' | b'0'..=b'9' => out.push(char::from(letter)),
            b'-' if at > 0 && at < last => out.push('-'),
            b'-' => out.push_str("zd"),
            b'_' => out.push_str("zu"),
            b'.' => out.push_str("zp"),
            // Capital letters: the rest of what a cell's name may have.
            other => {
                out.push_str("zc");
                out.push(char::from(other.to_ascii_lowercase()));
            }
        }
    }
    out
}

/// The cell's name again; none where it was too long, or this is no name of ours.
#[cfg(test)]
fn cell(deployment: &str, object: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = object.strip_prefix(deployment)?.strip_prefix('.')?.chars();
    while let Some(letter) = rest.next() {
        match letter {
            '.' => out.push('/'),
            'z' => match rest.next()? {
                'z' => out.push('z'),
                'd' => out.push('-'),
                'u' => out.push('_'),
                'p' => out.push('.'),
                'c' => out.push(rest.next()?.to_ascii_uppercase()),
                _ => return None,
            },
            other => out.push(other),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hb_store::register::{NAME_MAX, check_name};

    fn is_subdomain(name: &str) -> bool {
        let label = |label: &str| {
            let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
            label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
                && ends(label.bytes().next())
                && ends(label.bytes().next_back())
        };
        name.len() <= OBJECT_MAX && name.split('.').all(label)
    }

    #[test]
    fn names_are_readable_and_reversible() {
        assert_eq!(object("hb", "lease/watch/bench-7"), "hb.lease.watch.bench-7");
        assert_eq!(object("hb", "node/A_1.z"), "hb.node.zcazu1zpzz");
        for name in ["a", "Z", "z", "zz", "-", "--", "a-", "-a", "a--b", "a/b", "A/B_c.D-e", "..a", "_", "zc/Zc", "0"] {
            check_name(name).unwrap();
            let object = object("hb", name);
            assert!(is_subdomain(&object), "{name}: {object}");
            assert_eq!(cell("hb", &object).as_deref(), Some(name), "{object}");
        }
    }

    #[test]
    fn every_short_name_has_an_object_of_its_own() {
        let letters = ["a", "c", "d", "z", "A", "Z", "-", "_", ".", "/"];
        let mut names = vec![String::new()];
        for _ in 0..4 {
            let longer: Vec<String> =
                names.iter().flat_map(|name| letters.map(|letter| format!("{name}{letter}"))).collect();
            names.extend(longer);
            names.sort();
            names.dedup();
        }
        for name in names.iter().filter(|name| check_name(name).is_ok()) {
            let object = object("hb", name);
            assert!(is_subdomain(&object), "{name}: {object}");
            assert_eq!(cell("hb", &object).as_ref(), Some(name));
        }
    }

    #[test]
    fn long_names_have_objects_of_their_own_too() {
        let deployment = "d".repeat(40);
        let mut seen = std::collections::HashSet::new();
        for letter in ["A", "z", "_", "-", ".a", "a"] {
            for tail in ["", "x", "y"] {
                let name = format!("{}{tail}", letter.repeat((NAME_MAX - 1) / letter.len()));
                check_name(&name).unwrap();
                let object = object(&deployment, &name);
                assert!(is_subdomain(&object), "{object}");
                assert!(seen.insert(object));
            }
        }
    }
}
