//! What is sealed with the installation's secret, of every tenant, so that a new secret seals it anew.

use super::{Statement, statements};

statements! {
    SEALED_CONNECTIONS "sealed_connections"
        "SELECT workspace_id, environment, id, origin, headers_sealed AS sealed FROM connections
        WHERE (workspace_id, environment, id) > ($1, $2, $3) ORDER BY workspace_id, environment, id LIMIT $4";
    SEALED_INTEGRATIONS "sealed_integrations"
        "SELECT workspace_id, environment, id, '' AS origin, headers_sealed AS sealed FROM integrations
        WHERE (workspace_id, environment, id) > ($1, $2, $3) AND headers_sealed IS NOT NULL
        ORDER BY workspace_id, environment, id LIMIT $4";
    SEALED_TRIGGERS "sealed_triggers"
        "SELECT workspace_id, environment, id, '' AS origin, secret_sealed AS sealed FROM triggers
        WHERE (workspace_id, environment, id) > ($1, $2, $3) AND secret_sealed IS NOT NULL
        ORDER BY workspace_id, environment, id LIMIT $4";
    SEALED_WEBHOOKS "sealed_webhooks"
        "SELECT workspace_id, environment, id, '' AS origin, secret_sealed AS sealed FROM webhooks
        WHERE (workspace_id, environment, id) > ($1, $2, $3) ORDER BY workspace_id, environment, id LIMIT $4";
    SEALED_PREVIOUS_WEBHOOKS "sealed_previous_webhooks"
        "SELECT workspace_id, environment, id, '' AS origin, previous_sealed AS sealed FROM webhooks
        WHERE (workspace_id, environment, id) > ($1, $2, $3) AND previous_sealed IS NOT NULL
        ORDER BY workspace_id, environment, id LIMIT $4";
    /// People have no environment.
    SEALED_TOTP "sealed_totp"
        "SELECT workspace_id, 'live' AS environment, id, '' AS origin, totp_sealed AS sealed FROM members
        WHERE (workspace_id, 'live', id) > ($1, $2, $3) AND totp_sealed IS NOT NULL
        ORDER BY workspace_id, id LIMIT $4";
    RESEAL_TOTP "reseal_totp"
        "UPDATE members SET totp_sealed = $5
        WHERE workspace_id = $1 AND 'live' = $2 AND id = $3 AND totp_sealed = $4";
    RESEAL_WEBHOOK "reseal_webhook"
        "UPDATE webhooks SET secret_sealed = $5
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND secret_sealed = $4";
    RESEAL_PREVIOUS_WEBHOOK "reseal_previous_webhook"
        "UPDATE webhooks SET previous_sealed = $5
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND previous_sealed = $4";
    /// Whoever has changed it meanwhile has sealed it with the present secret.
    RESEAL_CONNECTION "reseal_connection"
        "UPDATE connections SET headers_sealed = $5
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND headers_sealed = $4";
    RESEAL_INTEGRATION "reseal_integration"
        "UPDATE integrations SET headers_sealed = $5
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND headers_sealed = $4";
    RESEAL_TRIGGER "reseal_trigger"
        "UPDATE triggers SET secret_sealed = $5
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND secret_sealed = $4";
    SEALED_INTEGRATION_SECRETS "sealed_integration_secrets"
        "SELECT workspace_id, environment, id, '' AS origin, secret_sealed AS sealed FROM integrations
        WHERE (workspace_id, environment, id) > ($1, $2, $3) AND secret_sealed IS NOT NULL
        ORDER BY workspace_id, environment, id LIMIT $4";
    RESEAL_INTEGRATION_SECRET "reseal_integration_secret"
        "UPDATE integrations SET secret_sealed = $5
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND secret_sealed = $4";
    SEALED_PREVIOUS_INTEGRATION_SECRETS "sealed_previous_integration_secrets"
        "SELECT workspace_id, environment, id, '' AS origin, previous_sealed AS sealed FROM integrations
        WHERE (workspace_id, environment, id) > ($1, $2, $3) AND previous_sealed IS NOT NULL
        ORDER BY workspace_id, environment, id LIMIT $4";
    RESEAL_PREVIOUS_INTEGRATION_SECRET "reseal_previous_integration_secret"
        "UPDATE integrations SET previous_sealed = $5
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND previous_sealed = $4";
    SEALED_CHANNEL_SECRETS "sealed_channel_secrets"
        "SELECT workspace_id, environment, id, '' AS origin, secret_sealed AS sealed FROM channels
        WHERE (workspace_id, environment, id) > ($1, $2, $3) AND secret_sealed IS NOT NULL
        ORDER BY workspace_id, environment, id LIMIT $4";
    RESEAL_CHANNEL_SECRET "reseal_channel_secret"
        "UPDATE channels SET secret_sealed = $5
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND secret_sealed = $4";
    SEALED_PREVIOUS_CHANNEL_SECRETS "sealed_previous_channel_secrets"
        "SELECT workspace_id, environment, id, '' AS origin, previous_sealed AS sealed FROM channels
        WHERE (workspace_id, environment, id) > ($1, $2, $3) AND previous_sealed IS NOT NULL
        ORDER BY workspace_id, environment, id LIMIT $4";
    RESEAL_PREVIOUS_CHANNEL_SECRET "reseal_previous_channel_secret"
        "UPDATE channels SET previous_sealed = $5
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND previous_sealed = $4";
}
