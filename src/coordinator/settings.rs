//! Settings from flags, environment and file, in this order of strength.
//!
//! Everything is a flag. A setting `max-connections` is also `SIGMASCOPE_MAX_CONNECTIONS` in the environment and
//! `max-connections = 200` in the TOML file that `--config` or `SIGMASCOPE_CONFIG` names.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::{ArgMatches, Args, Command, FromArgMatches};
use thiserror::Error;

use super::{Origin, ServeOptions};

/// Federated rounds, and how much the server takes on.
#[derive(Debug, Clone, clap::Args)]
pub struct FederationOptions {
    /// Folder in which federations are kept; without it this server shows the page only
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,

    /// File with the admin token of the host; without it one is made at the first start and written into the data folder
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,

    /// Origins of other pages that may use this coordinator, separated by commas: https://lab.example
    #[arg(long, value_name = "ORIGINS", value_delimiter = ',', action = clap::ArgAction::Set)]
    pub origin: Vec<Origin>,

    /// Federations that have not finished
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub max_federations: usize,

    /// Open connections
    #[arg(long, default_value_t = 1024, value_name = "N", value_parser = clap::value_parser!(u32).range(1..1_000_000))]
    pub max_connections: u32,

    /// Requests a second of one client, ten seconds' worth at once
    #[arg(long, default_value_t = 50.0, value_name = "RATE", value_parser = rate)]
    pub request_rate: f64,

    /// Requests a second with one federation's invite token, ten seconds' worth at once
    #[arg(long, default_value_t = 20.0, value_name = "RATE", value_parser = rate)]
    pub join_rate: f64,

    /// Seconds for the head of a request, between two requests of a connection, and for taking a piece of an answer
    #[arg(long, default_value_t = 30.0, value_name = "SECONDS", value_parser = rate)]
    pub head_timeout: f64,

    /// Seconds for the body of a request
    #[arg(long, default_value_t = 60.0, value_name = "SECONDS", value_parser = rate)]
    pub body_timeout: f64,

    /// What is written to standard error
    #[arg(long, default_value = "text", value_name = "FORM")]
    pub log: LogForm,

    /// File with settings, TOML; flags and environment are stronger
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogForm {
    /// A line for people: warnings and errors
    #[default]
    Text,
    /// A line of JSON for every request and every event
    Json,
    /// Nothing
    Off,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1e6 => Ok(rate),
        _ => Err("expected a number above 0 and at most 1000000".into()),
    }
}

impl Default for FederationOptions {
    fn default() -> Self {
        Self {
            data: None,
            admin_token_file: None,
            origin: Vec::new(),
            max_federations: 100,
            max_connections: 1024,
            request_rate: 50.0,
            join_rate: 20.0,
            head_timeout: 30.0,
            body_timeout: 60.0,
            log: LogForm::Text,
            config: None,
        }
    }
}

/// Why settings cannot be used.
#[derive(Debug, Error)]
pub enum SettingsError {
    #[error("The settings in {} cannot be read: {reason}. Correct the file, or name another with --config.", .file.display())]
    File { file: PathBuf, reason: String },
    #[error("{name} is no setting of the server (in {place}). See --help for those there are.")]
    Unknown { name: String, place: String },
}

/// The arguments with those of file and environment put in front, where stronger ones override them. `at` is how many
/// arguments (the program, a subcommand) stay in front.
///
/// # Errors
/// [`SettingsError`] when the file cannot be read or names what is no setting.
pub fn with_file_and_environment(
    arguments: Vec<OsString>,
    environment: impl Iterator<Item = (String, String)>,
    at: usize,
) -> Result<Vec<OsString>, SettingsError> {
    let command = ServeOptions::augment_args(Command::new("serve"));
    let known: Vec<&str> = command.get_arguments().filter_map(|argument| argument.get_long()).collect();
    let mut from_environment = Vec::new();
    let mut config = None;
    for (key, value) in environment {
        let Some(name) = key.strip_prefix("SIGMASCOPE_") else { continue };
        let name = name.to_lowercase().replace('_', "-");
        // Other programs of the project have variables of their own.
        if name == "config" {
            config = Some(PathBuf::from(value));
        } else if known.contains(&name.as_str()) {
            push(&mut from_environment, &name, &value);
        }
    }
    let mut given = arguments.iter().skip(at);
    while let Some(argument) = given.next() {
        let text = argument.to_string_lossy();
        if text == "--config" {
            config = given.next().map(PathBuf::from);
        } else if let Some(path) = text.strip_prefix("--config=") {
            config = Some(path.into());
        }
    }
    let from_file = config.map_or(Ok(Vec::new()), |file| read(&file, &known))?;
    let mut merged = arguments;
    let rest = merged.split_off(at.min(merged.len()));
    merged.extend(from_file.into_iter().chain(from_environment).map(OsString::from));
    merged.extend(rest);
    Ok(merged)
}

fn read(file: &Path, known: &[&str]) -> Result<Vec<String>, SettingsError> {
    let fail = |reason: String| SettingsError::File { file: file.into(), reason };
    let text = std::fs::read_to_string(file).map_err(|error| fail(error.to_string()))?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| fail(error.message().to_owned()))?;
    let mut arguments = Vec::new();
    for (key, value) in table {
        let name = key.replace('_', "-");
        if !known.contains(&name.as_str()) || name == "config" {
            return Err(SettingsError::Unknown { name: key, place: file.display().to_string() });
        }
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Float(number) => number.to_string(),
            toml::Value::Boolean(flag) => flag.to_string(),
            toml::Value::Array(list) => {
                let texts: Vec<&str> = list.iter().filter_map(toml::Value::as_str).collect();
                texts.join(",")
            }
            toml::Value::Table(_) | toml::Value::Datetime(_) => {
                return Err(fail(format!("{key} must be a number, a text or a list of texts")));
            }
        };
        push(&mut arguments, &name, &text);
    }
    Ok(arguments)
}

/// A flag that takes no value is there or not.
fn push(arguments: &mut Vec<String>, name: &str, value: &str) {
    match value {
        "true" => arguments.push(format!("--{name}")),
        "false" => {}
        value => arguments.push(format!("--{name}={value}")),
    }
}

/// The options from these arguments, for a program that does nothing but serve.
///
/// # Errors
/// [`SettingsError`]; wrong arguments end the program with a message, as clap does.
pub fn parse(command: Command) -> Result<ServeOptions, SettingsError> {
    let arguments = with_file_and_environment(std::env::args_os().collect(), environment(), 1)?;
    let matches: ArgMatches = ServeOptions::augment_args(command).args_override_self(true).get_matches_from(arguments);
    Ok(ServeOptions::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()))
}

/// Variables whose names and values are Unicode.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
}

/// Whether pages may be served to other machines while tokens travel unprotected.
pub(super) fn is_exposed(host: IpAddr) -> bool {
    !host.is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &[&str], environment: &[(&str, &str)]) -> Result<ServeOptions, String> {
        let arguments = std::iter::once("coordinator").chain(arguments.iter().copied()).map(OsString::from).collect();
        let environment = environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let merged = with_file_and_environment(arguments, environment, 1).map_err(|error| error.to_string())?;
        let command = ServeOptions::augment_args(Command::new("coordinator")).args_override_self(true);
        let matches = command.try_get_matches_from(merged).map_err(|error| error.to_string())?;
        ServeOptions::from_arg_matches(&matches).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_override_the_environment_and_that_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "port = 1\nmax-connections = 10\njoin_rate = 0.5\nnext-free-port = true\norigin = [\"https://a\", \"https://b\"]\n";
        std::fs::write(file.path(), text).unwrap();
        let config = file.path().to_str().unwrap();
        let environment = [
            ("SIGMASCOPE_PORT", "2"),
            ("SIGMASCOPE_MAX_CONNECTIONS", "20"),
            ("SIGMASCOPE_CACHE", "/x"),
            ("HOME", "/y"),
        ];
        let given = options(&["--config", config, "--port", "3"], &environment).unwrap();
        assert_eq!((given.port, given.federation.max_connections, given.federation.join_rate), (3, 20, 0.5));
        assert!(given.next_free_port);
        let origins = |given: &ServeOptions| given.federation.origin.iter().map(Origin::to_string).collect::<Vec<_>>();
        assert_eq!(origins(&given), ["https://a", "https://b"]);
        let from_environment = [("SIGMASCOPE_CONFIG", config)];
        assert_eq!(options(&[], &from_environment).unwrap().port, 1);
        let given = options(&["--origin", "https://c/", &format!("--config={config}")], &[]).unwrap();
        assert_eq!(origins(&given), ["https://c"]);
    }

    #[test]
    fn mistakes_are_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let config = file.path().to_str().unwrap();
        for (text, part) in
            [("prot = 1", "prot"), ("port = ", "cannot be read"), ("[port]\na = 1", "port"), ("port = \"x\"", "port")]
        {
            std::fs::write(file.path(), text).unwrap();
            let error = options(&["--config", config], &[]).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(options(&["--config", "/nowhere/at/all"], &[]).unwrap_err().contains("--config"));
        assert!(options(&["--join-rate", "0"], &[]).is_err());
        assert!(options(&["--origin", "https://a/b"], &[]).is_err());
    }

    #[test]
    fn the_defaults_are_those_of_the_flags() {
        let given = options(&[], &[]).unwrap();
        assert_eq!(format!("{given:?}"), format!("{:?}", ServeOptions::default()));
    }
}
