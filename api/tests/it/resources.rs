//! Custom resources: types, definitions and schemas against manifests that people wrote.

mod manifests;
mod round_trip;
