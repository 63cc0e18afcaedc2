//! From a scenario that goes wrong to a small one that does.

use super::{Fault, Scenario, Violation, run};

/// Runs that are spent on it at most.
const MAX_RUNS: usize = 300;

/// Looks for fewer faults, routers, models and requests that still lead to a violation; the last one is returned.
pub fn shrink(violation: Violation) -> Violation {
    let mut best = violation;
    let mut runs = 0;
    loop {
        let candidates = smaller(&best.scenario);
        let found = candidates.into_iter().find_map(|scenario| {
            runs += 1;
            if runs > MAX_RUNS {
                None
            } else {
                run(&scenario).err()
            }
        });
        match found {
            Some(violation) if runs <= MAX_RUNS => best = violation,
            _ => return best,
        }
    }
}

/// Scenarios with less in them, the boldest first.
fn smaller(scenario: &Scenario) -> Vec<Scenario> {
    let mut found = Vec::new();
    let faults = &scenario.faults;
    let without = |from: usize, until: usize| {
        let kept = faults
            .iter()
            .enumerate()
            .filter(|(at, _)| !(from..until).contains(at));
        kept.map(|(_, fault)| *fault).collect::<Vec<_>>()
    };
    if faults.len() > 1 {
        let half = faults.len() / 2;
        for faults in [without(0, half), without(half, faults.len())] {
            found.push(Scenario {
                faults,
                ..scenario.clone()
            });
        }
    }
    for at in 0..faults.len() {
        found.push(Scenario {
            faults: without(at, at + 1),
            ..scenario.clone()
        });
    }
    if scenario.routers > 2 {
        let routers = scenario.routers - 1;
        let there = |fault: &Fault| !fault.is_beyond(routers);
        found.push(Scenario {
            routers,
            faults: faults.iter().copied().filter(there).collect(),
            ..scenario.clone()
        });
    }
    for models in [scenario.models / 2, scenario.models - 1] {
        if (1..scenario.models).contains(&models) {
            found.push(Scenario {
                models,
                ..scenario.clone()
            });
        }
    }
    for requests in [0, scenario.requests / 2] {
        if requests < scenario.requests {
            found.push(Scenario {
                requests,
                ..scenario.clone()
            });
        }
    }
    let over = faults.iter().map(Fault::until).max().unwrap_or(0) + 10_000;
    if over < scenario.duration {
        found.push(Scenario {
            duration: over,
            ..scenario.clone()
        });
    }
    found
}
