//! A server that does what a test wants, and the other side of its connections.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use sigmascope::shelf::{Body, Get, Local, Network, NetworkError, Response, response};

/// A request as the server sees it: its headers, lower case.
#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    pub headers: Vec<(String, String)>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// First byte and the one after the last.
    pub fn range(&self) -> Option<(usize, usize)> {
        let (from, to) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some((from.parse().ok()?, to.parse::<usize>().ok()? + 1))
    }
}

/// What the server answers.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// The connection ends after so many bytes of the body.
    pub cut: Option<usize>,
}

impl Answer {
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), cut: None }
    }

    /// The whole file, from a server that knows no ranges.
    pub fn whole(body: &[u8]) -> Self {
        Self { body: body.to_vec(), ..Self::status(200) }
    }

    /// The part that was asked for; the whole where `If-Range` names another version.
    pub fn part(request: &Request, body: &[u8], etag: &str) -> Self {
        let tag = ("etag", etag.to_owned());
        let (from, to) = request.range().expect("a range is asked for");
        if request.header("if-range").is_some_and(|version| version != etag) {
            return Self { headers: vec![tag], ..Self::whole(body) };
        }
        if from >= body.len() {
            return Self { headers: vec![("content-range", format!("bytes */{}", body.len()))], ..Self::status(416) };
        }
        let to = to.min(body.len());
        let range = format!("bytes {from}-{}/{}", to - 1, body.len());
        let headers = vec![tag, ("content-range", range)];
        Self { headers, body: body[from..to].to_vec(), ..Self::status(206) }
    }

    pub fn cut(self, bytes: usize) -> Self {
        Self { cut: Some(bytes), ..self }
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

type Behaviour = dyn Fn(usize, &Request) -> Answer + Send;

/// A server; its thread ends with the test's process.
pub struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// `behave` gets the number of the request, from 0, and the request.
    pub fn start(behave: impl Fn(usize, &Request) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (list, behave): (_, Box<Behaviour>) = (requests.clone(), Box::new(behave));
        thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that goes away is part of the tests.
                let _ = serve(&mut stream.unwrap(), &list, &*behave);
            }
        });
        Self { address, requests }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// A network in which relative addresses lead here.
    pub fn network(&self) -> Sockets {
        Sockets { base: self.url("") }
    }
}

fn serve(stream: &mut TcpStream, list: &Mutex<Vec<Request>>, behave: &Behaviour) -> std::io::Result<()> {
    let head = read_head(stream)?;
    let mut lines = head.lines();
    let path = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    let request = Request { path: path.trim_start_matches('/').to_owned(), headers };
    let number = {
        let mut list = list.lock().unwrap();
        list.push(request.clone());
        list.len() - 1
    };
    let Answer { status, headers, body, cut } = behave(number, &request);
    write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: {}\r\n", body.len())?;
    for (name, value) in headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    stream.write_all(&body[..cut.unwrap_or(body.len()).min(body.len())])
}

/// Up to the empty line; byte by byte, since what follows is the body.
fn read_head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// HTTP over plain sockets, one connection a request.
pub struct Sockets {
    base: String,
}

impl Network for Sockets {
    fn get<'a>(&'a self, request: &'a Get) -> Local<'a, Result<Response, NetworkError>> {
        Box::pin(std::future::ready(self.ask(request).map_err(failed)))
    }
}

fn failed(error: std::io::Error) -> NetworkError {
    NetworkError { reason: error.to_string() }
}

impl Sockets {
    fn ask(&self, request: &Get) -> std::io::Result<Response> {
        let url =
            if request.url.contains("://") { request.url.clone() } else { format!("{}{}", self.base, request.url) };
        let (host, path) = url.trim_start_matches("http://").split_once('/').unwrap();
        let mut stream = TcpStream::connect(host)?;
        write!(stream, "GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n")?;
        if let Some((from, to)) = request.range {
            write!(stream, "range: bytes={from}-{}\r\n", to - 1)?;
        }
        if let Some(validator) = &request.if_range {
            write!(stream, "if-range: {validator}\r\n")?;
        }
        stream.write_all(b"\r\n")?;
        let head = read_head(&mut stream)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let header = |name: &str| {
            let value = head.lines().filter_map(|line| line.split_once(": ")).find(|(found, _)| *found == name);
            value.map(|(_, value)| value.to_owned())
        };
        let left = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        Ok(response(status, header, Box::new(SocketBody { stream, left })))
    }
}

struct SocketBody {
    stream: TcpStream,
    left: usize,
}

impl Body for SocketBody {
    fn next(&mut self) -> Local<'_, Result<Option<Vec<u8>>, NetworkError>> {
        let mut bytes = vec![0; self.left.min(10_000)];
        let next = match (self.left, self.stream.read(&mut bytes)) {
            (0, _) => Ok(None),
            (_, Ok(0)) => Err(NetworkError { reason: "the connection broke".to_owned() }),
            (_, Ok(count)) => {
                bytes.truncate(count);
                self.left -= count;
                Ok(Some(bytes))
            }
            (_, Err(error)) => Err(failed(error)),
        };
        Box::pin(std::future::ready(next))
    }
}
