//! The command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    sigmascope::cli::run()
}
