//! The secrets of tools: strictly of one environment, `$2`.

use super::{Statement, statements};

macro_rules! connection_columns {
    () => {
        "id, name, origin, header_names, headers_sealed, created_at, updated_at"
    };
}

statements! {
    INSERT_CONNECTION "insert_connection"
        "INSERT INTO connections (workspace_id, environment, id, name, origin, header_names, headers_sealed, created_at,
            updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)";
    CONNECTION "connection" concat!(
        "SELECT ", connection_columns!(), " FROM connections WHERE workspace_id = $1 AND environment = $2 AND id = $3"
    );
    CONNECTIONS "connections" concat!(
        "SELECT ", connection_columns!(),
        " FROM connections WHERE workspace_id = $1 AND environment = $2 ORDER BY id DESC LIMIT $3 OFFSET $4"
    );
    CONNECTION_COUNT "connection_count"
        "SELECT COUNT(*) AS total FROM connections WHERE workspace_id = $1 AND environment = $2";
    UPDATE_CONNECTION "update_connection" concat!(
        "UPDATE connections SET name = $4, origin = $5, header_names = $6, headers_sealed = $7, updated_at = $8
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 RETURNING ", connection_columns!()
    );
    /// Deletes nothing while a deployment that is not revoked has the id anywhere in its definition.
    DELETE_CONNECTION "delete_connection"
        "DELETE FROM connections WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND NOT EXISTS (
            SELECT 1 FROM deployments
            WHERE workspace_id = $1 AND environment = $2 AND revoked_at IS NULL AND definition LIKE '%' || $3 || '%')";
}
