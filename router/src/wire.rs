//! Bytes on the wire: gRPC message framing, and finding or replacing one string inside a protobuf message without
//! decoding it. Pure and total: no input makes these functions panic.

pub mod framing;
pub mod path;
