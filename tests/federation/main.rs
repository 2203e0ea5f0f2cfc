//! Federations with a real coordinator process over real connections.

mod crashes;
mod lab;
mod memory;
mod process;
mod refusals;
mod rounds;
mod watching;
