//! What somebody sees first: none of these looks at more rows than it says, however many there are. `CROSS JOIN` holds
//! SQLite to that: what is few comes first, or it goes through all keys to look for them there.

use super::{Statement, statements};

/// Keys of one [`NAMES_OF_KEYS`].
pub(crate) const NAMED_KEYS: usize = 25;

statements! {
    /// Of the newest since `$3`, `$4` at most.
    CONVERSATION_HOURS "conversation_hours"
        "SELECT created_at / 3600000 AS hour, COUNT(*) AS total FROM (
            SELECT created_at FROM conversations WHERE workspace_id = $1 AND environment = $2 AND id >= $3
            ORDER BY id DESC LIMIT $4
        ) newest GROUP BY created_at / 3600000 ORDER BY 1";
    /// The same of what was charged. Credits are the whole workspace's.
    CREDIT_HOURS "credit_hours"
        "SELECT created_at / 3600000 AS hour, CAST(-SUM(amount) AS BIGINT) AS total FROM (
            SELECT created_at, amount FROM credit_entries WHERE workspace_id = $1 AND id >= $2
            ORDER BY id DESC LIMIT $3
        ) newest WHERE amount < 0 GROUP BY created_at / 3600000 ORDER BY 1";
    /// By the index on ends: those that end after `$3` and until `$4`, the first first.
    EXPIRING_KEYS "expiring_keys"
        "SELECT id, name, expires_at AS at FROM api_keys
        WHERE workspace_id = $1 AND environment = $2 AND revoked_at IS NULL
            AND COALESCE(expires_at, 9223372036854775807) > $3 AND COALESCE(expires_at, 9223372036854775807) <= $4
        ORDER BY COALESCE(expires_at, 9223372036854775807), id LIMIT $5";
    /// By the index on uses, the longest unused first, of 200 secrets at most: last used before `$3`, and made
    /// before `$3` too; still working at `$4`.
    UNUSED_KEYS "unused_keys"
        "SELECT k.id, k.name, s.last_used_at AS at FROM (
            SELECT key_id, last_used_at, expires_at FROM api_key_secrets
            WHERE workspace_id = $1 AND COALESCE(last_used_at, 0) < $3
            ORDER BY COALESCE(last_used_at, 0), key_id LIMIT 200
        ) s CROSS JOIN api_keys k
        WHERE k.id = s.key_id AND k.workspace_id = $1 AND k.environment = $2 AND k.revoked_at IS NULL AND k.created_at < $3
            AND (k.expires_at IS NULL OR k.expires_at > $4) AND s.expires_at IS NULL
        ORDER BY COALESCE(s.last_used_at, 0), k.id LIMIT $5";
    /// Keys that were reported as leaked and work all the same, by the newest of their reports.
    LEAKED_KEYS "leaked_keys"
        "SELECT k.id, k.name, MAX(l.created_at) AS at FROM (
            SELECT key_id, created_at FROM leaks WHERE workspace_id = $1 AND environment = $2 AND id >= $3
            ORDER BY id DESC LIMIT 200
        ) l CROSS JOIN api_keys k
        WHERE k.id = l.key_id AND k.workspace_id = $1 AND k.revoked_at IS NULL
        GROUP BY k.id, k.name ORDER BY 3 DESC, k.id LIMIT $4";
    /// Keys for servers that were seen in a browser, likewise: their own request says so. What was reported as leaked
    /// says the same event in somebody else's name, and is told above.
    EXPOSED_KEYS "exposed_keys"
        "SELECT k.id, k.name, MAX(a.created_at) AS at FROM (
            SELECT target_id, actor_id, created_at FROM audit_log
            WHERE workspace_id = $1 AND environment = $2 AND action = 'api_key.exposed' AND id >= $3
            ORDER BY id DESC LIMIT 200
        ) a CROSS JOIN api_keys k
        WHERE k.id = a.target_id AND a.actor_id = a.target_id AND k.workspace_id = $1 AND k.revoked_at IS NULL
        GROUP BY k.id, k.name ORDER BY 3 DESC, k.id LIMIT $4";
    WEBHOOKS_AT_REST "webhooks_at_rest"
        "SELECT id, url, disabled_at, disabled_reason FROM webhooks
        WHERE workspace_id = $1 AND environment = $2 AND owner_id IS NULL AND disabled_at IS NOT NULL
            AND disabled_reason IS NOT NULL
        ORDER BY disabled_at DESC, id LIMIT $3";
    FAILING_WEBHOOKS "failing_webhooks"
        "SELECT id, url, failing_since FROM webhooks
        WHERE workspace_id = $1 AND environment = $2 AND owner_id IS NULL AND disabled_at IS NULL
            AND failing_since IS NOT NULL
        ORDER BY failing_since, id LIMIT $3";
    /// Whether there is anything.
    HAS_ANY "has_any"
        "SELECT (SELECT COUNT(*) FROM (SELECT 1 AS one FROM api_keys WHERE workspace_id = $1 AND environment = $2 LIMIT 1) k) AS keys,
            (SELECT COUNT(*) FROM (SELECT 1 AS one FROM bots WHERE workspace_id = $1 AND environment = $2 LIMIT 1) b) AS bots,
            (SELECT COUNT(*) FROM (SELECT 1 AS one FROM conversations WHERE workspace_id = $1 AND environment = $2 LIMIT 1) c)
                AS conversations";
    /// Of [`NAMED_KEYS`] keys; those that are not needed are empty.
    NAMES_OF_KEYS "names_of_keys"
        "SELECT id, name FROM api_keys WHERE workspace_id = $1 AND id IN ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,
            $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26)";
}
