//! What starting a run costs a deployment, whoever starts it.

use access::Tenant;
use gate::Problem;
use store::DeploymentRecord;

use crate::App;

/// Charges a deployment for a run that is about to start; `origin` as for [`runs::Runs::start`]. A ceiling
/// that was set bounds everybody; the installation's default of a day bounds strangers alone.
///
/// # Errors
/// 429 with the budget that is spent: nothing was charged then.
#[expect(clippy::unused_async, reason = "the first charge after a restart reads what was started before")]
pub async fn charge_start(
    app: &App,
    _tenant: Tenant,
    deployment: &DeploymentRecord,
    origin: &str,
) -> Result<(), Problem> {
    if deployment.daily_runs.is_none() && origin != "public" {
        return Ok(());
    }
    let verdict = app.cluster().charge_deployment_day(deployment.id, deployment.daily_runs);
    if verdict.allowed { Ok(()) } else { Err(Problem::limited(verdict)) }
}
