//! What is best in hindsight.

use std::collections::{BTreeSet, HashMap};

use super::{Outcome, Trace, trace::LOAD_MS};

/// The set of models with the most hits for its size, loaded from the start and never changed.
pub(super) fn fixed(trace: &Trace, capacity: u64) -> Outcome {
    let mut counts = vec![0_u64; trace.sizes.len()];
    for model in &trace.requests {
        if let Some(count) = counts.get_mut(*model as usize) {
            *count += 1;
        }
    }
    let mut models: Vec<_> = (0_u32..)
        .zip(&counts)
        .map(|(model, count)| (*count, trace.size(model)))
        .collect();
    // More hits for each unit first; exact where all sizes are the same, and nearly so otherwise.
    models.sort_by(|a, b| (u128::from(b.0) * u128::from(a.1)).cmp(&(u128::from(a.0) * u128::from(b.1))));
    let (mut room, mut hits, mut loaded) = (capacity, 0, 0);
    for (count, size) in models {
        if size <= room {
            room -= size;
            hits += count;
        } else {
            loaded += count * size;
        }
    }
    outcome(trace, hits, loaded)
}

/// Whoever is needed last leaves. Optimal where all sizes are the same; otherwise a good choice, not the best.
pub(super) fn clairvoyant(trace: &Trace, capacity: u64) -> Outcome {
    let mut next_use = vec![usize::MAX; trace.requests.len()];
    let mut seen = HashMap::new();
    for (at, model) in trace.requests.iter().enumerate().rev() {
        if let (Some(later), Some(next)) = (seen.insert(*model, at), next_use.get_mut(at)) {
            *next = later;
        }
    }
    let mut held: HashMap<u32, usize> = HashMap::new();
    let mut order = BTreeSet::new();
    let (mut room, mut hits, mut loaded) = (capacity, 0, 0);
    for (model, next) in trace.requests.iter().zip(next_use) {
        let size = trace.size(*model);
        if let Some(expected) = held.insert(*model, next) {
            order.remove(&(expected, *model));
            hits += 1;
        } else {
            while room < size
                && let Some((_, victim)) = order.pop_last()
            {
                held.remove(&victim);
                room += trace.size(victim);
            }
            room = room.saturating_sub(size);
            loaded += size;
        }
        order.insert((next, *model));
    }
    outcome(trace, hits, loaded)
}

fn outcome(trace: &Trace, hits: u64, loaded: u64) -> Outcome {
    let requests = trace.requests.len().max(1) as f64;
    Outcome {
        hits: hits as f64 / requests,
        reload_ms: loaded as f64 * LOAD_MS / requests,
    }
}
