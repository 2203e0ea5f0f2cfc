//! Serves the built page and coordinates federations. The same as `sigmascope serve`, without the model: it builds in seconds.

use std::process::ExitCode;

use clap::Command;
use sigmascope::coordinator::{ServeError, parse, serve};

fn main() -> ExitCode {
    let command = Command::new("coordinator")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Serves SigmaScope's page and coordinates federated rounds");
    match parse(command).map_err(ServeError::from).and_then(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
