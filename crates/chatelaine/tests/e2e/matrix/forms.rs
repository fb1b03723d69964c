//! The dashboard's pages: what they name is what the operation of the API names, and what their forms are sent.

use gate::{Meta, Method};
use serde_json::Value;

/// The path as the API has it, and the method: a form that deletes is a `POST` to `…/delete`.
pub(super) fn as_api(operation: &Meta) -> (String, Method) {
    let Some(rest) = operation.path.strip_prefix("/_/") else { return (operation.path.to_owned(), operation.method) };
    let method = if rest.ends_with("/delete") { Method::Delete } else { operation.method };
    (format!("/v1/{rest}"), method)
}

/// What the body says, as a form does; `None` when it says nothing.
pub(super) fn of_body(body: Option<&Value>) -> Option<String> {
    let pairs = body?.as_object().filter(|pairs| !pairs.is_empty())?;
    let pairs = pairs.iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
    Some(url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish())
}

/// What is typed into it, so that it is taken.
pub(super) fn fields(operation: &Meta) -> &'static str {
    match operation.id {
        "create_api_key_page" => "name=New&kind=secret&environment=live&expiry=365",
        "update_api_key_page" | "update_bot_page" => "name=Renamed",
        "rotate_api_key_page" => "grace_seconds=0",
        "create_service_account_page" | "update_service_account_page" => "name=New&role=member",
        "create_service_account_key_page" => "name=New&environment=live",
        "create_bot_page" => "name=New&architecture=text",
        "create_integration_page" => "kind=echo&name=New",
        "update_integration_page" => "kind=webhook&url=https%3A%2F%2Fbot.example.com%2Fanswer&weight=3",
        "create_channel_page" => "kind=widget&name=New",
        "update_channel_page" => "name=Renamed&reply_url=https%3A%2F%2Fapp.example.com%2Freplies&is_active=1",
        "explain_access_page" => "credential=nonsense&path=%2Fv1%2Fme",
        "say_in_trial_page" => "message=hello",
        "run_agent_loop_page" => "input=hello",
        // The survey of the other tests: one question.
        "create_workflow_page" | "update_workflow_page" => {
            "name=New&definition=%7B%22type%22%3A%22Workflow%22%2C%22id%22%3A%22survey%22%2C%22participants%22%3A%5B%7B\
             %22name%22%3A%22respondent%22%7D%5D%2C%22children%22%3A%5B%7B%22type%22%3A%22Input%22%2C%22id%22%3A%22\
             score%22%2C%22prompt%22%3A%22How%3F%22%2C%22input_type%22%3A%22nps%22%7D%5D%7D"
        }
        "revoke_deployment_page" => "runs=finish",
        "create_trigger_page" => "kind=webhook&name=New",
        "create_run_token_page" => "role=customer",
        "create_contact_page" | "update_contact_page" => "name=New",
        "import_contacts_page" => "csv=name%0AAda",
        "create_webhook_page" | "update_webhook_page" => "url=https%3A%2F%2Fhooks.example.com%2Fa&events=run.failed",
        "rotate_webhook_secret_page" => "grace_seconds=900",
        "recover_webhook_page" => "since=2026-01-01T00%3A00",
        // It stays on: others are sent to it.
        "switch_webhook_page" => "is_active=yes",
        "update_member_page" => "name=Renamed&role=member",
        "create_invitation_page" => "email=invited%40matrix.example&role=member",
        "grant_credits_page" => "amount=5",
        "update_workspace_page" => "name=Acme&leak_policy=revoke&leak_grace_seconds=3600",
        "change_view_page" => "theme=dark",
        _ => "step=score",
    }
}
