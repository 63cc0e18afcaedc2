//! What `ModelMesh`'s own tests check, with real routers beside example runtimes: one router with a store in memory, and
//! several that share an etcd.

mod alone;
mod evictions;
mod failures;
mod ids;
mod lost_models;
mod tools;
mod vmodels;
