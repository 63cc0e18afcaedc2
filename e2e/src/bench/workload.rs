//! What is sent.

use api::inference::ModelInferRequest;
use prost::Message;
use serde::Serialize;

/// Model that the messages name.
pub const MODEL: &str = "bench";

/// One column of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Workload {
    /// Shown in tables.
    pub name: &'static str,
    /// Bytes of the encoded message.
    pub bytes: usize,
    /// Connections of the load generator.
    pub connections: u32,
    /// Streams on each connection.
    pub streams: u32,
    /// Calls in one run.
    pub calls: u32,
}

/// All of them: small and large messages, for throughput and for latency.
pub const ALL: [Workload; 4] = [
    Workload {
        name: "50 B, 128 streams",
        bytes: 50,
        connections: 4,
        streams: 32,
        calls: 100_000,
    },
    Workload {
        name: "50 B, 1 stream",
        bytes: 50,
        connections: 1,
        streams: 1,
        calls: 10_000,
    },
    Workload {
        name: "600 kB, 128 streams",
        bytes: 600_000,
        connections: 4,
        streams: 32,
        calls: 1_500,
    },
    Workload {
        name: "600 kB, 1 stream",
        bytes: 600_000,
        connections: 1,
        streams: 1,
        calls: 500,
    },
];

impl Workload {
    /// Fewer calls, for a look whether everything works.
    #[must_use]
    pub fn divided_by(self, divisor: u32) -> Self {
        let least = self.connections * self.streams;
        Self {
            calls: (self.calls / divisor.max(1)).max(least),
            ..self
        }
    }

    /// A request of exactly that size which names [`MODEL`]; `fill` tells messages apart.
    pub fn message(&self, fill: u8) -> Vec<u8> {
        let mut request = ModelInferRequest {
            model_name: MODEL.into(),
            id: "request-1".into(),
            ..Default::default()
        };
        let mut size = self.bytes.saturating_sub(request.encoded_len());
        // The padding's own tag and length take some of the room; a few steps find how much.
        loop {
            request.raw_input_contents = vec![vec![fill; size].into()];
            let over = request.encoded_len().saturating_sub(self.bytes);
            if over == 0 || size == 0 {
                return request.encode_to_vec();
            }
            size = size.saturating_sub(over);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_size_and_the_name() {
        for workload in ALL {
            let message = workload.message(7);
            assert_eq!(message.len(), workload.bytes, "{}", workload.name);
            assert_eq!(ModelInferRequest::decode(&*message).unwrap().model_name, MODEL);
        }
    }

    #[test]
    fn a_quick_run_still_fills_every_stream() {
        for workload in ALL {
            let quick = workload.divided_by(1_000_000);
            assert_eq!(quick.calls, quick.connections * quick.streams);
        }
    }
}
