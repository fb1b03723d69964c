//! The keyring's statements: the ones that look for a key before they know the workspace.

use super::{Statement, statements};

/// A key and one of its secrets a row.
macro_rules! key_columns {
    () => {
        "k.id, k.workspace_id, k.environment, k.kind, k.family, k.name, k.scopes, k.settings,
        k.service_account_id, k.created_by, k.created_at, k.updated_at, k.expires_at, k.revoked_at, k.epoch,
        k.version, s.digest, s.pepper_id, s.display, s.created_at AS secret_created_at,
        s.expires_at AS secret_expires_at, s.last_used_at, s.last_used_ip, s.uses"
    };
}
pub(crate) use key_columns;

/// A row of [`RECORD_USES`]; PostgreSQL wants to be told the types.
macro_rules! used_row {
    ($digest:literal, $time:literal, $ip:literal, $uses:literal) => {
        concat!(
            "(CAST($",
            $digest,
            " AS TEXT), CAST($",
            $time,
            " AS BIGINT), CAST($",
            $ip,
            " AS TEXT), CAST($",
            $uses,
            " AS BIGINT))"
        )
    };
}

/// Rows of one [`RECORD_USES`].
pub(crate) const USED_ROWS: usize = 25;

macro_rules! live_key_from {
    () => {
        concat!(
            "SELECT ",
            key_columns!(),
            ", a.id AS account_id, a.scopes AS account_scopes, a.disabled_at AS account_disabled_at,
            w.rate_limit AS workspace_rate_limit
            FROM api_keys k
            JOIN api_key_secrets s ON s.key_id = k.id
            JOIN workspaces w ON w.id = k.workspace_id
            LEFT JOIN service_accounts a ON a.workspace_id = k.workspace_id AND a.id = k.service_account_id "
        )
    };
}

/// Between the fields of a packed row: ASCII's unit separator.
pub(crate) const UNIT: char = '\u{1f}';

statements! {
    /// Where the part of the keys ends that begins after an id.
    END_OF_PART "end_of_part"
        "SELECT MAX(id) AS last FROM (SELECT id FROM api_keys WHERE id > $1 ORDER BY id LIMIT $2) part";
    /// Two thousand keys in one text instead of fifty thousand values: a million keys are read in a
    /// fraction of the time. The name says its length, because it alone may hold any character.
    LOAD_LIVE_KEYS "load_live_keys"
        "SELECT string_agg(concat_ws('\u{1f}', s.digest, k.id, k.workspace_id, k.environment, k.kind, k.family,
            k.scopes, k.settings, COALESCE(k.service_account_id, ''), k.created_by, k.created_at, k.updated_at,
            COALESCE(CAST(k.expires_at AS TEXT), ''), k.epoch, k.version,
            s.pepper_id, s.display, s.created_at, COALESCE(CAST(s.expires_at AS TEXT), ''),
            COALESCE(CAST(s.last_used_at AS TEXT), ''), COALESCE(s.last_used_ip, ''), s.uses,
            COALESCE(a.scopes, ''), COALESCE(CAST(a.disabled_at AS TEXT), ''),
            COALESCE(CAST(w.rate_limit AS TEXT), ''), octet_length(k.name), k.name), '') AS packed
        FROM api_keys k
        JOIN api_key_secrets s ON s.key_id = k.id
        JOIN workspaces w ON w.id = k.workspace_id
        LEFT JOIN service_accounts a ON a.workspace_id = k.workspace_id AND a.id = k.service_account_id
        WHERE k.id > $2 AND k.id <= $3 AND k.revoked_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > $1)";
    LIVE_KEY_BY_DIGEST "live_key_by_digest" concat!(
        live_key_from!(),
        "WHERE k.id = (SELECT key_id FROM api_key_secrets WHERE digest = $1)
            AND (s.digest = $1 OR s.expires_at IS NULL OR s.expires_at > $2)"
    );
    LIVE_KEY_BY_ID "live_key_by_id" concat!(
        live_key_from!(),
        "WHERE k.id = $1 AND (s.expires_at IS NULL OR s.expires_at > $2)"
    );
    /// A late report does not turn the clock back.
    /// Many uses at once: a statement for each costs two changes of thread with SQLite. Rows that are
    /// not needed name no secret.
    RECORD_USES "record_uses" concat!(
        "WITH used (digest, last_used_at, last_used_ip, uses) AS (VALUES ",
        used_row!(1, 2, 3, 4), ", ",
        used_row!(5, 6, 7, 8), ", ",
        used_row!(9, 10, 11, 12), ", ",
        used_row!(13, 14, 15, 16), ", ",
        used_row!(17, 18, 19, 20), ", ",
        used_row!(21, 22, 23, 24), ", ",
        used_row!(25, 26, 27, 28), ", ",
        used_row!(29, 30, 31, 32), ", ",
        used_row!(33, 34, 35, 36), ", ",
        used_row!(37, 38, 39, 40), ", ",
        used_row!(41, 42, 43, 44), ", ",
        used_row!(45, 46, 47, 48), ", ",
        used_row!(49, 50, 51, 52), ", ",
        used_row!(53, 54, 55, 56), ", ",
        used_row!(57, 58, 59, 60), ", ",
        used_row!(61, 62, 63, 64), ", ",
        used_row!(65, 66, 67, 68), ", ",
        used_row!(69, 70, 71, 72), ", ",
        used_row!(73, 74, 75, 76), ", ",
        used_row!(77, 78, 79, 80), ", ",
        used_row!(81, 82, 83, 84), ", ",
        used_row!(85, 86, 87, 88), ", ",
        used_row!(89, 90, 91, 92), ", ",
        used_row!(93, 94, 95, 96), ", ",
        used_row!(97, 98, 99, 100),
        ") UPDATE api_key_secrets SET uses = api_key_secrets.uses + used.uses,
            last_used_ip = CASE WHEN api_key_secrets.last_used_at > used.last_used_at
                THEN api_key_secrets.last_used_ip ELSE used.last_used_ip END,
            last_used_at = CASE WHEN api_key_secrets.last_used_at > used.last_used_at
                THEN api_key_secrets.last_used_at ELSE used.last_used_at END
        FROM used WHERE api_key_secrets.digest = used.digest"
    );
    /// Of every imported key, also a revoked one.
    IMPORT_MARKS "import_marks" "SELECT settings FROM api_keys WHERE settings LIKE '%\"imported\":%'";
    FOREIGN_PEPPERS "foreign_peppers"
        "SELECT name, value FROM meta WHERE name LIKE 'foreign-pepper:%' ORDER BY name";
    /// Whether a secret under a pepper can still be renewed.
    PEPPER_IN_USE "pepper_in_use"
        "SELECT COUNT(*) AS total FROM (SELECT s.digest FROM api_key_secrets s JOIN api_keys k ON k.id = s.key_id
            WHERE s.pepper_id = $1 AND (s.expires_at IS NULL OR s.expires_at > $2) AND k.revoked_at IS NULL
                AND (k.expires_at IS NULL OR k.expires_at > $2) LIMIT 1) one";
    RENEW_DIGEST "renew_digest"
        "UPDATE api_key_secrets SET digest = $2, pepper_id = $3, algorithm = 'hmac' WHERE digest = $1";
}
