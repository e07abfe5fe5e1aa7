// SPDX-License-Identifier: MIT OR Apache-2.0
//! Web servers on 127.0.0.1, good and hostile.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A web server that runs until the process ends.
pub struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

/// A request that a server has received.
#[derive(Debug, Clone)]
pub struct Request {
    /// The path, from the request line.
    pub path: String,
    /// Names in lower case, with their values.
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// Returns the value of a header, whose name is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Reads the next request of a connection.
    pub fn read(stream: &TcpStream) -> std::io::Result<Self> {
        let mut lines = BufReader::new(stream).lines();
        let first = lines.next().transpose()?.unwrap_or_default();
        let mut headers = Vec::new();
        for line in lines {
            let line = line?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let path = first.split(' ').nth(1).unwrap_or("/").to_owned();
        Ok(Self { path, headers })
    }
}

impl Server {
    /// Starts a server that responds with `status`, and with the body that `body` returns for the path.
    pub fn start(
        status: u16,
        content_type: &'static str,
        body: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self::scripted(move |_, request, stream| {
            let headers = format!("Content-Type: {content_type}\r\n");
            answer(stream, status, &headers, &body(&request.path));
        })
    }

    /// Starts a server whose responses `script` writes. The arguments of `script` are the number of the request,
    /// counted from 0, the request, and the connection, which ends after each response.
    pub fn scripted(
        script: impl Fn(usize, &Request, &mut TcpStream) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (noted, script) = (Arc::clone(&requests), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (noted, script) = (Arc::clone(&noted), Arc::clone(&script));
                std::thread::spawn(move || {
                    // A client that disconnects early is not a failure of the test.
                    let Ok(request) = Request::read(&stream) else {
                        return;
                    };
                    let number = {
                        let mut noted = noted.lock().unwrap();
                        noted.push(request.clone());
                        noted.len() - 1
                    };
                    script(number, &request, &mut stream);
                });
            }
        });
        Self { port, requests }
    }

    /// Returns the URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// Returns the requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Returns a URL with a closed port.
    pub fn closed() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        format!("http://127.0.0.1:{port}/kernel-core.rpm")
    }
}

/// Sends a whole response; each header in `headers` ends with a line break. Ignores a disconnected client.
pub fn answer(stream: &mut TcpStream, status: u16, headers: &str, body: &[u8]) {
    head(stream, status, headers, body.len());
    let _ = stream.write_all(body);
}

/// Sends the status line and the headers of a response whose body has `size` bytes.
pub fn head(stream: &mut TcpStream, status: u16, headers: &str, size: usize) {
    let text = format!(
        "HTTP/1.1 {status} Told\r\n{headers}Content-Length: {size}\r\nConnection: close\r\n\r\n"
    );
    let _ = stream.write_all(text.as_bytes());
}
