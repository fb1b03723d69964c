//! What starting a run costs a deployment, whoever starts it.

use access::Tenant;
use gate::Problem;
use store::DeploymentRecord;

use crate::App;

/// Charges a deployment for a run that is about to start; `origin` as for [`runs::Runs::start`]. A ceiling
/// that was set bounds everybody; the installation's default of a day bounds strangers alone.
///
/// # Errors
/// 429 with the budget that is spent: nothing was charged then. 503 without the database.
pub async fn charge_start(
    app: &App,
    tenant: Tenant,
    deployment: &DeploymentRecord,
    origin: &str,
) -> Result<(), Problem> {
    let verdict = app.cluster().charge_start(tenant, deployment, origin == "public").await?;
    if verdict.allowed { Ok(()) } else { Err(Problem::limited(verdict)) }
}
