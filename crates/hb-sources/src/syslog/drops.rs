//! How many datagrams the kernel dropped at a UDP socket, because its buffer was full.

use std::fs;
use std::net::SocketAddr;

/// The count of the socket at that address, as `/proc/net/udp` has it in its last column.
pub(super) fn count(address: SocketAddr) -> Option<u64> {
    let table = if address.is_ipv4() { "/proc/net/udp" } else { "/proc/net/udp6" };
    of_table(&fs::read_to_string(table).ok()?, address.port())
}

fn of_table(table: &str, port: u16) -> Option<u64> {
    let end = format!(":{port:04X}");
    let mut rows = table.lines().skip(1).map(|line| line.split_ascii_whitespace());
    rows.find_map(|mut row| {
        let local = row.nth(1)?;
        let drops = row.last()?;
        local.ends_with(&end).then(|| drops.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_column_of_the_port_is_taken() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
   12: 0100007F:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0000000000000000 3
   57: 0100007F:0202 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0000000000000000 41\n";
        assert_eq!(of_table(table, 514), Some(41));
        assert_eq!(of_table(table, 8080), Some(3));
        assert_eq!(of_table(table, 515), None);
    }
}
