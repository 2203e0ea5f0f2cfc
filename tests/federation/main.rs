//! Federations with a real coordinator process over real connections.

mod crashes;
mod cuts;
mod hostile;
mod lab;
mod memory;
mod process;
mod refusals;
mod rounds;
mod watching;
