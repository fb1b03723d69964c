//! What the database knows of a request that was refused, and the gate did not have to ask.

use access::Tenant;
use ambient::{BotId, ConversationId, WorkflowId};
use credential::key::Environment;
use gate::{Decision, Problem, Reason};
use store::{StoreError, Workspace};

use super::Explanation;
use crate::App;

/// Adds what is there to say.
pub(super) async fn look_into(
    app: &App,
    tenant: Tenant,
    decision: &Decision,
    explanation: &mut Explanation,
) -> Result<(), Problem> {
    let Some(why) = &decision.why else { return Ok(()) };
    let (Reason::NotFound, Some(target), Some(of)) = (why.reason, &why.target, decision.environment) else {
        return Ok(());
    };
    let other = if of == Environment::Live { Environment::Test } else { Environment::Live };
    // A test tenant is told nothing of live data.
    if tenant.environment == Environment::Test {
        return Ok(());
    }
    let data = app.store().workspace(Tenant { environment: other, ..tenant });
    let said = if is_there(&data, target).await? {
        format!(" It is there, in the {} data, and the credential reads the {} data.", other.as_str(), of.as_str())
    } else {
        format!(" The credential reads the {} data; the id was {target}.", of.as_str())
    };
    explanation.message.push_str(&said);
    Ok(())
}

async fn is_there(data: &Workspace, target: &str) -> Result<bool, StoreError> {
    let found = if let Ok(id) = target.parse::<BotId>() {
        data.bot(id).await.map(drop)
    } else if let Ok(id) = target.parse::<ConversationId>() {
        data.conversation(id).await.map(drop)
    } else if let Ok(id) = target.parse::<WorkflowId>() {
        data.workflow(id).await.map(drop)
    } else {
        return Ok(false);
    };
    match found {
        Ok(()) => Ok(true),
        Err(StoreError::NotFound) => Ok(false),
        Err(error) => Err(error),
    }
}
