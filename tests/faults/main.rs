//! What went wrong in ordinary and hostile use, each kind with the input that showed it: a module
//! for each promise that was broken.

mod listeners;
mod patterns;
#[path = "../scene/mod.rs"]
mod scene;

mod advice;
mod by_name;
mod other_checkout;
mod overtaken;
mod service_manager;
mod survivors;
