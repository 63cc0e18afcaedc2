//! Who of several replicas writes: a Lease of the coordination API, as controllers of Kubernetes use it.
//!
//! Two leaders for a moment do no harm here, because everything that a leader writes is checked against the version that
//! it read.

use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{
    Api, Error,
    api::{ObjectMeta, PostParams},
};
use tokio::time::Instant;

/// Without a sign of life for this long, another one takes over.
pub const DURATION: Duration = Duration::from_secs(15);
/// How often the leader gives one, and the others look.
pub const RENEW: Duration = Duration::from_secs(5);

/// A candidate.
#[derive(Debug)]
pub struct Election {
    leases: Api<Lease>,
    name: String,
    identity: String,
    /// The version that was seen last and when it was first seen, by our own clock: clocks of machines differ.
    seen: Option<(String, Instant)>,
}

/// What to do with a lease that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// It is ours.
    Renew,
    /// Nobody's any more.
    Take,
    /// Somebody else leads.
    Wait,
}

impl Election {
    /// A candidate of this name; names of replicas differ.
    pub fn new(leases: Api<Lease>, name: String, identity: String) -> Self {
        Self {
            leases,
            name,
            identity,
            seen: None,
        }
    }

    /// Renews, takes or waits; whether we lead for the next [`DURATION`].
    pub async fn campaign(&mut self) -> anyhow::Result<bool> {
        let found = self.leases.get_opt(&self.name).await.context("read the lease")?;
        let Some(lease) = found else {
            let lease = self.held(None, true);
            return won(self.leases.create(&PostParams::default(), &lease).await);
        };
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let since = match &self.seen {
            Some((seen, since)) if *seen == version => *since,
            _ => {
                let now = Instant::now();
                self.seen = Some((version, now));
                now
            }
        };
        let choice = choose(lease.spec.as_ref(), &self.identity, since.elapsed());
        if choice == Choice::Wait {
            return Ok(false);
        }
        let lease = self.held(Some(lease), choice == Choice::Take);
        won(self
            .leases
            .replace(&self.name, &PostParams::default(), &lease)
            .await)
    }

    /// Gives the lease back, so that nobody has to wait.
    pub async fn resign(&self) -> anyhow::Result<()> {
        let Some(mut lease) = self.leases.get_opt(&self.name).await? else {
            return Ok(());
        };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_ref() == Some(&self.identity) {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            won(self
                .leases
                .replace(&self.name, &PostParams::default(), &lease)
                .await)?;
        }
        Ok(())
    }

    fn held(&self, lease: Option<Lease>, new_holder: bool) -> Lease {
        let mut lease = lease.unwrap_or_else(|| Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                ..ObjectMeta::default()
            },
            ..Lease::default()
        });
        let now = Some(MicroTime(Timestamp::now()));
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(self.identity.clone());
        spec.lease_duration_seconds = i32::try_from(DURATION.as_secs()).ok();
        spec.renew_time.clone_from(&now);
        if new_holder {
            spec.acquire_time = now;
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default().saturating_add(1));
        }
        lease
    }
}

fn choose(spec: Option<&LeaseSpec>, identity: &str, unchanged: Duration) -> Choice {
    let holder = spec.and_then(|spec| spec.holder_identity.as_deref());
    let seconds = spec.and_then(|spec| spec.lease_duration_seconds);
    let life = seconds.and_then(|seconds| u64::try_from(seconds).ok());
    match holder {
        Some(holder) if holder == identity => Choice::Renew,
        None | Some("") => Choice::Take,
        Some(_) if unchanged > life.map_or(DURATION, Duration::from_secs) => Choice::Take,
        Some(_) => Choice::Wait,
    }
}

/// Somebody else was faster: no error, but no lease either.
fn won(result: kube::Result<Lease>) -> anyhow::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(false),
        Err(err) => Err(err).context("write the lease"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(holder: &str) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn a_lease_is_kept_taken_or_waited_for() {
        let (short, long) = (Duration::from_secs(14), Duration::from_secs(16));
        assert_eq!(choose(Some(&held_by("me")), "me", long), Choice::Renew);
        assert_eq!(choose(Some(&held_by("you")), "me", short), Choice::Wait);
        assert_eq!(choose(Some(&held_by("you")), "me", long), Choice::Take);
        assert_eq!(choose(Some(&held_by("")), "me", Duration::ZERO), Choice::Take);
        assert_eq!(choose(None, "me", Duration::ZERO), Choice::Take);
    }
}
