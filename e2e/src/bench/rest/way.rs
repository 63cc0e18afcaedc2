//! Who is called, and how.

use serde::Serialize;

/// A server that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Program {
    /// `echo-backend`.
    Backend,
    /// `stowage-router`.
    Router,
    /// `e2e/bench/gateway`.
    Gateway,
    /// `MLServer`.
    MlServer,
}

/// How a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// gRPC over HTTP/2.
    Grpc,
    /// REST over HTTP/1.1; connections are kept.
    Http1,
    /// REST over HTTP/2.
    Http2,
}

/// How tensors are written, both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// As JSON.
    Json,
    /// As bytes: after the JSON, or in the protobuf.
    Binary,
}

/// One row of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Way {
    /// Shown in tables.
    #[serde(skip)]
    pub name: &'static str,
    /// Who answers.
    pub program: Program,
    /// Over what.
    pub protocol: Protocol,
    /// In which form.
    pub format: Format,
}

/// What the router's JSON is compared with.
pub const GATEWAY: &str = "Go proxy, JSON, HTTP/1.1";
/// What the router's binary tensors are compared with.
pub const GRPC: &str = "stowage, gRPC";

/// All of them, in the order of a round. The Go proxy and `MLServer` know neither binary tensors nor HTTP/2 in the clear.
pub const WAYS: [Way; 8] = [
    Way {
        name: "direct, gRPC",
        program: Program::Backend,
        protocol: Protocol::Grpc,
        format: Format::Binary,
    },
    Way {
        name: GRPC,
        program: Program::Router,
        protocol: Protocol::Grpc,
        format: Format::Binary,
    },
    Way {
        name: "stowage, binary, HTTP/2",
        program: Program::Router,
        protocol: Protocol::Http2,
        format: Format::Binary,
    },
    Way {
        name: "stowage, binary, HTTP/1.1",
        program: Program::Router,
        protocol: Protocol::Http1,
        format: Format::Binary,
    },
    Way {
        name: "stowage, JSON, HTTP/2",
        program: Program::Router,
        protocol: Protocol::Http2,
        format: Format::Json,
    },
    Way {
        name: "stowage, JSON, HTTP/1.1",
        program: Program::Router,
        protocol: Protocol::Http1,
        format: Format::Json,
    },
    Way {
        name: GATEWAY,
        program: Program::Gateway,
        protocol: Protocol::Http1,
        format: Format::Json,
    },
    Way {
        name: "MLServer, JSON, HTTP/1.1",
        program: Program::MlServer,
        protocol: Protocol::Http1,
        format: Format::Json,
    },
];
