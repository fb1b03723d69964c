//! A little work before a stranger starts a survey (proof of work, as in hashcash): nothing for a person, dear
//! for who starts thousands. Served by ourselves: nobody else learns who takes part.
//!
//! A nonce is signed and kept nowhere; what is kept is which solutions were used, until they expire. It is
//! bound to no address: phones change theirs on the way.

use std::fmt;

use ambient::{DeploymentId, Millis, Ulid};
use api::App;
use cluster::StartOutlook;
use credential::secret::Digest as Mac;
use data_encoding::BASE64URL_NOPAD;
use gate::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::DeploymentRecord;

/// Seconds that a challenge may take.
const LIFE_S: u32 = 120;
/// Zero bits at the least: a tenth of a second on a computer, one second on a slow phone.
const EASIEST: u8 = 16;
/// And at the most: some seconds on a computer.
const HARDEST: u8 = 22;
/// With `auto`: starts in a minute from which on there is work to do, where the deployment says nothing else.
const QUIET_PACE: u32 = 10;
/// Bits more for each quarter of the day's starts that is used: the last ones are the dearest.
const BITS_OF_QUARTERS: [u8; 5] = [0, 1, 2, 4, 4];
/// How many bits a nonce may lag behind: the pace rises while honest people solve. Less than the day adds in all,
/// so that nobody hoards easy ones.
const LAG: u8 = 2;
/// The most bytes of a solution.
const MAX_SOLUTION: usize = 64;
/// A domain of its own under the installation's secret.
const PURPOSE: &str = "survey-challenge:v1";

/// Difficulty, end and random part.
const HEAD: usize = 1 + 8 + 16;
/// Of the MAC, more than half: nobody tries 2¹⁷⁶. With it a nonce and its point are 64 characters, one block of the
/// hash, which a page computes once for all tries.
const TAG: usize = 22;

/// What is to be done before a survey is started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Challenge {
    /// `SHA-256`; absent where nothing is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    algorithm: Option<String>,
    /// Find a text with which `SHA-256(nonce + "." + text)` begins with `difficulty` zero bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
    /// Zero bits; 0 is nothing to do.
    difficulty: u8,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u32>,
}

/// A challenge that was solved.
#[derive(Clone, Deserialize, JsonSchema)]
pub(crate) struct Solved {
    /// Of the challenge.
    pub(crate) nonce: String,
    /// The text that was found, at most 64 characters.
    pub(crate) solution: String,
}

impl Solved {
    /// The fields `nonce` and `solution` of the page's form.
    pub(crate) fn of_form(pairs: &[(String, String)]) -> Option<Self> {
        let field = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        Some(Self { nonce: field("nonce")?, solution: field("solution")? })
    }
}

impl fmt::Debug for Solved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Solved(…)")
    }
}

/// How many zero bits a start of this deployment costs now.
pub(crate) fn difficulty(app: &App, deployment: &DeploymentRecord, outlook: &StartOutlook) -> u8 {
    difficulty_at(deployment, app.cluster().public_pace(deployment.id), outlook.day_quarters)
}

fn difficulty_at(deployment: &DeploymentRecord, pace: u32, day_quarters: u8) -> u8 {
    let quiet = deployment.runs_per_minute.map_or(QUIET_PACE, |most| (most / 4).max(1));
    // One bit for each time the pace has doubled beyond what is quiet.
    let doublings = u8::try_from((pace / quiet).checked_ilog2().unwrap_or(0)).unwrap_or(HARDEST);
    let day = BITS_OF_QUARTERS[usize::from(day_quarters.min(4))];
    let hard = EASIEST.saturating_add(doublings).saturating_add(day).min(HARDEST);
    match deployment.challenge.as_str() {
        "on" => hard,
        "auto" if pace >= quiet => hard,
        _ => 0,
    }
}

/// A challenge for a start of this deployment.
///
/// # Errors
/// When the random source fails.
pub(crate) fn ask(
    app: &App,
    deployment: &DeploymentRecord,
    outlook: &StartOutlook,
    now: Millis,
) -> Result<Challenge, Problem> {
    let difficulty = difficulty(app, deployment, outlook);
    if difficulty == 0 {
        return Ok(Challenge { algorithm: None, nonce: None, difficulty, expires_in: None });
    }
    let mut random = [0; 16];
    app.random().fill(&mut random)?;
    let nonce = Nonce { difficulty, expires_at: now.plus(i64::from(LIFE_S) * 1000), random };
    let mac = app.secrets().digest_for(PURPOSE, &nonce.signed(deployment.id));
    Ok(Challenge {
        algorithm: Some("SHA-256".to_owned()),
        nonce: Some(nonce.write(&mac)),
        difficulty,
        expires_in: Some(LIFE_S),
    })
}

/// Uses a solution up, where one is needed.
///
/// # Errors
/// 403 `CHALLENGE_REQUIRED` with the next challenge: without a solution, with one that is wrong, expired, of
/// another survey, too easy by now, or used.
pub(crate) fn check(
    app: &App,
    deployment: &DeploymentRecord,
    outlook: &StartOutlook,
    solved: Option<&Solved>,
    now: Millis,
) -> Result<(), Problem> {
    let wanted = difficulty(app, deployment, outlook);
    if wanted == 0 || solved.is_some_and(|solved| is_good(app, deployment.id, solved, wanted, now)) {
        return Ok(());
    }
    let challenge = ask(app, deployment, outlook, now)?;
    Err(Problem::challenge_required(serde_json::to_value(challenge).map_err(Problem::unavailable)?))
}

fn is_good(app: &App, deployment: DeploymentId, solved: &Solved, wanted: u8, now: Millis) -> bool {
    let Some((nonce, tag)) = Nonce::read(&solved.nonce) else { return false };
    let signed = nonce.signed(deployment);
    let secrets = app.secrets();
    let is_ours = [Some(secrets.digest_for(PURPOSE, &signed)), secrets.previous_digest_for(PURPOSE, &signed)]
        .into_iter()
        .flatten()
        .any(|mac| Mac(widen(&mac.0[..TAG])).ct_eq(&Mac(widen(&tag))));
    let asked_at = nonce.expires_at.plus(-i64::from(LIFE_S) * 1000);
    is_ours
        && now < nonce.expires_at
        && nonce.difficulty.saturating_add(LAG) >= wanted
        && is_solution(&solved.nonce, &solved.solution, nonce.difficulty)
        && app.cluster().spend(u128::from_be_bytes(nonce.random), asked_at, nonce.expires_at)
}

fn widen(tag: &[u8]) -> [u8; 32] {
    let mut wide = [0; 32];
    wide[..TAG].copy_from_slice(&tag[..TAG]);
    wide
}

fn is_solution(nonce: &str, solution: &str, difficulty: u8) -> bool {
    if solution.len() > MAX_SOLUTION {
        return false;
    }
    let hash = Sha256::new().chain_update(nonce).chain_update(".").chain_update(solution).finalize();
    let first = hash.iter().take(16).fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    first.leading_zeros() >= u32::from(difficulty)
}

struct Nonce {
    difficulty: u8,
    expires_at: Millis,
    random: [u8; 16],
}

impl Nonce {
    fn head(&self) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        head[0] = self.difficulty;
        head[1..9].copy_from_slice(&self.expires_at.0.to_be_bytes());
        head[9..].copy_from_slice(&self.random);
        head
    }

    /// Fixed lengths, so that nothing can be shifted from one part to another.
    fn signed(&self, DeploymentId(Ulid(deployment)): DeploymentId) -> Vec<u8> {
        [&self.head()[..], &deployment.to_be_bytes()].concat()
    }

    fn write(&self, mac: &Mac) -> String {
        BASE64URL_NOPAD.encode(&[&self.head()[..], &mac.0[..TAG]].concat())
    }

    fn read(text: &str) -> Option<(Self, [u8; TAG])> {
        let bytes: [u8; HEAD + TAG] = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?.try_into().ok()?;
        let (head, tag) = bytes.split_at(HEAD);
        let expires_at = Millis(i64::from_be_bytes(head[1..9].try_into().ok()?));
        Some((Self { difficulty: head[0], expires_at, random: head[9..].try_into().ok()? }, tag.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use ambient::WorkflowId;

    use super::*;

    fn deployment(challenge: &str, runs_per_minute: Option<u32>) -> DeploymentRecord {
        DeploymentRecord {
            id: DeploymentId(Ulid(1)),
            workflow: WorkflowId(Ulid(2)),
            name: String::new(),
            version: 1,
            definition: String::new(),
            survey_mode: true,
            daily_runs: None,
            daily_replies: None,
            runs_per_minute,
            input_mapping: None,
            challenge: challenge.to_owned(),
            display: String::new(),
            created_at: Millis(0),
            revoked_at: None,
        }
    }

    #[test]
    fn the_work_rises_with_the_pace_by_a_bit_for_each_doubling() {
        let bits = |challenge: &str, pace| difficulty_at(&deployment(challenge, None), pace, 0);
        let paces = [0, 9, 10, 19, 20, 40, 80, 2559, 2560, 1_000_000, u32::MAX];
        assert_eq!(paces.map(|pace| bits("auto", pace)), [0, 0, 16, 16, 17, 18, 19, 22, 22, 22, 22]);
        assert_eq!(paces.map(|pace| bits("on", pace)), [16, 16, 16, 16, 17, 18, 19, 22, 22, 22, 22]);
        assert_eq!(paces.map(|pace| bits("off", pace)), [0; 11]);
        let own = |most, pace| difficulty_at(&deployment("auto", Some(most)), pace, 0);
        assert_eq!([own(400, 99), own(400, 100), own(400, 200), own(1, 0), own(1, 1)], [0, 16, 17, 0, 16]);
    }

    #[test]
    fn the_work_rises_as_the_day_is_used_up() {
        let bits =
            |challenge: &str, pace| [0, 1, 2, 3, 4].map(|day| difficulty_at(&deployment(challenge, None), pace, day));
        assert_eq!(bits("on", 0), [16, 17, 18, 20, 20]);
        assert_eq!(bits("on", 40), [18, 19, 20, 22, 22]);
        assert_eq!(bits("auto", 10), bits("on", 10));
        assert_eq!((bits("auto", 9), bits("off", 1000)), ([0; 5], [0; 5]));
        assert!(EASIEST + LAG < bits("on", 0)[3], "what was hoarded in the morning is too easy in the evening");
    }

    #[test]
    fn a_solution_has_the_zero_bits_that_were_asked_for() {
        let found = (0..).map(|n: u32| n.to_string()).find(|text| is_solution("nonce", text, 10)).unwrap();
        let hash = Sha256::digest(format!("nonce.{found}"));
        assert!(hash[0] == 0 && hash[1] < 64);
        assert!(!is_solution("other", &found, 10) && !is_solution("nonce", &found, 64));
        assert!(is_solution("nonce", &"x".repeat(64), 0) && !is_solution("nonce", &"x".repeat(65), 0));
    }

    #[test]
    fn a_nonce_comes_back_as_it_was_and_nothing_else_is_one() {
        let nonce = Nonce { difficulty: 17, expires_at: Millis(1_700_000_000_123), random: [7; 16] };
        let text = nonce.write(&Mac([9; 32]));
        assert_eq!(text.len() + 1, 64, "one whole block");
        let (read, tag) = Nonce::read(&text).unwrap();
        assert_eq!((read.difficulty, read.expires_at, read.random, tag), (17, nonce.expires_at, [7; 16], [9; TAG]));
        assert_ne!(nonce.signed(DeploymentId(Ulid(1))), nonce.signed(DeploymentId(Ulid(2))));
        for wrong in ["", "x", &text[1..], &format!("{text}AAAA"), &text.replace('A', "=")] {
            assert!(Nonce::read(wrong).is_none(), "{wrong}");
        }
    }
}
