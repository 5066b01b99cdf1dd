//! Records in the body of a request or an answer: `HBSYNC1\n`, then for each its number and length (eight bytes each, the largest
//! first) and its bytes as they stand.
//!
//! **Invariants.** What is not wholly there is refused, never read as less.

use hb_core::ids::Seq;

use super::{PAGE_RECORDS, Raw};
use crate::atomic::READ_MAX;

const MAGIC: &[u8] = b"HBSYNC1\n";
/// Bytes before each record.
const HEAD: usize = 16;

/// Largest body: a full page, and one record of the largest size (B1).
#[expect(clippy::cast_possible_truncation, reason = "a bound that 32 bits hold")]
pub const BODY_MAX: usize = super::PAGE_BYTES + (READ_MAX as usize) + MAGIC.len() + HEAD * PAGE_RECORDS;

/// Puts a page into bytes.
#[must_use]
pub fn encode(page: &[Raw]) -> Vec<u8> {
    let size = page.iter().map(|raw| raw.bytes.len().saturating_add(HEAD)).sum::<usize>();
    let mut out = Vec::with_capacity(size.saturating_add(MAGIC.len()));
    out.extend_from_slice(MAGIC);
    for raw in page {
        out.extend_from_slice(&raw.seq.0.to_be_bytes());
        out.extend_from_slice(&(raw.bytes.len() as u64).to_be_bytes());
        out.extend_from_slice(&raw.bytes);
    }
    out
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// What is wrong with it, in words.
pub fn decode(bytes: &[u8]) -> Result<Vec<Raw>, String> {
    let mut rest = bytes.strip_prefix(MAGIC).ok_or("it does not begin as a page of records does")?;
    let mut page = Vec::new();
    while !rest.is_empty() {
        if page.len() >= PAGE_RECORDS {
            return Err(format!("it has more than {PAGE_RECORDS} records"));
        }
        let (seq, after) = number(rest)?;
        let (length, after) = number(after)?;
        let length = usize::try_from(length).map_err(|_| "a record's length is absurd".to_owned())?;
        let (record, after) = after.split_at_checked(length).ok_or("it ends within a record")?;
        page.push(Raw { seq: Seq(seq), bytes: record.to_vec() });
        rest = after;
    }
    Ok(page)
}

fn number(bytes: &[u8]) -> Result<(u64, &[u8]), String> {
    let (number, rest) = bytes.split_first_chunk::<8>().ok_or("it ends before a record")?;
    Ok((u64::from_be_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_come_back_whole_or_not_at_all() {
        let page = vec![Raw { seq: Seq(7), bytes: b"seven\n".to_vec() }, Raw { seq: Seq(8), bytes: Vec::new() }];
        let bytes = encode(&page);
        assert_eq!(decode(&bytes).unwrap(), page);
        assert_eq!(decode(&encode(&[])).unwrap(), []);
        // Between two records a cut cannot be seen here: the sender says how long the body is.
        let between = MAGIC.len() + HEAD + 6;
        for cut in (0..bytes.len()).filter(|cut| *cut != MAGIC.len() && *cut != between) {
            assert!(decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let absurd = [MAGIC, &1_u64.to_be_bytes(), &u64::MAX.to_be_bytes()].concat();
        assert!(decode(&absurd).is_err());
        let many = vec![Raw { seq: Seq(1), bytes: Vec::new() }; PAGE_RECORDS + 1];
        assert!(decode(&encode(&many)).unwrap_err().contains("more than"));
    }
}
