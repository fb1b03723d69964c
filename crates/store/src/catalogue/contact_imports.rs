//! Imports of contacts: files in parts, how far they are done, and what was wrong.

use super::{Statement, statements};

macro_rules! import_columns {
    () => {
        "id, status, options, bytes, position, rows_total, rows_done, created, updated, failed, error, created_by,
        created_at, updated_at, finished_at"
    };
}

statements! {
    /// Inserts nothing when `$7` are open, or when those hold `$8` bytes.
    INSERT_IMPORT "insert_import"
        "INSERT INTO contact_imports (workspace_id, environment, id, status, options, bytes, position, rows_done, created,
            updated, failed, created_by, created_at, updated_at)
        SELECT $1, $2, $3, 'uploading', $4, 0, 0, 0, 0, 0, 0, $5, CAST($6 AS BIGINT), CAST($6 AS BIGINT)
        WHERE (SELECT COUNT(*) FROM contact_imports WHERE workspace_id = $1 AND finished_at IS NULL) < CAST($7 AS BIGINT)
            AND (SELECT COALESCE(SUM(bytes), 0) FROM contact_imports
                WHERE workspace_id = $1 AND finished_at IS NULL) < CAST($8 AS BIGINT)";
    GROW_IMPORT "grow_import"
        "UPDATE contact_imports SET bytes = $4, updated_at = $5
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND status = 'uploading'";
    INSERT_IMPORT_PART "insert_import_part"
        "INSERT INTO contact_import_parts (workspace_id, environment, import_id, position, content)
        VALUES ($1, $2, $3, $4, $5)";
    IMPORT_UPLOADED "import_uploaded"
        "UPDATE contact_imports SET status = 'pending', updated_at = $4
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND status = 'uploading'";
    DELETE_UPLOAD "delete_upload"
        "DELETE FROM contact_imports
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND status = 'uploading'";
    /// Of every tenant: nobody sends them any more.
    DELETE_STALE_UPLOADS "delete_stale_uploads"
        "DELETE FROM contact_imports WHERE status = 'uploading' AND finished_at IS NULL AND updated_at < $1";
    /// Those behind the newest `$3`, which nobody looks at any more.
    DELETE_OLD_IMPORTS "delete_old_imports"
        "DELETE FROM contact_imports WHERE workspace_id = $1 AND environment = $2 AND finished_at IS NOT NULL AND id IN (
            SELECT id FROM contact_imports WHERE workspace_id = $1 AND environment = $2 AND finished_at IS NOT NULL
            ORDER BY id DESC LIMIT 1000 OFFSET $3)";
    IMPORT "import" concat!(
        "SELECT ", import_columns!(), " FROM contact_imports
        WHERE workspace_id = $1 AND environment = $2 AND id = $3"
    );
    IMPORTS "imports" concat!(
        "SELECT ", import_columns!(), " FROM contact_imports
        WHERE workspace_id = $1 AND environment = $2 AND status <> 'uploading' ORDER BY id DESC LIMIT $3 OFFSET $4"
    );
    IMPORT_COUNT "import_count"
        "SELECT COUNT(*) AS total FROM contact_imports
        WHERE workspace_id = $1 AND environment = $2 AND status <> 'uploading'";
    /// The oldest of each workspace, of every tenant.
    OPEN_IMPORTS "open_imports"
        "SELECT workspace_id, environment, id FROM (
            SELECT workspace_id, environment, id, ROW_NUMBER() OVER (PARTITION BY workspace_id ORDER BY id) AS place
            FROM contact_imports WHERE finished_at IS NULL AND status <> 'uploading') AS waiting
        WHERE place = 1 ORDER BY id LIMIT $1";
    IMPORT_PART "import_part"
        "SELECT position, content FROM contact_import_parts
        WHERE workspace_id = $1 AND environment = $2 AND import_id = $3 AND position <= $4 ORDER BY position DESC LIMIT 1";
    START_IMPORT "start_import"
        "UPDATE contact_imports SET status = 'running', rows_total = $4, position = $5, updated_at = $6
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND finished_at IS NULL";
    /// Nothing when somebody else has been at it, or has ended it.
    LOCK_IMPORT "lock_import"
        "UPDATE contact_imports SET updated_at = $5
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND position = $4 AND finished_at IS NULL";
    ADVANCE_IMPORT "advance_import"
        "UPDATE contact_imports SET position = $4, rows_done = rows_done + $5, created = created + $6,
            updated = updated + $7, failed = failed + $8
        WHERE workspace_id = $1 AND environment = $2 AND id = $3";
    END_IMPORT "end_import"
        "UPDATE contact_imports SET status = $4, error = $5, finished_at = $6, updated_at = $6
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND finished_at IS NULL AND status <> 'uploading'";
    DELETE_IMPORT_PARTS "delete_import_parts"
        "DELETE FROM contact_import_parts WHERE workspace_id = $1 AND environment = $2 AND import_id = $3";
    INSERT_IMPORT_ERROR "insert_import_error"
        "INSERT INTO contact_import_errors (workspace_id, environment, import_id, line, field, message)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
    IMPORT_ERRORS "import_errors"
        "SELECT line, field, message FROM contact_import_errors
        WHERE workspace_id = $1 AND environment = $2 AND import_id = $3 ORDER BY line, field LIMIT $4 OFFSET $5";
    IMPORT_ERROR_COUNT "import_error_count"
        "SELECT COUNT(*) AS total FROM contact_import_errors
        WHERE workspace_id = $1 AND environment = $2 AND import_id = $3";
}
