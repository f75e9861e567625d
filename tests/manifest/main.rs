//! Manifests, from the file to the resolved form and to what people see of their mistakes.

mod corpus;
mod scene;
