//! Tests of a series against its baseline, one file each.
