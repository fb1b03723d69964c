//! Keys and service accounts. A live tenant sees both environments' and names both in `$2` and `$3`,
//! a test tenant names `test` twice.

use super::{Statement, counted, keyring::key_columns, statements};

macro_rules! account_columns {
    () => {
        "id, workspace_id, environment, name, description, role, scopes, disabled_at, created_at, updated_at"
    };
}

/// A page of keys with the secrets that are not over at `$4`.
macro_rules! keys_where {
    ($which:literal) => {
        concat!(
            "SELECT ",
            key_columns!(),
            " FROM (SELECT * FROM api_keys WHERE workspace_id = $1 AND environment IN ($2, $3) AND ",
            $which,
            ") k JOIN api_key_secrets s ON s.key_id = k.id
            WHERE s.expires_at IS NULL OR s.expires_at > $4
            ORDER BY k.id DESC, s.created_at DESC"
        )
    };
}

statements! {
    INSERT_KEY "insert_key"
        "INSERT INTO api_keys (workspace_id, id, environment, kind, family, name, scopes, settings,
            service_account_id, created_by, created_at, updated_at, expires_at, revoked_at, epoch, version, notice_at,
            folded_name)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $12, NULL, 0, 1, $13, $14)";
    INSERT_SECRET "insert_secret"
        "INSERT INTO api_key_secrets (workspace_id, key_id, digest, pepper_id, display, created_at, expires_at,
            last_used_at, last_used_ip, uses, algorithm)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    KEY "key" keys_where!("id = $5");
    KEYS "keys" keys_where!("id IN (SELECT id FROM api_keys WHERE workspace_id = $1 AND environment IN ($2, $3)
        ORDER BY id DESC LIMIT $5 OFFSET $6)");
    KEYS_PAGE_OF_ACCOUNT "keys_page_of_account" keys_where!("id IN (SELECT id FROM api_keys WHERE workspace_id = $1
        AND environment IN ($2, $3) AND service_account_id = $7 ORDER BY id DESC LIMIT $5 OFFSET $6)");
    KEYS_OF_ACCOUNT "keys_of_account" keys_where!("service_account_id = $5");
    KEY_COUNT "key_count"
        counted!("FROM api_keys WHERE workspace_id = $1 AND environment IN ($2, $3)");
    KEY_COUNT_OF_ACCOUNT "key_count_of_account"
        counted!("FROM api_keys WHERE workspace_id = $1 AND environment IN ($2, $3) AND service_account_id = $4");
    /// First in every change of a key: it locks the row, and finds the key gone or revoked.
    LOCK_KEY "lock_key"
        "UPDATE api_keys SET version = version + 1, updated_at = $5
        WHERE workspace_id = $1 AND environment IN ($2, $3) AND id = $4 AND revoked_at IS NULL";
    UPDATE_KEY "update_key"
        "UPDATE api_keys SET name = $3, scopes = $4, settings = $5, expires_at = $6, folded_name = $7
        WHERE workspace_id = $1 AND id = $2";
    BUMP_EPOCH "bump_epoch" "UPDATE api_keys SET epoch = epoch + 1 WHERE workspace_id = $1 AND id = $2";
    REVOKE_KEY "revoke_key"
        "UPDATE api_keys SET revoked_at = $5, updated_at = $5, version = version + 1
        WHERE workspace_id = $1 AND environment IN ($2, $3) AND id = $4 AND revoked_at IS NULL";
    /// The newest gets its end; a grace that is still running ends now.
    END_SECRETS "end_secrets"
        "UPDATE api_key_secrets SET expires_at = CASE WHEN expires_at IS NULL THEN $3 ELSE $4 END
        WHERE workspace_id = $1 AND key_id = $2 AND (expires_at IS NULL OR expires_at > $4)";
    /// The newest is left, and works alone.
    END_GRACE "end_grace"
        "UPDATE api_key_secrets SET expires_at = $3
        WHERE workspace_id = $1 AND key_id = $2 AND expires_at IS NOT NULL AND expires_at > $3";
    /// A new end is looked at from here on.
    SET_NOTICE "set_notice" "UPDATE api_keys SET notice_at = $3 WHERE workspace_id = $1 AND id = $2";
    /// What was waited for already is not forgotten.
    ADVANCE_NOTICE "advance_notice"
        "UPDATE api_keys SET notice_at = $3
        WHERE workspace_id = $1 AND id = $2 AND (notice_at IS NULL OR notice_at > $3)";
    /// Of every workspace: the keys whose owners are to be told something.
    DUE_NOTICES "due_notices"
        "SELECT id, notice_at FROM api_keys WHERE notice_at IS NOT NULL AND notice_at <= $1
        ORDER BY notice_at, id LIMIT $2";
    TAKE_NOTICE "take_notice"
        "UPDATE api_keys SET notice_at = $3
        WHERE id = $1 AND notice_at = $2 AND version = COALESCE($4, version)";
    INSERT_NOTICE "insert_notice"
        "INSERT INTO key_notices (workspace_id, key_id, notice, about, created_at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT DO NOTHING";

    INSERT_ACCOUNT "insert_account"
        "INSERT INTO service_accounts (workspace_id, id, environment, name, description, role, scopes, disabled_at,
            created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)";
    ACCOUNT "account" concat!(
        "SELECT ", account_columns!(),
        " FROM service_accounts WHERE workspace_id = $1 AND environment IN ($2, $3) AND id = $4"
    );
    ACCOUNTS "accounts" concat!(
        "SELECT ", account_columns!(),
        " FROM service_accounts WHERE workspace_id = $1 AND environment IN ($2, $3)
        ORDER BY id DESC LIMIT $4 OFFSET $5"
    );
    ACCOUNT_COUNT "account_count"
        "SELECT COUNT(*) AS total FROM service_accounts WHERE workspace_id = $1 AND environment IN ($2, $3)";
    /// Holds the account in place while something is done that depends on it.
    LOCK_ACCOUNT "lock_account" concat!(
        "UPDATE service_accounts SET updated_at = updated_at
        WHERE workspace_id = $1 AND environment IN ($2, $3) AND id = $4 RETURNING ", account_columns!()
    );
    UPDATE_ACCOUNT "update_account"
        "UPDATE service_accounts SET name = $3, description = $4, role = $5, scopes = $6, disabled_at = $7,
            updated_at = $8
        WHERE workspace_id = $1 AND id = $2";
    /// What the keyring knows of a key includes its account: the version moves with it.
    BUMP_ACCOUNT_KEYS "bump_account_keys"
        "UPDATE api_keys SET version = version + 1 WHERE workspace_id = $1 AND service_account_id = $2";
    DELETE_ACCOUNT "delete_account"
        "DELETE FROM service_accounts WHERE workspace_id = $1 AND environment IN ($2, $3) AND id = $4";
    REVOKE_ACCOUNT_KEYS "revoke_account_keys"
        "UPDATE api_keys SET revoked_at = $3, updated_at = $3, version = version + 1
        WHERE workspace_id = $1 AND service_account_id = $2 AND revoked_at IS NULL RETURNING id";
}
