//! Lists of keys by what people look for. What they ask stands in the indexes: among 100,000 keys nothing but
//! those is read, besides the rows of the page.
//!
//! `$4` now, `$5` kind, `$6` service account, `$7` pattern of a name, `$8` id, `$9` a secret as it is shown, `$10`
//! status, `$11` until when an end is near; empty when it is not asked. Then `LIMIT` and `OFFSET`.

use super::{Statement, counted, keyring::key_columns, statements};

macro_rules! is_meant {
    () => {
        "environment IN ($2, $3)
            AND ($5 = '' OR kind = $5)
            AND ($6 = '' OR service_account_id = $6)
            AND ($7 = '' OR folded_name LIKE $7 ESCAPE '!' OR id = $8
                OR id IN (SELECT key_id FROM api_key_secrets WHERE workspace_id = $1 AND display = $9))
            AND ($10 = '' OR $10 = CASE
                WHEN revoked_at IS NOT NULL THEN 'revoked'
                WHEN expires_at <= $4 THEN 'expired'
                WHEN service_account_id IS NOT NULL AND NOT EXISTS (
                    SELECT 1 FROM service_accounts WHERE workspace_id = $1 AND id = service_account_id
                        AND disabled_at IS NULL) THEN 'disabled'
                WHEN expires_at <= $11 THEN 'expiring'
                ELSE 'active' END)"
    };
}

/// The ids of a page in `$order`, and then their rows in the same.
macro_rules! in_order {
    ($rank:literal, $direction:literal) => {
        concat!(
            "SELECT ",
            key_columns!(),
            " FROM (SELECT id AS page_id, ",
            $rank,
            " AS page_rank FROM api_keys WHERE workspace_id = $1 AND ",
            is_meant!(),
            " ORDER BY ",
            $rank,
            $direction,
            ", id",
            $direction,
            " LIMIT $12 OFFSET $13) p JOIN api_keys k ON k.id = page_id JOIN api_key_secrets s ON s.key_id = k.id
            AND (s.expires_at IS NULL OR s.expires_at > $4) ORDER BY page_rank",
            $direction,
            ", page_id",
            $direction,
            ", s.created_at DESC"
        )
    };
}

/// By the secret that was used last; a key that was never used has used it in 1970.
macro_rules! in_order_of_use {
    ($direction:literal) => {
        concat!(
            "SELECT ",
            key_columns!(),
            " FROM (SELECT key_id AS page_id, COALESCE(last_used_at, 0) AS page_rank FROM api_key_secrets
            WHERE workspace_id = $1
            AND EXISTS (SELECT 1 FROM api_keys WHERE workspace_id = $1 AND id = key_id AND ",
            is_meant!(),
            ") AND NOT EXISTS (SELECT 1 FROM api_key_secrets o WHERE workspace_id = $1
                AND o.key_id = api_key_secrets.key_id AND (COALESCE(o.last_used_at, 0), o.digest)
                    > (COALESCE(api_key_secrets.last_used_at, 0), api_key_secrets.digest))
            ORDER BY COALESCE(last_used_at, 0)",
            $direction,
            ", key_id",
            $direction,
            " LIMIT $12 OFFSET $13) p JOIN api_keys k ON k.id = page_id JOIN api_key_secrets s ON s.key_id = k.id
            AND (s.expires_at IS NULL OR s.expires_at > $4) ORDER BY page_rank",
            $direction,
            ", page_id",
            $direction,
            ", s.created_at DESC"
        )
    };
}

statements! {
    FOUND_KEY_COUNT "found_key_count"
        counted!(concat!("FROM api_keys WHERE workspace_id = $1 AND ", is_meant!()));
    /// Ids begin with the time.
    KEYS_BY_AGE "keys_by_age" in_order!("workspace_id", " DESC");
    KEYS_BY_AGE_REVERSED "keys_by_age_reversed" in_order!("workspace_id", " ASC");
    KEYS_BY_NAME "keys_by_name" in_order!("folded_name", " ASC");
    KEYS_BY_NAME_REVERSED "keys_by_name_reversed" in_order!("folded_name", " DESC");
    /// What never ends comes last.
    KEYS_BY_EXPIRY "keys_by_expiry" in_order!("COALESCE(expires_at, 9223372036854775807)", " ASC");
    KEYS_BY_EXPIRY_REVERSED "keys_by_expiry_reversed"
        in_order!("COALESCE(expires_at, 9223372036854775807)", " DESC");
    KEYS_BY_USE "keys_by_use" in_order_of_use!(" DESC");
    KEYS_BY_USE_REVERSED "keys_by_use_reversed" in_order_of_use!(" ASC");
}
