//! Rules, defaulting and selection from outside: own cases of every rule, properties, and upstream's cases and
//! manifests where these are at hand.

mod bypass;
mod cases;
mod corpus;
mod every_rule;
mod objects;
mod properties;
mod selection;
mod shared;
mod shipped;
mod softening;
