// SPDX-License-Identifier: MIT OR Apache-2.0
//! A web server on 127.0.0.1 that answers every request alike.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

/// It serves until the process ends.
pub struct Server {
    port: u16,
}

impl Server {
    /// Answers with `status`, and with what `body` makes of the path asked for.
    pub fn start(
        status: u16,
        content_type: &'static str,
        body: impl Fn(&str) -> Vec<u8> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that goes away early is not our failure.
                let _ = answer(stream.unwrap(), status, content_type, &body);
            }
        });
        Self { port }
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// A URL where nobody listens.
    pub fn closed() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        format!("http://127.0.0.1:{port}/kernel-core.rpm")
    }
}

fn answer(
    mut stream: TcpStream,
    status: u16,
    content_type: &str,
    body: impl Fn(&str) -> Vec<u8>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    let path = request.split(' ').nth(1).unwrap_or("/");
    let body = body(path);
    let size = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} Told\r\nContent-Type: {content_type}\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(&body)
}
