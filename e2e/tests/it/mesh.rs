//! What `ModelMesh`'s own tests check, with real routers beside example runtimes: one router with a store in memory, and
//! several that share an etcd.

mod alone;
mod cluster;
mod evictions;
mod failures;
mod faults;
mod ids;
mod lost_models;
mod observed;
mod pods;
mod tools;
mod vmodels;
