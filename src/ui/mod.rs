//! The full-screen terminal interface, without its terminal.
//!
//! Three pure parts: [`Model`] is all that is known, [`update`] turns it by one [`Event`] and says
//! what is to be done ([`Effect`]), [`view`] draws it. Nothing here reads a clock, a file or a key;
//! the shell around it is `baudbot ui` (`cli::ui`). So every screen and every key can be tested as a
//! value.
//!
//! What a key does to services is what a command of the same name would: an effect holds the words of
//! that command, and the screen shows them.

mod layout;
mod log;
mod model;
mod update;
mod view;

#[cfg(test)]
mod tests;

pub use log::{Log, LogLine};
pub use model::{Effect, Event, Link, Model, Outcome};
pub use update::update;
pub use view::view;
