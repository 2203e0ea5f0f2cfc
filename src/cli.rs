//! The command-line twin of the page.

pub mod evaluate;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "sigmascope", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Evaluate(evaluate::EvaluateArgs),
}

/// Runs the command line; gives the exit status.
pub fn run() -> u8 {
    let result = match Cli::parse().command {
        Command::Evaluate(args) => evaluate::evaluate(&args),
    };
    match result {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            2
        }
    }
}
