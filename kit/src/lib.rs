//! What every service needs once: flags, telemetry, admin endpoints, drain, status codes.
