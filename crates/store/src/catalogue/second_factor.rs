//! One-time codes of people, and recovery codes.

use super::{Statement, statements};

statements! {
    SECOND_FACTOR "second_factor"
        "SELECT totp_sealed, totp_confirmed_at, totp_step,
            (SELECT COUNT(*) FROM member_recovery_codes
                WHERE workspace_id = $1 AND member_id = $2 AND used_at IS NULL) AS codes
        FROM members WHERE workspace_id = $1 AND id = $2";
    BEGIN_TOTP "begin_totp"
        "UPDATE members SET totp_sealed = $3, totp_step = 0
        WHERE workspace_id = $1 AND id = $2 AND totp_confirmed_at IS NULL";
    /// `$3` is what a code was right for: a secret that was begun anew meanwhile is another.
    CONFIRM_TOTP "confirm_totp"
        "UPDATE members SET totp_confirmed_at = $5, totp_step = $4
        WHERE workspace_id = $1 AND id = $2 AND totp_sealed = $3 AND totp_confirmed_at IS NULL";
    END_TOTP "end_totp"
        "UPDATE members SET totp_sealed = NULL, totp_confirmed_at = NULL, totp_step = 0
        WHERE workspace_id = $1 AND id = $2 AND totp_sealed IS NOT NULL";
    /// Each step once, and none before it: of two who come with one code the second changes nothing.
    USE_TOTP_STEP "use_totp_step"
        "UPDATE members SET totp_step = $3
        WHERE workspace_id = $1 AND id = $2 AND totp_step < $3 AND totp_confirmed_at IS NOT NULL";
    FORGET_RECOVERY_CODES "forget_recovery_codes"
        "DELETE FROM member_recovery_codes WHERE workspace_id = $1 AND member_id = $2";
    INSERT_RECOVERY_CODE "insert_recovery_code"
        "INSERT INTO member_recovery_codes (workspace_id, member_id, digest) VALUES ($1, $2, $3)";
    USE_RECOVERY_CODE "use_recovery_code"
        "UPDATE member_recovery_codes SET used_at = $4
        WHERE workspace_id = $1 AND member_id = $2 AND digest = $3 AND used_at IS NULL";
    /// Held until the transaction ends, so that codes are not made twice.
    LOCK_SECOND_FACTOR "lock_second_factor"
        "UPDATE members SET totp_step = totp_step WHERE workspace_id = $1 AND id = $2 AND totp_confirmed_at IS NOT NULL";
}
