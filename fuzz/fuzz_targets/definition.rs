//! The examples are good seeds: `cargo +nightly fuzz run definition fuzz/corpus/definition crates/workflow/examples`.
#![no_main]

#[path = "../../crates/workflow/tests/it/anything.rs"]
mod anything;
#[path = "../../crates/workflow/tests/it/drive.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|data: &[u8]| anything::bytes(data));
