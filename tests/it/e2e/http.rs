//! HTTP/1.1 as far as the servers of these tests need it.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// What a client asks.
pub struct Request {
    pub method: String,
    pub path: String,
    pub body: Vec<u8>,
}

/// What it is answered.
pub struct Response {
    pub status: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

/// Serves on a free port of this machine, a thread for each connection, as long as the process
/// lives. `None` for an answer closes the connection.
pub fn serve(answer: impl Fn(Request) -> Option<Response> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = Arc::clone(&answer);
            thread::spawn(move || converse(stream, &*answer));
        }
    });
    address
}

/// Serves one connection until either side is gone.
fn converse(stream: TcpStream, answer: &impl Fn(Request) -> Option<Response>) {
    stream.set_nodelay(true).unwrap();
    let mut stream = BufReader::new(stream);
    while let Some(request) = Request::read(&mut stream) {
        let Some(response) = answer(request) else { return };
        if response.write(stream.get_mut()).is_err() {
            return;
        }
    }
}

impl Request {
    /// The next request, or `None` where the connection ended.
    fn read(from: &mut impl BufRead) -> Option<Self> {
        let first = read_line(from)?;
        let mut words = first.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = HashMap::new();
        while let Some((name, value)) = read_line(from)?.split_once(':') {
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        from.read_exact(&mut body).ok()?;
        Some(Request { method, path, body })
    }
}

impl Response {
    /// A response without headers of its own.
    pub fn new(status: &'static str, body: &str) -> Self {
        Response { status, headers: Vec::new(), body: body.into() }
    }

    fn write(&self, to: &mut TcpStream) -> io::Result<()> {
        let headers = self.headers.iter();
        let headers: String = headers.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = self.body.len();
        let head = format!("HTTP/1.1 {}\r\n{headers}Content-Length: {length}\r\n\r\n", self.status);
        to.write_all(head.as_bytes())?;
        to.write_all(&self.body)
    }
}

fn read_line(from: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    let read = from.read_line(&mut line).ok()?;
    (read > 0).then(|| line.trim_end().to_owned())
}
