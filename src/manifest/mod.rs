//! From YAML text to the resolved form.

pub mod model;
