//! Serves the built page. The same as `sigmascope serve`, without the model: it builds in seconds.

use std::process::ExitCode;

use clap::Parser;
use sigmascope::coordinator::{ServeOptions, serve};

/// Serves SigmaScope's page
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    serve: ServeOptions,
}

fn main() -> ExitCode {
    match serve(Arguments::parse().serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
