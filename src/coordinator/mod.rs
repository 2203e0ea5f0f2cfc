//! The server of the page: one process, one port, one URL.
//!
//! Nothing of SigmaScope needs a server: the built page is static files, and any web server shows it. This one adds what a
//! plain web server leaves out: the headers that make the page cross-origin isolated (wasm threads need that), a content
//! security policy that proves that nothing leaves the machine, compression, and cache rules that fit the file names.
//!
//! ```no_run
//! use sigmascope::coordinator::{ServeOptions, serve};
//!
//! serve(ServeOptions { dir: "dist".into(), ..ServeOptions::default() })?;
//! # Ok::<(), sigmascope::coordinator::ServeError>(())
//! ```

mod headers;
mod origin;
mod page;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;

pub use origin::Origin;
pub use page::BasePath;

/// How long open transfers may go on after the signal to stop.
const GRACE: Duration = Duration::from_secs(2);

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

    /// Another server that weights may be fetched from, like https://weights.example; may be given several times. Without it
    /// the page can reach no server but this one
    #[arg(long, value_name = "ORIGIN")]
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
}

/// A server that holds its port and is ready to run.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    options: ServeOptions,
}

impl Server {
    /// Checks that there is a page and takes the port.
    pub async fn bind(options: ServeOptions) -> Result<Self, ServeError> {
        if !options.dir.join("index.html").is_file() {
            return Err(ServeError::NoPage { dir: options.dir });
        }
        let listener = listen(&options).await?;
        let address = listener.local_addr().map_err(ServeError::Stopped)?;
        Ok(Self { listener, address, options })
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
        let router = page::router(&self.options);
        let (stopping, stopped) = tokio::sync::oneshot::channel();
        let graceful = axum::serve(self.listener, router).with_graceful_shutdown(async move {
            stop.await;
            // The receiver is gone only when serving has already ended.
            let _ = stopping.send(());
        });
        let deadline = async move {
            match stopped.await {
                Ok(()) => tokio::time::sleep(GRACE).await,
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            served = graceful => served.map_err(ServeError::Stopped),
            () = deadline => Ok(()),
        }
    }
}

/// Serves the page until Ctrl-C; prints the URL once it can be opened.
pub fn serve(options: ServeOptions) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ServeError::Stopped)?;
    runtime.block_on(async {
        let server = Server::bind(options).await?;
        println!("SigmaScope is at {}  (Ctrl-C stops it)", server.url());
        server.run(stop_signal()).await
    })
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
