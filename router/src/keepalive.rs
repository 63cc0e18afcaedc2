//! Finds out that the other end of an HTTP/2 connection is gone though TCP does not say so.

use std::time::Duration;

use h2::PingPong;
use tokio::time;

/// Pings now and then; returns when an answer stays out.
pub async fn dead(mut pings: PingPong, interval: Duration, timeout: Duration) {
    loop {
        time::sleep(interval).await;
        match time::timeout(timeout, pings.ping(h2::Ping::opaque())).await {
            Ok(Ok(_)) => {}
            // The connection has ended by itself, and says so itself.
            Ok(Err(_)) => return std::future::pending().await,
            Err(_) => return,
        }
    }
}
