//! Finds out that the other end of an HTTP/2 connection is gone though TCP does not say so.

use std::time::Duration;

use h2::PingPong;
use tokio::time;

/// Pings now and then, when it is worth it; returns when an answer stays out.
pub async fn dead(
    mut pings: PingPong,
    interval: Duration,
    timeout: Duration,
    mut is_worth_it: impl FnMut() -> bool,
) {
    loop {
        time::sleep(interval).await;
        if !is_worth_it() {
            continue;
        }
        match time::timeout(timeout, pings.ping(h2::Ping::opaque())).await {
            Ok(Ok(_)) => {}
            // The connection has ended by itself, and says so itself.
            Ok(Err(_)) => return std::future::pending().await,
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn asks_only_when_it_is_worth_it() {
        // Nobody at the other end: the first ping stays without an answer.
        let (io, _silent) = tokio::io::duplex(1 << 10);
        let (_sender, mut connection) = h2::client::handshake(io).await.expect("nothing to wait for");
        let pings = connection.ping_pong().expect("the first to ask for them");
        let mut asked = 0;
        let moment = Duration::from_millis(1);
        dead(pings, moment, moment, || {
            asked += 1;
            asked == 3
        })
        .await;
        assert_eq!(asked, 3);
    }
}
