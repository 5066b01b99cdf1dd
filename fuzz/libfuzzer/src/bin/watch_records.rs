//! One target behind libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hb_fuzz::targets::watch_records::run(data));
