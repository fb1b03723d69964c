//! Which integration is asked, and which ones after it.

use ambient::{Random, RandomError};
use store::IntegrationRecord;

/// What the default integration of every bot is called.
pub(crate) const ECHO: &str = "echo";
/// The kind that asks a server of the customer's own.
pub(crate) const WEBHOOK: &str = "webhook";

/// The integrations that a reply tries, in order. The first is drawn by `weight` among those that
/// are on; `echo` is drawn only where nothing else is on, so that a bot's first real integration
/// answers everything. After it come those marked `fallback`, the oldest first; `weight: 0` with
/// `fallback: true` is a fallback and nothing else. Empty when nothing is on.
pub(crate) fn choose<'a>(
    integrations: &'a [IntegrationRecord],
    random: &dyn Random,
) -> Result<Vec<&'a IntegrationRecord>, RandomError> {
    let candidates = candidates(integrations);
    let Some(first) = draw(&candidates, random)? else {
        return Ok(fallbacks(integrations));
    };
    let mut order = vec![first];
    order.extend(fallbacks(integrations).into_iter().filter(|integration| integration.id != first.id));
    Ok(order)
}

/// What a bot says that it runs on: the model of the heaviest integration that is on, or else its kind, or `echo`.
#[must_use]
pub fn model_of(integrations: &[IntegrationRecord]) -> String {
    let heaviest = candidates(integrations).into_iter().rev().max_by_key(|integration| integration.weight);
    let named = heaviest.map(|integration| integration.model.as_ref().unwrap_or(&integration.kind));
    named.map_or_else(|| ECHO.to_owned(), Clone::clone)
}

fn candidates(integrations: &[IntegrationRecord]) -> Vec<&IntegrationRecord> {
    let mut on: Vec<_> = integrations.iter().filter(|integration| integration.weight > 0).collect();
    on.sort_by_key(|integration| (integration.created_at, integration.id));
    if on.iter().any(|integration| integration.kind != ECHO) {
        on.retain(|integration| integration.kind != ECHO);
    }
    on
}

fn fallbacks(integrations: &[IntegrationRecord]) -> Vec<&IntegrationRecord> {
    let mut order: Vec<_> = integrations.iter().filter(|integration| integration.fallback).collect();
    order.sort_by_key(|integration| (integration.created_at, integration.id));
    order
}

fn draw<'a>(
    candidates: &[&'a IntegrationRecord],
    random: &dyn Random,
) -> Result<Option<&'a IntegrationRecord>, RandomError> {
    let total: u64 = candidates.iter().map(|integration| u64::from(integration.weight)).sum();
    let &[first, .., _] = candidates else { return Ok(candidates.first().copied()) };
    let mut bytes = [0; 8];
    random.fill(&mut bytes)?;
    let mut ticket = u64::from_le_bytes(bytes) % total;
    for integration in candidates {
        match ticket.checked_sub(u64::from(integration.weight)) {
            Some(rest) => ticket = rest,
            None => return Ok(Some(integration)),
        }
    }
    Ok(Some(first))
}

#[cfg(test)]
mod tests {
    use ambient::{BotId, IntegrationId, Millis, SeededRandom, Ulid};

    use super::*;

    fn integration(number: u32, kind: &str, weight: u32, fallback: bool) -> IntegrationRecord {
        IntegrationRecord {
            id: IntegrationId(Ulid(number.into())),
            bot: BotId(Ulid(0)),
            name: String::new(),
            kind: kind.to_owned(),
            url: None,
            model: (kind != ECHO).then(|| format!("model-{number}")),
            headers_sealed: None,
            header_names: Vec::new(),
            timeout_seconds: 30,
            weight,
            fallback,
            secret: store::SealedSecret::default(),
            created_at: Millis(number.into()),
            updated_at: Millis(number.into()),
        }
    }

    fn order(integrations: &[IntegrationRecord]) -> Vec<u128> {
        let chosen = choose(integrations, &SeededRandom::new(7)).unwrap();
        chosen.iter().map(|integration| integration.id.0.0).collect()
    }

    #[test]
    fn weights_are_shares_of_the_traffic() {
        let all = [
            integration(1, "openai", 1, false),
            integration(2, "openai", 3, false),
            integration(3, "openai", 0, false),
        ];
        let random = SeededRandom::new(1);
        let mut hits = [0_u32; 4];
        for _ in 0..4000 {
            hits[usize::try_from(choose(&all, &random).unwrap()[0].id.0.0).unwrap()] += 1;
        }
        assert!((900..1100).contains(&hits[1]) && hits[2] == 4000 - hits[1] && hits[3] == 0, "{hits:?}");
    }

    #[test]
    fn fallbacks_follow_the_first_in_order_of_creation_each_once() {
        let all =
            [integration(3, "openai", 0, true), integration(1, "openai", 1, true), integration(2, "echo", 0, true)];
        assert_eq!(order(&all), [1, 2, 3]);
    }

    #[test]
    fn echo_steps_aside_where_anything_else_is_on() {
        let echo = integration(1, "echo", 9, false);
        assert_eq!(order(&[echo.clone(), integration(2, "openai", 1, false)]), [2]);
        assert_eq!(order(&[echo.clone(), integration(2, "openai", 0, false)]), [1]);
        assert!(order(&[integration(1, "openai", 0, false)]).is_empty(), "nothing is on");
    }

    #[test]
    fn the_model_is_the_heaviest_ones() {
        let (light, heavy) = (integration(1, "openai", 1, false), integration(2, "openai", 2, false));
        assert_eq!(model_of(&[integration(3, "echo", 9, false), light.clone(), heavy]), "model-2");
        assert_eq!(model_of(&[light, integration(2, "openai", 1, false)]), "model-1", "of two the older");
        assert_eq!(model_of(&[]), "echo");
        let webhook = IntegrationRecord { model: None, ..integration(1, "webhook", 1, false) };
        assert_eq!(model_of(&[webhook]), "webhook");
    }
}
