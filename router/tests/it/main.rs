//! Service tests of the router, in process.

mod rest;
