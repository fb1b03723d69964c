#![no_main]

#[path = "../../crates/credential/tests/it/harness.rs"]
#[expect(dead_code, reason = "each target runs one of the bodies")]
mod harness;

libfuzzer_sys::fuzz_target!(|data: &[u8]| harness::origin(data));
