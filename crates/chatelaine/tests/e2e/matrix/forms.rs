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
        "update_api_key_page" => "name=Renamed",
        "rotate_api_key_page" => "grace_seconds=0",
        "create_service_account_page" | "update_service_account_page" => "name=New&role=member",
        "create_service_account_key_page" => "name=New&environment=live",
        "create_bot_page" => "name=New&architecture=text",
        "update_bot_page" => "name=Renamed",
        "create_integration_page" => "kind=echo&name=New",
        "update_integration_page" => "kind=webhook&url=https%3A%2F%2Fbot.example.com%2Fanswer&weight=3",
        "create_channel_page" => "kind=widget&name=New",
        "update_channel_page" => "name=Renamed&reply_url=https%3A%2F%2Fapp.example.com%2Freplies&is_active=1",
        "say_in_trial_page" => "message=hello",
        "run_agent_loop_page" => "input=hello",
        _ => "step=score",
    }
}
