//! The server of the page and of federated rounds: one process, one port, one URL.
//!
//! The page alone needs no server: it is static files, and any web server shows it. This one adds what a plain web server
//! leaves out: the headers that make the page cross-origin isolated (wasm threads need that), a content security policy that
//! proves that nothing leaves the machine, what the build has compressed, and cache rules that fit the file names.
//!
//! With a data folder it also coordinates federations. What happens is decided by a pure state machine, stored as an event in
//! a log, and only then takes effect; so a killed process goes on where its log ends. It knows weights as named lists of
//! numbers and never links the model.
//!
//! | file | what |
//! | --- | --- |
//! | `page`, `headers` | the page |
//! | `machine` | the state of a federation, one file a phase |
//! | `store` | the log and the contents, behind traits with guarantees |
//! | `service`, `slot` | all federations, and one of them; the only way to change one |
//! | `runner`, `aggregate` | what happens by itself: deadlines, and updates becoming the next model |
//! | `api`, `uploads` | addresses, and uploads in chunks |
//! | `tokens`, `limits`, `connections`, `patience` | who may what, how often, how slowly |
//! | `settings`, `metrics`, `audit` | flags, environment and file; what is counted; what is told |
//!
//! ```no_run
//! use sigmascope::coordinator::{ServeOptions, serve};
//!
//! serve(ServeOptions { dir: "dist".into(), ..ServeOptions::default() })?;
//! # Ok::<(), sigmascope::coordinator::ServeError>(())
//! ```

pub mod aggregate;
mod api;
mod audit;
mod connections;
#[cfg(test)]
mod crash_tests;
mod headers;
mod limits;
pub mod machine;
mod metrics;
mod origin;
mod page;
mod patience;
mod runner;
mod service;
mod settings;
mod slot;
pub(crate) mod source;
pub mod store;
mod tokens;
mod uploads;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::federation::protocol::Hash;
use connections::ConnectionLimits;
use store::{Folder, Log, RedbLog};
use tokens::{Claim, Token};

pub use origin::Origin;
pub use page::BasePath;
pub use runner::replay;
pub use service::{Capacity, Coordinator, StartError};
pub use settings::{FederationOptions, LogForm, SettingsError, environment, parse, with_file_and_environment};
pub use slot::Slot;

/// How long open transfers may go on after the signal to stop.
const GRACE: Duration = Duration::from_secs(2);

/// Threads that wait for the disk: however many clients send at once, their number and memory stay.
const THREADS: usize = 32;

/// How many ports after the wanted one are tried by [`ServeOptions::next_free_port`].
const PORTS_TRIED: u16 = 32;

/// What to serve and where.
#[derive(Debug, Clone, clap::Args)]
pub struct ServeOptions {
    /// Folder of the built page
    #[arg(long, value_name = "FOLDER", default_value = "dist")]
    pub dir: PathBuf,

    /// Port to listen on; 0 takes any free one
    #[arg(long, default_value_t = 8080)]
    pub port: u16,

    /// Take the next free port when the wanted one is taken
    #[arg(long)]
    pub next_free_port: bool,

    /// Address to listen on. Browsers offer WebGPU only on https and on the machine itself
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub host: IpAddr,

    /// Path under which the page appears, as on a shared web server
    #[arg(long, value_name = "PATH", default_value = "/")]
    pub base: BasePath,

    #[command(flatten)]
    pub federation: FederationOptions,

    /// Another server that weights may be fetched from, like https://weights.example; may be given several times. Without it
    /// the page can reach no server but this one
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',')]
    pub weights_from: Vec<Origin>,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            dir: "dist".into(),
            port: 8080,
            next_free_port: false,
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            base: BasePath::default(),
            federation: FederationOptions::default(),
            weights_from: Vec::new(),
        }
    }
}

/// Why the page is not served.
#[derive(Debug, Error)]
pub enum ServeError {
    #[error("There is no built page in {}: index.html is missing. Build it with ./run, or name its folder with --dir.", .dir.display())]
    NoPage { dir: PathBuf },
    #[error("Port {port} is taken by another program. Choose another with --port, or let --next-free-port find one.")]
    PortTaken { port: u16 },
    #[error("Listening on {address} is not possible: {source}. Choose another address with --host or --port.")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("The server stopped: {0}. Start it again.")]
    Stopped(#[source] io::Error),
    #[error("Federations cannot be kept in {}: {source}.", .folder.display())]
    Federations { folder: PathBuf, source: StartError },
    #[error(
        "The admin token in {place} is none: it must have 16 to 256 printable characters and not begin with ssi_ or ssc_."
    )]
    AdminToken { place: String },
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// A server that holds its port and is ready to run.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    options: ServeOptions,
    coordinator: Option<Arc<Coordinator>>,
    /// Where a new admin token was written.
    new_token: Option<PathBuf>,
}

impl Server {
    /// Checks that there is a page, takes the port, and resumes the federations of the data folder.
    pub async fn bind(options: ServeOptions) -> Result<Self, ServeError> {
        if !options.dir.join("index.html").is_file() {
            return Err(ServeError::NoPage { dir: options.dir });
        }
        let listener = listen(&options).await?;
        let address = listener.local_addr().map_err(ServeError::Stopped)?;
        let (coordinator, new_token) = match &options.federation.data {
            None => (None, None),
            Some(folder) => {
                let (coordinator, new_token) = open(folder, &options.federation)?;
                (Some(Arc::new(coordinator)), new_token)
            }
        };
        Ok(Self { listener, address, options, coordinator, new_token })
    }

    /// Where the page is.
    pub fn url(&self) -> String {
        // An unspecified address means every interface; the machine itself is always one of them.
        let host = match self.address.ip() {
            ip if ip.is_unspecified() || ip.is_loopback() && ip.is_ipv4() => "127.0.0.1".to_owned(),
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        format!("http://{host}:{}{}", self.address.port(), self.options.base)
    }

    /// Serves until `stop` completes, then lets open transfers finish for a moment.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), ServeError> {
        let FederationOptions { max_connections, head_timeout, .. } = self.options.federation;
        let slots = Arc::new(Semaphore::new(max_connections as usize));
        let api = api::Api {
            coordinator: self.coordinator.clone(),
            origins: self.options.federation.origin.clone().into(),
            connections: slots.clone(),
            max_connections,
        };
        let base = self.options.base.to_string();
        let router = page::router(&self.options)
            .nest(&format!("{base}api/v1"), api::router(api.clone()))
            .merge(api::watch_router(&base, api));
        let head = Duration::from_secs_f64(head_timeout);
        let limits = ConnectionLimits { slots, max: max_connections, head, grace: GRACE };
        let serving = connections::serve(self.listener, router, limits, stop);
        match self.coordinator {
            None => serving.await,
            // What the runner does when serving ends is done again at the next start.
            Some(coordinator) => tokio::select! {
                () = serving => {}
                () = runner::run(coordinator) => {}
            },
        }
        Ok(())
    }
}

/// Opens the data folder. Also says where a new admin token was written.
fn open(folder: &Path, options: &FederationOptions) -> Result<(Coordinator, Option<PathBuf>), ServeError> {
    let fail = |source: StartError| ServeError::Federations { folder: folder.into(), source };
    create_private(folder).map_err(|error| fail(error.into()))?;
    let log = RedbLog::open(folder).map_err(|error| fail(error.into()))?;
    let blobs = Folder::open(folder).map_err(|error| fail(error.into()))?;
    let (admin, new_token) = admin_token(folder, options, &log)?;
    let capacity = Capacity {
        max_federations: options.max_federations,
        request_rate: options.request_rate,
        join_rate: options.join_rate,
        body_timeout: Duration::from_secs_f64(options.body_timeout),
    };
    let coordinator = Coordinator::open(Box::new(log), Box::new(blobs), admin, capacity).map_err(fail)?;
    Ok((coordinator, new_token))
}

/// The hash of the admin token: from the environment, a file, the log; or a new one, whose text goes into a file that only the
/// owner can read, and nowhere else.
fn admin_token(
    folder: &Path,
    options: &FederationOptions,
    log: &RedbLog,
) -> Result<(Hash, Option<PathBuf>), ServeError> {
    let fail = |source: StartError| ServeError::Federations { folder: folder.into(), source };
    let given = match (std::env::var("SIGMASCOPE_ADMIN_TOKEN"), &options.admin_token_file) {
        (Ok(text), _) => Some((text, "SIGMASCOPE_ADMIN_TOKEN".to_owned())),
        (Err(_), Some(file)) => {
            let place = file.display().to_string();
            let text = std::fs::read_to_string(file).map_err(|_| ServeError::AdminToken { place: place.clone() })?;
            Some((text, place))
        }
        (Err(_), None) => None,
    };
    let kept = log.admin().map_err(|error| fail(error.into()))?;
    let (hash, path) = match given {
        Some((text, place)) => match text.trim().parse::<Token>() {
            Ok(token) if token.claim() == Claim::Admin => (token.hash(), None),
            _ => return Err(ServeError::AdminToken { place }),
        },
        None => match kept {
            Some(hash) => (hash, None),
            None => {
                let path = folder.join("admin-token");
                let token = Token::new(Claim::Admin).map_err(|error| fail(error.into()))?;
                write_secret(&path, token.reveal()).map_err(|error| fail(error.into()))?;
                (token.hash(), Some(path))
            }
        },
    };
    if kept != Some(hash) {
        log.set_admin(hash).map_err(|error| fail(error.into()))?;
    }
    Ok((hash, path))
}

/// What clients send is nobody else's business: a new folder can be read by its owner only.
fn create_private(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

fn write_secret(path: &Path, secret: &str) -> io::Result<()> {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    writeln!(options.open(path)?, "{secret}")
}

/// Serves until Ctrl-C; prints the URL once it can be opened.
pub fn serve(options: ServeOptions) -> Result<(), ServeError> {
    start_log(options.federation.log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(THREADS)
        .enable_all()
        .build()
        .map_err(ServeError::Stopped)?;
    let served = runtime.block_on(async {
        let server = Server::bind(options).await?;
        println!("SigmaScope is at {}  (Ctrl-C stops it)", server.url());
        if let Some(path) = &server.new_token {
            println!("Federations: the host's admin token is in {}", path.display());
        }
        if server.coordinator.is_some() && settings::is_exposed(server.options.host) {
            println!("Tokens travel readable: let a proxy in front speak https (docs/federation.md)");
        }
        server.run(stop_signal()).await
    });
    // An aggregation in the middle is begun again at the next start.
    runtime.shutdown_timeout(GRACE);
    served
}

/// Structured logs on standard error. A second call changes nothing.
fn start_log(form: LogForm) {
    use tracing::level_filters::LevelFilter;
    let builder = tracing_subscriber::fmt().with_writer(io::stderr);
    // Somebody else's subscriber is as good.
    let _ = match form {
        LogForm::Off => Ok(()),
        LogForm::Text => builder.with_max_level(LevelFilter::WARN).with_ansi(false).try_init(),
        LogForm::Json => builder.with_max_level(LevelFilter::INFO).json().flatten_event(true).try_init(),
    };
}

async fn listen(options: &ServeOptions) -> Result<TcpListener, ServeError> {
    let tried = if options.next_free_port { PORTS_TRIED } else { 1 };
    for port in (options.port..=u16::MAX).take(tried.into()) {
        let address = SocketAddr::new(options.host, port);
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(source) => return Err(ServeError::Listen { address, source }),
        }
    }
    Err(ServeError::PortTaken { port: options.port })
}

/// Completes on Ctrl-C, and on Unix also on the polite signal of service managers.
async fn stop_signal() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            // Without a handler the signal ends the process by itself.
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}
