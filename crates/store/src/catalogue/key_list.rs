//! Lists of keys by what people look for. What they ask stands in the indexes: among 100,000 keys nothing but
//! those is read, besides the rows of the page. Where few are meant they are found by what is rare about them (a
//! lead) and then sorted; where there are very many, in the order of an index.
//!
//! `$4` now, `$5` kind, `$6` service account, `$7` and `$8` between which a name is, `$9` id, `$10` a secret as it is
//! shown, `$11` status, `$12` until when an end is near; empty when it is not asked. Then `LIMIT` and `OFFSET`, and
//! before them, where it is sorted, by what.

use super::{Statement, counted, keyring::key_columns, statements};

macro_rules! is_meant {
    () => {
        "environment IN ($2, $3)
            AND ($5 = '' OR kind = $5)
            AND ($6 = '' OR service_account_id = $6)
            AND ($7 = '' OR (folded_name >= $7 AND folded_name < $8) OR id = $9
                OR id IN (SELECT key_id FROM api_key_secrets WHERE workspace_id = $1 AND display = $10))
            AND ($11 = '' OR $11 = CASE
                WHEN revoked_at IS NOT NULL THEN 'revoked'
                WHEN expires_at <= $4 THEN 'expired'
                WHEN service_account_id IS NOT NULL AND NOT EXISTS (
                    SELECT 1 FROM service_accounts WHERE workspace_id = $1 AND id = service_account_id
                        AND disabled_at IS NULL) THEN 'disabled'
                WHEN expires_at <= $12 THEN 'expiring'
                ELSE 'active' END)"
    };
}

/// The rows of a page whose ids are in `p`.
macro_rules! rows_of {
    ($direction:literal, $rank:expr, $ids:expr) => {
        concat!(
            "SELECT ",
            key_columns!(),
            " FROM (",
            $ids,
            ") p JOIN api_keys k ON k.id = page_id JOIN api_key_secrets s ON s.key_id = k.id
            AND (s.expires_at IS NULL OR s.expires_at > $4) ORDER BY ",
            $rank,
            $direction,
            ", page_id",
            $direction,
            ", s.created_at DESC"
        )
    };
}

/// The ids of a page in `$order`, and then their rows in the same; of all, or of those that `$lead` finds.
macro_rules! in_order {
    ($rank:literal, $direction:literal) => {
        in_order!($rank, $direction, "")
    };
    ($rank:literal, $direction:literal, $lead:literal) => {
        rows_of!(
            $direction,
            "page_rank",
            concat!(
                "SELECT id AS page_id, ",
                $rank,
                " AS page_rank FROM api_keys WHERE workspace_id = $1 AND ",
                $lead,
                is_meant!(),
                " ORDER BY ",
                $rank,
                $direction,
                ", id",
                $direction,
                " LIMIT $13 OFFSET $14"
            )
        )
    };
}

/// By the secret that was used last; a key that was never used has used it in 1970.
macro_rules! in_order_of_use {
    ($direction:literal) => {
        rows_of!(
            $direction,
            "page_rank",
            concat!(
                "SELECT key_id AS page_id, COALESCE(last_used_at, 0) AS page_rank FROM api_key_secrets
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
                " LIMIT $13 OFFSET $14"
            )
        )
    };
}

/// All that `$lead` finds, sorted by `$13`. What is sorted by is no column, so that no index is walked for its order.
macro_rules! sorted {
    ($lead:expr, $direction:literal) => {
        rows_of!(
            $direction,
            concat!("page_name", $direction, ", page_time"),
            concat!(
                "SELECT id || '' AS page_id, CASE $13 WHEN 'name' THEN folded_name ELSE '' END AS page_name,
            CASE $13 WHEN 'expires' THEN COALESCE(expires_at, 9223372036854775807) WHEN 'last_used' THEN (
                SELECT MAX(COALESCE(o.last_used_at, 0)) FROM api_key_secrets o
                    WHERE workspace_id = $1 AND o.key_id = api_keys.id) ELSE 0 END AS page_time
            FROM api_keys WHERE workspace_id = $1 AND ",
                $lead,
                " AND ",
                is_meant!(),
                " ORDER BY 2",
                $direction,
                ", 3",
                $direction,
                ", 1",
                $direction,
                " LIMIT $14 OFFSET $15"
            )
        )
    };
}

macro_rules! count_of {
    ($lead:expr) => {
        counted!(concat!("FROM api_keys WHERE workspace_id = $1 AND ", $lead, " AND ", is_meant!()))
    };
}

macro_rules! named {
    () => {
        "folded_name >= $7 AND folded_name < $8"
    };
}

/// What is meant by a whole id or a shown secret, besides a name that begins so.
macro_rules! exact {
    () => {
        "id IN (SELECT id FROM api_keys WHERE workspace_id = $1 AND id = $9
            UNION ALL SELECT key_id FROM api_key_secrets WHERE workspace_id = $1 AND display = $10
            UNION ALL SELECT id FROM api_keys WHERE workspace_id = $1 AND folded_name >= $7 AND folded_name < $8)"
    };
}

/// By when they end: those that are over, those that are near it, and those that are not.
macro_rules! ending {
    () => {
        "COALESCE(expires_at, 9223372036854775807) <= CASE $11 WHEN 'expired' THEN CAST($4 AS BIGINT)
                WHEN 'active' THEN 9223372036854775807 ELSE CAST($12 AS BIGINT) END
            AND COALESCE(expires_at, 9223372036854775807) > CASE $11 WHEN 'expired' THEN CAST(-1 AS BIGINT)
                WHEN 'active' THEN CAST($12 AS BIGINT) ELSE CAST($4 AS BIGINT) END"
    };
}

macro_rules! disabled {
    () => {
        "service_account_id IN (SELECT id FROM service_accounts WHERE workspace_id = $1 AND disabled_at IS NOT NULL)"
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

    NAMED_KEY_COUNT "named_key_count" count_of!(named!());
    NAMED_KEYS "named_keys" sorted!(named!(), " ASC");
    NAMED_KEYS_REVERSED "named_keys_reversed" sorted!(named!(), " DESC");
    EXACT_KEY_COUNT "exact_key_count" count_of!(exact!());
    EXACT_KEYS "exact_keys" sorted!(exact!(), " ASC");
    EXACT_KEYS_REVERSED "exact_keys_reversed" sorted!(exact!(), " DESC");
    OWNED_KEY_COUNT "owned_key_count" count_of!("service_account_id = $6");
    OWNED_KEYS "owned_keys" sorted!("service_account_id = $6", " ASC");
    OWNED_KEYS_REVERSED "owned_keys_reversed" sorted!("service_account_id = $6", " DESC");
    REVOKED_KEY_COUNT "revoked_key_count" count_of!("revoked_at IS NOT NULL");
    REVOKED_KEYS "revoked_keys" sorted!("revoked_at IS NOT NULL", " ASC");
    REVOKED_KEYS_REVERSED "revoked_keys_reversed" sorted!("revoked_at IS NOT NULL", " DESC");
    ENDING_KEY_COUNT "ending_key_count" count_of!(ending!());
    ENDING_KEYS "ending_keys" sorted!(ending!(), " ASC");
    ENDING_KEYS_REVERSED "ending_keys_reversed" sorted!(ending!(), " DESC");
    /// A key whose account is gone was revoked with it.
    DISABLED_KEY_COUNT "disabled_key_count" count_of!(disabled!());
    DISABLED_KEYS "disabled_keys" sorted!(disabled!(), " ASC");
    DISABLED_KEYS_REVERSED "disabled_keys_reversed" sorted!(disabled!(), " DESC");
    KEY_COUNT_OF_KIND "key_count_of_kind" count_of!("kind = $5");
    KEYS_OF_KIND "keys_of_kind" sorted!("kind = $5", " ASC");
    KEYS_OF_KIND_REVERSED "keys_of_kind_reversed" sorted!("kind = $5", " DESC");
    /// What an index has in the order of ids need not be sorted: the first half of a few thousand is not read for the
    /// last page.
    OWNED_KEYS_BY_AGE "owned_keys_by_age" in_order!("workspace_id", " DESC", "service_account_id = $6 AND ");
    OWNED_KEYS_BY_AGE_REVERSED "owned_keys_by_age_reversed"
        in_order!("workspace_id", " ASC", "service_account_id = $6 AND ");
    REVOKED_KEYS_BY_AGE "revoked_keys_by_age" in_order!("workspace_id", " DESC", "revoked_at IS NOT NULL AND ");
    REVOKED_KEYS_BY_AGE_REVERSED "revoked_keys_by_age_reversed"
        in_order!("workspace_id", " ASC", "revoked_at IS NOT NULL AND ");
    KEYS_OF_KIND_BY_AGE "keys_of_kind_by_age" in_order!("workspace_id", " DESC", "kind = $5 AND ");
    KEYS_OF_KIND_BY_AGE_REVERSED "keys_of_kind_by_age_reversed" in_order!("workspace_id", " ASC", "kind = $5 AND ");
    KEYS_OF_TEST_BY_AGE "keys_of_test_by_age" in_order!("workspace_id", " DESC", "environment = 'test' AND ");
    KEYS_OF_TEST_BY_AGE_REVERSED "keys_of_test_by_age_reversed"
        in_order!("workspace_id", " ASC", "environment = 'test' AND ");
    KEY_COUNT_OF_TEST "key_count_of_test" count_of!("environment = 'test'");
    KEYS_OF_TEST "keys_of_test" sorted!("environment = 'test'", " ASC");
    KEYS_OF_TEST_REVERSED "keys_of_test_reversed" sorted!("environment = 'test'", " DESC");
}
