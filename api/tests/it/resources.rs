//! Custom resources: types, definitions and schemas against manifests that people wrote.

#[cfg(feature = "manifests")]
mod checked_in;
mod definitions;
mod manifests;
mod round_trip;
