//! What one replica does for all: keeps the Secret, the CA bundle in the webhook configurations, and arms them.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use k8s_openapi::api::{coordination::v1, core::v1::Secret};
use kit::drain::Drain;
use kube::{Api, Client};
use tokio::time::{Instant, timeout};

use super::{
    configurations::Configurations,
    lease::{Election, RENEW},
    plan::Wanted,
    probe::{Reached, probe},
    secret,
};
use crate::server::metrics::Metrics;

/// All that the leader does in one turn takes a few requests.
const TURN: Duration = Duration::from_secs(30);
/// Every API server acts on a changed webhook configuration within this time.
const TRUSTED_AFTER: Duration = Duration::from_secs(30);

/// What is kept.
#[derive(Clone, Debug)]
pub struct Keeping {
    /// Namespace of Secret, Lease and probe.
    pub namespace: String,
    /// Name of the Secret, and what the certificate in it has to be; none where somebody else makes certificates.
    pub certificate: Option<(String, Wanted)>,
    /// Name of the webhook configurations.
    pub configuration: String,
    /// Name of the Lease.
    pub lease: String,
    /// Name of this replica.
    pub identity: String,
    /// Whether webhooks become `Fail` once they were seen to work.
    pub arm: bool,
}

struct Keeper {
    client: Client,
    secrets: Api<Secret>,
    configurations: Configurations,
    keeping: Keeping,
    /// The bundle that all configurations have, and since when.
    trusted: Option<(String, Instant)>,
    /// The last word on arming, so that it is logged once.
    said: Option<String>,
}

/// Leads and keeps, or waits to lead, until `drain` starts.
pub async fn keep(client: Client, keeping: Keeping, metrics: Metrics, drain: Drain) {
    let leases: Api<v1::Lease> = Api::namespaced(client.clone(), &keeping.namespace);
    let mut election = Election::new(leases, keeping.lease.clone(), keeping.identity.clone());
    let mut keeper = Keeper {
        secrets: Api::namespaced(client.clone(), &keeping.namespace),
        configurations: Configurations::new(&client, &keeping.configuration),
        client,
        keeping,
        trusted: None,
        said: None,
    };
    let mut leads = false;
    loop {
        let begin = Instant::now();
        let led = leads;
        leads = timeout(RENEW, election.campaign())
            .await
            .unwrap_or_else(|_| Err(anyhow::anyhow!("the API server did not answer in time")))
            .unwrap_or_else(|err| {
                tracing::warn!(error = format!("{err:#}"), "lease not renewed");
                false
            });
        if leads != led {
            tracing::info!(leads, "leadership");
            metrics.leads(leads);
        }
        if leads {
            let turn = timeout(TURN, keeper.turn()).await;
            if let Err(err) = turn.unwrap_or_else(|_| Err(anyhow::anyhow!("not done within {TURN:?}"))) {
                tracing::warn!(
                    error = format!("{err:#}"),
                    "certificates and webhook configurations not kept"
                );
            }
        }
        tokio::select! {
            () = drain.started() => break,
            () = tokio::time::sleep_until(begin + RENEW) => {}
        }
    }
    if leads && !matches!(timeout(RENEW, election.resign()).await, Ok(Ok(()))) {
        tracing::debug!("lease not given back");
    }
}

impl Keeper {
    async fn turn(&mut self) -> anyhow::Result<()> {
        let bundle = self.certificate().await?;
        let state = self.configurations.trust(bundle.as_deref()).await?;
        if state.written > 0 {
            tracing::info!(webhooks = state.written, "CA bundle written");
        }
        let known = self.trusted.as_ref().map(|(known, _)| known);
        if bundle.is_some() && (state.written > 0 || known != bundle.as_ref()) {
            self.trusted = bundle.map(|bundle| (bundle, Instant::now()));
        }
        if self.keeping.arm && state.ignored > 0 {
            self.arm().await?;
        }
        Ok(())
    }

    /// Brings the Secret up to date; the bundle that its certificate needs.
    async fn certificate(&mut self) -> anyhow::Result<Option<String>> {
        let Some((name, wanted)) = &self.keeping.certificate else {
            return Ok(None);
        };
        let found = self
            .secrets
            .get_opt(name)
            .await
            .with_context(|| format!("read Secret {name}"))?;
        let material = found.as_ref().map(secret::read).unwrap_or_default();
        let trusted = self
            .trusted
            .as_ref()
            .is_some_and(|(bundle, since)| *bundle == material.bundle() && since.elapsed() > TRUSTED_AFTER);
        let now = SystemTime::now();
        let Some(step) = material.step(wanted, now, trusted) else {
            return Ok(Some(material.bundle()));
        };
        let material = material.after(step, wanted, now).context("make a certificate")?;
        secret::store(&self.secrets, name, &material, found.as_ref())
            .await
            .with_context(|| format!("write Secret {name}"))?;
        tracing::info!(?step, secret = name, "certificates changed");
        Ok(Some(material.bundle()))
    }

    async fn arm(&mut self) -> anyhow::Result<()> {
        match probe(&self.client, &self.keeping.namespace).await {
            Reached::Yes => {
                self.configurations.arm().await?;
                self.said = None;
                tracing::info!("the API server reaches this webhook: failurePolicy is Fail from now on");
            }
            Reached::No(why) => {
                if self.said.as_ref() != Some(&why) {
                    tracing::info!(why, "not armed: the API server does not reach this webhook yet");
                    self.said = Some(why);
                }
            }
        }
        Ok(())
    }
}
