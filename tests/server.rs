//! The server of the page, asked over real connections.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use sigmascope::coordinator::{FederationOptions, ServeError, ServeOptions, Server};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

const INDEX: &str = "<!doctype html><title>page</title><script>start()</script>";
/// base64 of the SHA-256 of `start()`, from `printf 'start()' | openssl dgst -sha256 -binary | base64`.
const INDEX_SCRIPT_SHA256: &str = "DIm7WJS6ZKDYe5qFLPy+h4JFI9Bol5QmYC57mt3Fb00=";

/// A page with what a build leaves: an index, a hashed and an unhashed module, one file compressed in advance.
fn page() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let wasm = [b"\0asm\x01\0\0\0".as_slice(), &[0x2a; 4096]].concat();
    fs::write(dir.path().join("index.html"), INDEX).unwrap();
    fs::write(dir.path().join("engine.js"), "export default () => {};".repeat(40)).unwrap();
    fs::write(dir.path().join("engine_bg.wasm"), &wasm).unwrap();
    fs::write(dir.path().join("engine_bg.wasm.br"), b"stands for brotli").unwrap();
    fs::write(dir.path().join("engine_bg.wasm.gz"), b"stands for gzip").unwrap();
    fs::write(dir.path().join("app-3f2a9c41d07be586_bg.wasm"), &wasm).unwrap();
    dir
}

/// A running server; stops when dropped.
struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: Option<tokio::task::JoinHandle<Result<(), ServeError>>>,
    runtime: Runtime,
}

impl Running {
    fn start(dir: &Path, base: &str) -> Self {
        Self::with(dir, base, FederationOptions::default())
    }

    fn with(dir: &Path, base: &str, federation: FederationOptions) -> Self {
        let runtime = Runtime::new().unwrap();
        let options = ServeOptions {
            dir: dir.into(),
            port: 0,
            base: base.parse().unwrap(),
            federation,
            ..ServeOptions::default()
        };
        let server = runtime.block_on(Server::bind(options)).unwrap();
        let url = server.url();
        let address = url.strip_prefix("http://").unwrap().split('/').next().unwrap().parse().unwrap();
        assert!(url.ends_with(base), "{url}");
        let (stop, stopped) = oneshot::channel::<()>();
        let task = runtime.spawn(server.run(async { drop(stopped.await) }));
        Self { address, stop: Some(stop), task: Some(task), runtime }
    }

    fn get(&self, path: &str, headers: &[&str]) -> Answer {
        self.send("GET", path, headers)
    }

    /// One request on a connection of its own; the path goes out as written, dots and all.
    fn send(&self, method: &str, path: &str, headers: &[&str]) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let extra: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        write!(stream, "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{extra}\r\n").unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let split = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(bytes[..split].to_vec()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Answer { status, headers, body: bytes[split + 4..].to_vec() }
    }

    fn stop(mut self) -> Result<(), ServeError> {
        self.stop.take().unwrap().send(()).unwrap();
        self.runtime.block_on(self.task.take().unwrap()).unwrap()
    }
}

struct Answer {
    status: u16,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

#[test]
fn files_come_with_their_types_and_cache_rules() {
    let dir = page();
    let server = Running::start(dir.path(), "/");
    for (path, kind, cache) in [
        ("/", "text/html", "no-cache"),
        ("/engine.js", "text/javascript", "no-cache"),
        ("/engine_bg.wasm", "application/wasm", "no-cache"),
        ("/app-3f2a9c41d07be586_bg.wasm", "application/wasm", "public, max-age=31536000, immutable"),
    ] {
        let answer = server.get(path, &[]);
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), kind, "{path}");
        assert_eq!(answer.header("cache-control"), cache, "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
    }
    assert_eq!(server.get("/", &[]).body, INDEX.as_bytes());
    assert!(server.get("/engine_bg.wasm", &[]).body.starts_with(b"\0asm"));
}

#[test]
fn the_page_is_isolated_and_lets_nothing_out() {
    let dir = page();
    let server = Running::start(dir.path(), "/");
    let answer = server.get("/", &[]);
    assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin");
    assert_eq!(answer.header("cross-origin-embedder-policy"), "require-corp");
    let policy = answer.header("content-security-policy");
    assert!(policy.contains("'wasm-unsafe-eval'") && policy.contains("connect-src 'self' blob:;"), "{policy}");
    assert!(policy.contains(&format!("'sha256-{INDEX_SCRIPT_SHA256}'")), "{policy}");
    // A worker obeys the policy that came with its own script, and is embedded only with this header.
    let worker = server.get("/engine.js", &[]);
    assert!(worker.header("content-security-policy").contains("default-src 'none'"));
    assert_eq!(worker.header("cross-origin-embedder-policy"), "require-corp");
}

#[test]
fn inline_scripts_follow_a_rebuild() {
    let dir = page();
    let server = Running::start(dir.path(), "/");
    fs::write(dir.path().join("index.html"), "<script src=\"a.js\"></script>").unwrap();
    assert!(!server.get("/", &[]).header("content-security-policy").contains("sha256-"));
}

#[test]
fn what_the_build_has_compressed_is_sent_and_nothing_else_is() {
    let dir = page();
    let server = Running::start(dir.path(), "/");
    let ready = server.get("/engine_bg.wasm", &["accept-encoding: gzip, br"]);
    assert_eq!((ready.header("content-encoding"), ready.header("content-type")), ("br", "application/wasm"));
    assert_eq!(ready.body, b"stands for brotli");
    let ready = server.get("/engine_bg.wasm", &["accept-encoding: gzip"]);
    assert_eq!((ready.header("content-encoding"), ready.header("content-type")), ("gzip", "application/wasm"));
    assert_eq!(ready.body, b"stands for gzip");
    let plain = server.get("/engine.js", &["accept-encoding: gzip, br"]);
    assert!(plain.header("content-encoding").is_empty() && plain.body.starts_with(b"export default"));
    assert!(server.get("/engine_bg.wasm", &[]).header("content-encoding").is_empty());
}

#[test]
fn unchanged_files_are_not_sent_again() {
    let dir = page();
    let server = Running::start(dir.path(), "/");
    let modified = server.get("/engine_bg.wasm", &[]).header("last-modified").to_owned();
    assert!(!modified.is_empty());
    let again = server.get("/engine_bg.wasm", &[&format!("if-modified-since: {modified}")]);
    assert_eq!((again.status, again.body.len()), (304, 0));
}

#[test]
fn a_base_path_holds_the_whole_page() {
    let dir = page();
    let server = Running::start(dir.path(), "/some/path/");
    assert_eq!(server.get("/some/path/", &[]).body, INDEX.as_bytes());
    assert_eq!(server.get("/some/path/engine.js", &[]).status, 200);
    let bare = server.get("/some/path", &[]);
    assert_eq!((bare.status, bare.header("location")), (308, "/some/path/"));
    for path in ["/", "/engine.js", "/some", "/some/pathology/engine.js"] {
        let answer = server.get(path, &[]);
        assert_eq!(answer.status, 404, "{path}");
        assert!(String::from_utf8(answer.body).unwrap().contains("/some/path/"), "{path}");
    }
}

#[test]
fn nothing_outside_the_folder_is_served() {
    let outer = tempfile::tempdir().unwrap();
    fs::write(outer.path().join("secret.txt"), "secret").unwrap();
    let dir = outer.path().join("dist");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("index.html"), INDEX).unwrap();
    let server = Running::start(&dir, "/base/");
    for path in [
        "/base/../secret.txt",
        "/base/%2e%2e/secret.txt",
        "/base/..%2fsecret.txt",
        "/base/..\\secret.txt",
        "/base//../secret.txt",
        "/base/%2fetc/passwd",
        "/base//etc/passwd",
        "/../secret.txt",
    ] {
        let answer = server.get(path, &[]);
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
        assert!(!answer.body.windows(6).any(|six| six == b"secret"), "{path}");
    }
    assert_eq!(server.send("DELETE", "/base/index.html", &[]).status, 405);
    assert!(dir.join("index.html").exists());
}

#[test]
fn a_taken_port_is_said_and_the_next_one_found() {
    let dir = page();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let runtime = Runtime::new().unwrap();
    let taken = ServeOptions { dir: dir.path().into(), port, ..ServeOptions::default() };
    let error = runtime.block_on(Server::bind(taken.clone())).err().unwrap();
    assert!(matches!(error, ServeError::PortTaken { port: p } if p == port));
    assert!(error.to_string().contains("--port"), "{error}");
    let next = runtime.block_on(Server::bind(ServeOptions { next_free_port: true, ..taken })).unwrap();
    assert_ne!(next.url(), format!("http://127.0.0.1:{port}/"));
}

#[test]
fn a_folder_without_a_page_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let options = ServeOptions { dir: dir.path().into(), port: 0, ..ServeOptions::default() };
    let error = Runtime::new().unwrap().block_on(Server::bind(options)).err().unwrap();
    assert!(error.to_string().contains("./run"), "{error}");
}

#[test]
fn stopping_is_prompt_even_with_an_idle_connection() {
    let dir = page();
    let patient = FederationOptions { head_timeout: 3600.0, ..FederationOptions::default() };
    let server = Running::with(dir.path(), "/", patient);
    let address = server.address;
    let _idle = TcpStream::connect(address).unwrap();
    assert_eq!(server.get("/", &[]).status, 200);
    // The connection stays open for as long as this test, and a head may be an hour in coming: whoever waited for either would
    // never come here.
    server.stop().unwrap();
    assert!(TcpStream::connect(address).is_err(), "the port is free again");
}
