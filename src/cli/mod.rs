//! The command-line twin of the page: one file a command, the same code behind it.

mod convert;
mod evaluate;
mod inspect;
mod pretrain;
mod quantized;
mod setting;
#[cfg(feature = "coordinator")]
mod simulate;
mod terminal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A hyperspectral laboratory: the page's work from the command line.
#[derive(Debug, Parser)]
#[command(name = "sigmascope", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// One variant a command; its arguments and its `run` live in the file of its name.
#[derive(Debug, Subcommand)]
enum Command {
    /// Say what a scene file holds.
    Inspect(inspect::Inspect),
    Evaluate(evaluate::EvaluateArgs),
    Convert(convert::Convert),
    Pretrain(pretrain::Pretrain),
    #[cfg(feature = "coordinator")]
    Simulate(simulate::Simulate),
    /// Serve the built page on this machine, and coordinate federations.
    #[cfg(feature = "coordinator")]
    #[command(args_override_self = true)]
    Serve(crate::coordinator::ServeOptions),
}

/// What a command returns: the text for standard output (empty when it printed as it went), or one sentence for
/// standard error.
type Outcome = Result<String, Box<dyn std::error::Error>>;

/// Runs the command that the arguments name. Exit codes: 0 done, 2 wrong arguments or a refusal in one sentence.
pub fn run() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(error) => return fail(&error.to_string()),
    };
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        // Help and version are ours; a refusal quotes what was typed, which may be the name of a stranger's file.
        Err(error) if error.use_stderr() => {
            terminal::say(&error.render().to_string());
            return ExitCode::from(2);
        }
        Err(help) => help.exit(),
    };
    let outcome = match cli.command {
        Command::Inspect(inspect) => inspect.run(),
        Command::Convert(convert) => convert.run(),
        Command::Pretrain(pretrain) => pretrain.run(),
        Command::Evaluate(args) => evaluate::evaluate(&args).map_err(Into::into),
        #[cfg(feature = "coordinator")]
        Command::Simulate(simulate) => simulate.run(),
        #[cfg(feature = "coordinator")]
        Command::Serve(options) => crate::coordinator::serve(options).map(|()| String::new()).map_err(Into::into),
    };
    match outcome {
        Ok(text) => match terminal::print(&text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("the result could not be written: {error}")),
        },
        Err(error) => fail(&error.to_string()),
    }
}

/// The server's settings may also come from the environment and a file.
fn arguments() -> Result<Vec<std::ffi::OsString>, Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args_os().collect();
    #[cfg(feature = "coordinator")]
    if arguments.get(1).is_some_and(|command| command == "serve") {
        use crate::coordinator::{environment, with_file_and_environment};
        return Ok(with_file_and_environment(arguments, environment(), 2)?);
    }
    Ok(arguments)
}

fn fail(sentence: &str) -> ExitCode {
    terminal::say_sentence(sentence);
    ExitCode::from(2)
}
