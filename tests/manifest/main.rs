//! Manifests, from the file to the resolved form and to what people see of their mistakes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod committed;
mod corpus;
mod hints;
mod resolve;
mod scene;
