//! What the C library keeps of memory that was freed.

/// Blocks of at least this many bytes have memory pages of their own, which go back to the system when they are freed.
const OWN_PAGES: nix::libc::c_int = 8 << 20;

/// Has large blocks given back to the system as soon as they are freed, for good.
///
/// Left to itself, glibc raises the size from which on it does so with every large block that is freed, up to 32 MB: after a few records of
/// very many series it keeps all of them, in pieces that the next one does not fit into.
pub fn give_large_blocks_back() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: mallopt takes two integers and changes a setting of the allocator under the allocator's own lock.
        let taken = unsafe { nix::libc::mallopt(nix::libc::M_MMAP_THRESHOLD, OWN_PAGES) };
        // It can only refuse sizes above the largest possible threshold, which this is not; then all stays as it was.
        debug_assert_eq!(taken, 1);
    }
}

/// Has everything given back to the system that is free at the moment. Takes some milliseconds where much was in use, and whoever
/// asks for memory meanwhile waits: for a pause.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: malloc_trim takes an integer, and works on the allocator's own structures under the allocator's own locks.
        let _some_given_back = unsafe { nix::libc::malloc_trim(0) };
    }
}
