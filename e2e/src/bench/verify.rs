//! The checking client: `h2load` looks at HTTP statuses only, this one at gRPC statuses and every byte.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use tokio::time::timeout;

use super::workload::Workload;
use crate::client::Client;

/// One call may take this long, on a busy machine behind 128 other streams.
const DEADLINE: Duration = Duration::from_secs(30);
/// Pause between calls that run beside a load: a hundred per second are too few to shift the measurement.
const PAUSE: Duration = Duration::from_millis(10);

/// Calls that were checked; the first wrong one ends the bench.
#[derive(Debug)]
pub struct Checker {
    client: Client,
    workload: Workload,
    metadata: Option<(&'static str, &'static str)>,
    count: u64,
}

impl Checker {
    /// Connects.
    pub async fn new(
        addr: SocketAddr,
        workload: Workload,
        metadata: Option<(&'static str, &'static str)>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            client: Client::connect(addr).await?,
            workload,
            metadata,
            count: 0,
        })
    }

    /// One call with a message of its own.
    pub async fn check(&mut self) -> anyhow::Result<()> {
        let fill = u8::try_from(self.count % 251).unwrap_or_default();
        let message = self.workload.message(fill);
        let metadata = self.metadata.as_slice();
        let call = self
            .client
            .unary(api::names::methods::MODEL_INFER, metadata, &message);
        let answer = timeout(DEADLINE, call).await.context("no answer in time")??;
        let code = answer.code()?;
        anyhow::ensure!(code == 0, "grpc-status {code}: {}", answer.message());
        anyhow::ensure!(
            answer.messages == [message],
            "another message came back than was sent"
        );
        self.count += 1;
        Ok(())
    }

    /// Checks until `load` ends, and passes its result on; then says how many calls were checked.
    pub async fn beside<T>(
        &mut self,
        load: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<(T, u64)> {
        let before = self.count;
        let mut load = std::pin::pin!(load);
        loop {
            let step = async {
                self.check().await?;
                tokio::time::sleep(PAUSE).await;
                anyhow::Ok(())
            };
            tokio::select! {
                result = &mut load => return Ok((result?, self.count - before)),
                checked = step => checked?,
            }
        }
    }
}
