//! A coordinator process, and requests to it.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub const ADMIN: &str = "a-token-that-only-the-host-knows";

/// A coordinator on a port and a data folder that it keeps over restarts.
pub struct Coordinator {
    pub folder: TempDir,
    pub address: SocketAddr,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Coordinator {
    pub fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("page")).unwrap();
        fs::write(folder.path().join("page/index.html"), "<!doctype html>").unwrap();
        fs::write(folder.path().join("admin"), ADMIN).unwrap();
        // A port that is free now and, as nobody else asks for it by number, stays so.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut coordinator = Self { folder, address, arguments, child: None };
        coordinator.spawn();
        coordinator
    }

    /// Generous limits, for tests of something else.
    pub fn open() -> Self {
        Self::start(&["--request-rate", "100000", "--join-rate", "100000"])
    }

    pub fn spawn(&mut self) {
        let path = |name: &str| self.folder.path().join(name);
        let errors = fs::OpenOptions::new().create(true).append(true).open(path("log")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_coordinator"))
            .arg("--dir")
            .arg(path("page"))
            .arg("--data")
            .arg(path("data"))
            .arg("--admin-token-file")
            .arg(path("admin"))
            .args(["--log", "json", "--port", &self.address.port().to_string()])
            .args(&self.arguments)
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let log = || fs::read_to_string(path("log")).unwrap_or_default();
        assert!(line.contains(&self.address.port().to_string()), "{line} {}", log());
        self.child = Some(child);
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM; returns when the process has ended in order.
    pub fn terminate(&mut self) {
        let mut child = self.child.take().unwrap();
        // The shell's own `kill`: the program of this name is not on every system.
        let kill = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &child.id().to_string()]).status();
        assert!(kill.unwrap().success());
        assert!(child.wait().unwrap().success());
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    pub fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    pub fn admin(&self, method: &str, path: &str, body: &Value) -> Answer {
        ask(self.address, method, path, ADMIN, body.to_string().as_bytes()).unwrap()
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub fn reason(&self) -> String {
        self.json()["reason"].as_str().unwrap_or("(none)").to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }
}

/// One request below `api/v1` on a connection of its own.
pub fn ask(address: SocketAddr, method: &str, path: &str, token: &str, body: &[u8]) -> io::Result<Answer> {
    let authorization = format!("authorization: Bearer {token}");
    let headers = if token.is_empty() { Vec::new() } else { vec![authorization.as_str()] };
    raw(address, method, &format!("/api/v1{path}"), &headers, body)
}

pub fn raw(address: SocketAddr, method: &str, path: &str, headers: &[&str], body: &[u8]) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(60))?;
    stream.set_read_timeout(Some(Duration::from_secs(600)))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
    headers.iter().for_each(|line| head += &format!("{line}\r\n"));
    if !headers.iter().any(|line| line.starts_with("content-length") || line.starts_with("transfer-encoding")) {
        head += &format!("content-length: {}\r\n", body.len());
    }
    stream.write_all((head + "\r\n").as_bytes())?;
    // A refusal may come before all has been written.
    let _ = stream.write_all(body);
    answer(stream)
}

/// The answer to the last request of a connection.
pub fn answer(mut stream: TcpStream) -> io::Result<Answer> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if bytes.is_empty() => return Err(error),
        _ => {}
    }
    read_answer(&mut bytes.as_slice())
}

fn read_answer(source: &mut impl BufRead) -> io::Result<Answer> {
    let broken = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let line = |source: &mut dyn BufRead| {
        let mut line = String::new();
        source.read_line(&mut line).map(|_| line.strip_suffix("\r\n").map(str::to_owned))?.ok_or_else(broken)
    };
    let status = line(source)?.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
    let mut headers = Vec::new();
    while let Some((name, value)) = line(source)?.split_once(": ") {
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let mut answer = Answer { status, headers, body: Vec::new() };
    if answer.header("transfer-encoding") == "chunked" {
        loop {
            let length = usize::from_str_radix(&line(source)?, 16).map_err(|_| broken())?;
            let mut chunk = vec![0; length];
            source.read_exact(&mut chunk)?;
            answer.body.extend(chunk);
            line(source)?;
            if length == 0 {
                break;
            }
        }
    } else if let Ok(length) = answer.header("content-length").parse() {
        answer.body.resize(length, 0);
        source.read_exact(&mut answer.body)?;
    }
    Ok(answer)
}

/// Many requests on one connection.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(600))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    pub fn ask(&mut self, method: &str, path: &str, token: &str, body: &[u8]) -> io::Result<Answer> {
        let head = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.0.get_mut().write_all(&[head.as_bytes(), body].concat())?;
        read_answer(&mut self.0)
    }
}

/// Largest resident memory of a process so far, in bytes; `None` where the system does not tell.
pub fn peak_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Waits until something is so.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(600), "{what} did not come about");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a text stands in some file below a folder.
pub fn is_in_files(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            is_in_files(&path, text)
        } else {
            fs::read(&path).unwrap().windows(text.len()).any(|window| window == text.as_bytes())
        }
    })
}
