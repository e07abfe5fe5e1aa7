// SPDX-License-Identifier: MIT OR Apache-2.0
//! Name servers on addresses of 127.0.0.0/8, well-behaved and otherwise.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};

use simple_dns::rdata::{A, AAAA, CNAME, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, RCODE, ResourceRecord};

/// It serves until the process ends.
pub struct Dns {
    /// Where; the port is 53.
    pub address: Ipv4Addr,
    asked: Arc<Mutex<Vec<String>>>,
}

/// A question, and what came it by.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The bytes of the query.
    pub query: &'a [u8],
    /// The name asked for.
    pub name: &'a str,
    /// Whether IPv6 addresses are asked for.
    pub v6: bool,
    /// Whether it came by TCP.
    pub tcp: bool,
}

impl Dns {
    /// Sends what `script` makes of a question, one datagram each; by TCP only the first.
    pub fn start(script: impl Fn(Asked<'_>) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self::start_with(script, |stream, reply| {
            let size = u16::try_from(reply.len()).unwrap().to_be_bytes();
            let _ = stream.write_all(&[&size, reply].concat());
        })
    }

    /// The same; by TCP `send` sends the reply.
    pub fn start_with(
        script: impl Fn(Asked<'_>) -> Vec<Vec<u8>> + Send + Sync + 'static,
        send: impl Fn(&mut std::net::TcpStream, &[u8]) + Send + 'static,
    ) -> Self {
        let (udp, tcp, address) = sockets();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(script);
        let replies = {
            let asked = Arc::clone(&asked);
            move |query: &[u8], tcp: bool| {
                let packet = Packet::parse(query).unwrap();
                let question = &packet.questions[0];
                let name = question.qname.to_string();
                let v6 = question.qtype == simple_dns::QTYPE::TYPE(simple_dns::TYPE::AAAA);
                let (family, by) = (["A", "AAAA"][usize::from(v6)], ["", " by TCP"]);
                let line = format!("{name} {family}{}", by[usize::from(tcp)]);
                asked.lock().unwrap().push(line);
                script(Asked {
                    query,
                    name: &name,
                    v6,
                    tcp,
                })
            }
        };
        let by_tcp = replies.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                let (size, from) = udp.recv_from(&mut buffer).unwrap();
                for reply in replies(&buffer[..size], false) {
                    let _ = udp.send_to(&reply, from);
                }
            }
        });
        std::thread::spawn(move || {
            for stream in tcp.incoming() {
                let mut stream = stream.unwrap();
                let mut size = [0; 2];
                stream.read_exact(&mut size).unwrap();
                let mut query = vec![0; usize::from(u16::from_be_bytes(size))];
                stream.read_exact(&mut query).unwrap();
                if let Some(reply) = by_tcp(&query, true).first() {
                    send(&mut stream, reply);
                }
            }
        });
        Self { address, asked }
    }

    /// The questions until now, as `NAME A`, `NAME AAAA by TCP`.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// An address of which nobody has port 53.
fn sockets() -> (UdpSocket, TcpListener, Ipv4Addr) {
    let first = 0x7f35_0001 + (std::process::id() & 0x3ff) * 64;
    for address in (first..).map(Ipv4Addr::from) {
        match (
            UdpSocket::bind((address, 53)),
            TcpListener::bind((address, 53)),
        ) {
            (Ok(udp), Ok(tcp)) => return (udp, tcp, address),
            (Err(error), _) | (_, Err(error)) => {
                assert_eq!(error.kind(), ErrorKind::AddrInUse, "port 53 needs root")
            }
        }
    }
    unreachable!()
}

impl Asked<'_> {
    /// A reply with these records; aliases are `NAME CNAME`, addresses those of the family asked for.
    pub fn reply(&self, records: &[(&str, Record<'_>)]) -> Vec<u8> {
        let mut packet = Packet::parse(self.query).unwrap().into_reply();
        for (name, record) in records {
            let data = match record {
                Record::Alias(to) => RData::CNAME(CNAME(Name::new(to).unwrap())),
                Record::Address(IpAddr::V4(it)) => RData::A(A::from(*it)),
                Record::Address(IpAddr::V6(it)) => RData::AAAA(AAAA::from(*it)),
            };
            let name = Name::new(name).unwrap();
            let record = ResourceRecord::new(name, CLASS::IN, 60, data);
            packet.answers.push(record);
        }
        packet.build_bytes_vec_compressed().unwrap()
    }

    /// The reply of a host with an IPv4 address and none for IPv6.
    pub fn at(&self, address: &str) -> Vec<u8> {
        match self.v6 {
            true => self.reply(&[]),
            false => self.reply(&[(self.name, Record::Address(address.parse().unwrap()))]),
        }
    }

    /// A reply without records that says so.
    pub fn says(&self, code: RCODE) -> Vec<u8> {
        let mut packet = Packet::parse(self.query).unwrap().into_reply();
        *packet.rcode_mut() = code;
        packet.build_bytes_vec().unwrap()
    }

    /// A reply that is too long for UDP.
    pub fn truncated(&self) -> Vec<u8> {
        let mut packet = Packet::parse(self.query).unwrap().into_reply();
        packet.set_flags(PacketFlag::TRUNCATION);
        packet.build_bytes_vec().unwrap()
    }
}

/// A record of a reply.
#[derive(Clone, Copy)]
pub enum Record<'a> {
    /// CNAME.
    Alias(&'a str),
    /// A or AAAA.
    Address(IpAddr),
}
