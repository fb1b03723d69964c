//! What a workspace has left, holds and was charged: of the workspace as a whole, whatever the environment.

use super::{Statement, counted, statements};

macro_rules! entry_columns {
    () => {
        "id, kind, amount, conversation_id, note, created_at"
    };
}

statements! {
    OPEN_CREDIT_ACCOUNT "open_credit_account"
        "INSERT INTO credit_accounts (workspace_id, free, held, metered_at, updated_at)
        VALUES ($1, 0, 0, NULL, $2) ON CONFLICT DO NOTHING";
    CREDIT_ACCOUNT "credit_account"
        "SELECT free, held, metered_at, (
            SELECT COALESCE(CAST(SUM(amount) AS BIGINT), 0) FROM credit_entries
            WHERE workspace_id = $1 AND amount > 0
        ) AS granted FROM credit_accounts WHERE workspace_id = $1";
    /// Whoever changes an account locks it first, so that all changes of one account stand in a row.
    LOCK_CREDIT_ACCOUNT "lock_credit_account"
        "UPDATE credit_accounts SET updated_at = $2 WHERE workspace_id = $1 RETURNING free, held, metered_at";
    SET_CREDIT_BALANCE "set_credit_balance"
        "UPDATE credit_accounts SET free = $2, held = $3 WHERE workspace_id = $1";
    SET_METERED "set_metered" "UPDATE credit_accounts SET metered_at = $2 WHERE workspace_id = $1";

    INSERT_CREDIT_HOLD "insert_credit_hold"
        "INSERT INTO credit_holds (workspace_id, id, amount, conversation_id, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6)";
    DELETE_CREDIT_HOLD "delete_credit_hold"
        "DELETE FROM credit_holds WHERE workspace_id = $1 AND id = $2 RETURNING amount";
    EXPIRED_CREDIT_HOLDS "expired_credit_holds"
        "SELECT workspace_id, id FROM credit_holds WHERE expires_at <= $1 ORDER BY expires_at, id LIMIT $2";

    INSERT_CREDIT_ENTRY "insert_credit_entry"
        "INSERT INTO credit_entries (workspace_id, id, kind, amount, conversation_id, note, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    LAST_CREDIT_GRANT "last_credit_grant"
        "SELECT amount FROM credit_entries WHERE workspace_id = $1 AND kind = 'grant' ORDER BY id DESC LIMIT 1";
    CREDIT_ENTRIES "credit_entries" concat!(
        "SELECT ", entry_columns!(),
        " FROM credit_entries WHERE workspace_id = $1 ORDER BY id DESC LIMIT $2 OFFSET $3"
    );
    CREDIT_ENTRIES_AFTER "credit_entries_after" concat!(
        "SELECT ", entry_columns!(), " FROM credit_entries WHERE workspace_id = $1 AND id > $3 ORDER BY id LIMIT $2"
    );
    CREDIT_ENTRY_COUNT "credit_entry_count"
        counted!("FROM credit_entries WHERE workspace_id = $1");
    /// The charge that settled a hold carries the hold's id, and is younger than it ($2).
    CREDIT_CHARGE_OF_HOLD "credit_charge_of_hold"
        "SELECT amount FROM credit_entries WHERE workspace_id = $1 AND id >= $2 AND kind = 'charge' AND note = $3";
}
