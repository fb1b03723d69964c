//! What is sealed with the installation's secret, of every tenant, so that a new secret seals it anew.

use super::{Statement, statements};

/// What is sealed in a column, after a place; not every row has it.
macro_rules! sealed {
    ($table:literal, $column:literal) => {
        sealed!($table, $column, "''")
    };
    ($table:literal, $column:literal, $origin:literal) => {
        concat!(
            "SELECT workspace_id, environment, id, ",
            $origin,
            " AS origin, ",
            $column,
            " AS sealed FROM ",
            $table,
            " WHERE (workspace_id, environment, id) > ($1, $2, $3) AND ",
            $column,
            " IS NOT NULL ORDER BY workspace_id, environment, id LIMIT $4"
        )
    };
}

/// Whoever has changed it meanwhile has sealed it with the present secret.
macro_rules! reseal {
    ($table:literal, $column:literal) => {
        concat!(
            "UPDATE ",
            $table,
            " SET ",
            $column,
            " = $5 WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND ",
            $column,
            " = $4"
        )
    };
}

statements! {
    SEALED_CONNECTIONS "sealed_connections" sealed!("connections", "headers_sealed", "origin");
    SEALED_INTEGRATIONS "sealed_integrations" sealed!("integrations", "headers_sealed");
    SEALED_TRIGGERS "sealed_triggers" sealed!("triggers", "secret_sealed");
    SEALED_WEBHOOKS "sealed_webhooks" sealed!("webhooks", "secret_sealed");
    SEALED_PREVIOUS_WEBHOOKS "sealed_previous_webhooks" sealed!("webhooks", "previous_sealed");
    /// People have no environment.
    SEALED_TOTP "sealed_totp"
        "SELECT workspace_id, 'live' AS environment, id, '' AS origin, totp_sealed AS sealed FROM members
        WHERE (workspace_id, 'live', id) > ($1, $2, $3) AND totp_sealed IS NOT NULL
        ORDER BY workspace_id, id LIMIT $4";
    RESEAL_TOTP "reseal_totp"
        "UPDATE members SET totp_sealed = $5
        WHERE workspace_id = $1 AND 'live' = $2 AND id = $3 AND totp_sealed = $4";
    RESEAL_WEBHOOK "reseal_webhook" reseal!("webhooks", "secret_sealed");
    RESEAL_PREVIOUS_WEBHOOK "reseal_previous_webhook" reseal!("webhooks", "previous_sealed");
    RESEAL_CONNECTION "reseal_connection" reseal!("connections", "headers_sealed");
    RESEAL_INTEGRATION "reseal_integration" reseal!("integrations", "headers_sealed");
    RESEAL_TRIGGER "reseal_trigger" reseal!("triggers", "secret_sealed");
    SEALED_INTEGRATION_SECRETS "sealed_integration_secrets" sealed!("integrations", "secret_sealed");
    RESEAL_INTEGRATION_SECRET "reseal_integration_secret" reseal!("integrations", "secret_sealed");
    SEALED_PREVIOUS_INTEGRATION_SECRETS "sealed_previous_integration_secrets" sealed!("integrations", "previous_sealed");
    RESEAL_PREVIOUS_INTEGRATION_SECRET "reseal_previous_integration_secret" reseal!("integrations", "previous_sealed");
    SEALED_CHANNEL_SECRETS "sealed_channel_secrets" sealed!("channels", "secret_sealed");
    RESEAL_CHANNEL_SECRET "reseal_channel_secret" reseal!("channels", "secret_sealed");
    SEALED_PREVIOUS_CHANNEL_SECRETS "sealed_previous_channel_secrets" sealed!("channels", "previous_sealed");
    RESEAL_PREVIOUS_CHANNEL_SECRET "reseal_previous_channel_secret" reseal!("channels", "previous_sealed");
}
