//! Why the server is not ready: one place that its parts report to.

use std::{collections::BTreeMap, sync::Arc};

use kit::admin::Readiness;
use parking_lot::Mutex;

/// Problems of the parts; ready while there is none. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Health {
    problems: Arc<Mutex<BTreeMap<&'static str, String>>>,
    readiness: Readiness,
}

impl Health {
    /// Not ready until every part of `parts` has reported.
    pub fn new(parts: &[&'static str]) -> Self {
        let problems = parts.iter().map(|part| (*part, "starting".to_owned())).collect();
        let health = Self {
            problems: Arc::new(Mutex::new(problems)),
            readiness: Readiness::new("starting"),
        };
        health.publish(&health.problems.lock());
        health
    }

    /// What the probes ask.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// A part is fine, or has a problem.
    pub fn report(&self, part: &'static str, problem: Option<String>) {
        let mut problems = self.problems.lock();
        match problem {
            Some(problem) => problems.insert(part, problem),
            None => problems.remove(part),
        };
        self.publish(&problems);
    }

    /// Under the lock, so that the last report is what is published.
    fn publish(&self, problems: &BTreeMap<&'static str, String>) {
        if problems.is_empty() {
            self.readiness.set_ready();
            return;
        }
        let list: Vec<_> = problems
            .iter()
            .map(|(part, problem)| format!("{part}: {problem}"))
            .collect();
        self.readiness.set_unready(list.join("; "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_no_part_has_a_problem() {
        let health = Health::new(&["certificate", "watches"]);
        health.report("certificate", None);
        assert_eq!(health.readiness().reason().unwrap(), "watches: starting");
        health.report("watches", None);
        assert!(health.readiness().is_ready());
        health.report("certificate", Some("expired".into()));
        assert_eq!(health.readiness().reason().unwrap(), "certificate: expired");
    }
}
