//! Who takes part: the columns of deployments' keys and of participants' tokens.

use access::{Caller, KeyKind, ParticipantCaller, ScopeSet};
use ambient::{DeploymentId, KeyId, Millis, RunId, Ulid};
use serde_json::json;
use testkit::{Persona, World};

use super::columns::{Maker, Standing};
use crate::workflows::survey;

/// The run that is looked at, and the deployment that it belongs to.
pub(crate) struct Part {
    pub(crate) deployment: Persona,
    pub(crate) run: RunId,
}

impl Part {
    pub(crate) async fn new(world: &World) -> Self {
        let mut design = survey();
        design["participants"] = json!([{"name": "customer"}]);
        // A talk, the survey's question, and one that nobody answers.
        let steps = design["children"].as_array_mut().unwrap();
        steps.insert(0, json!({"type": "Agent", "id": "talk", "bot": world.bot().await, "role": "customer"}));
        steps.push(json!({"type": "Input", "id": "last", "prompt": "Else?", "input_type": "text"}));
        let deployment = world.deployment_of(&design.to_string()).await;
        // As a stranger starts it: its token can be renewed.
        let path = format!("/api/public/surveys/{}/start", deployment.id().replace("key_", "dep_"));
        let started = world.anonymous().post(&path, &json!({})).await.expect(200).json();
        Self { run: started["run_id"].as_str().unwrap().parse().unwrap(), deployment }
    }

    /// The id of a new run.
    async fn start(deployment: &Persona) -> String {
        let started = deployment.post("/api/v1/runs", &json!({})).await.expect(202).json();
        started["run_id"].as_str().unwrap().to_owned()
    }

    /// The id of a new run of the same deployment.
    pub(super) async fn new_run(&self) -> String {
        Self::start(&self.deployment).await
    }
}

impl Maker<'_> {
    pub(super) async fn who_takes_part(&mut self, part: &Part) {
        let (world, own) = (self.world, &part.deployment);
        let key = self.key(KeyKind::Deployment, ScopeSet::NONE);
        let other = world.deployment().await;
        self.add("depl_other", "another deployment's key", other, Standing::Elsewhere(key.clone()));
        self.add("deployment", "the deployment's key", own.clone(), Standing::Own(key));
        let (foreign, customer) =
            (world.participant(own, RunId(Ulid(2)), "customer"), world.participant(own, part.run, "customer"));
        let caller = |run| participant(world, own, run);
        let standing = Standing::Elsewhere(caller(RunId(Ulid(2))));
        self.add("part_other", "a participant token of another run", foreign, standing);
        self.add("participant", "a participant token, in a browser", customer, Standing::Own(caller(part.run)));
    }
}

fn participant(world: &World, deployment: &Persona, run: RunId) -> Caller {
    let key: KeyId = deployment.id().parse().unwrap();
    Caller::Participant(ParticipantCaller {
        run,
        role: "customer".into(),
        deployment: DeploymentId(key.0),
        tenant: world.tenant(),
        key,
        epoch: 0,
        expires_at: Millis(i64::MAX),
    })
}
