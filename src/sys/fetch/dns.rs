// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client's end of DNS: one question to the name servers, over UDP, and over TCP where the answer
//! does not fit (RFC 1035, RFC 7766).

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use simple_dns::rdata::RData;
use simple_dns::{
    CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE, header_buffer,
};

/// An alias leads to an alias so many times at most.
const ALIASES_MAX: usize = 16;

/// The least that a question and a record take (bytes): a name of one, type, class; TTL, length.
const QUESTION_MIN: usize = 5;
const RECORD_MIN: usize = 11;

/// Which addresses are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// A records.
    V4,
    /// AAAA records.
    V6,
}

/// What a server says of a name.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// The name exists; it need not have addresses of this family.
    Addresses(Vec<IpAddr>),
    /// There is no such name.
    NoSuchName,
}

/// Why a server gave no answer.
#[derive(Debug)]
pub enum Silence {
    /// It could not be reached, or has not answered in time.
    Io(io::Error),
    /// It answered that it cannot, or with what is no answer.
    Refused(String),
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) if is_timeout(error) => f.write_str("no answer in time"),
            Self::Io(error) => error.fmt(f),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

impl From<io::Error> for Silence {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// How long servers are waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For one answer of one server.
    pub wait: Duration,
    /// How often each is asked.
    pub attempts: u32,
    /// When all of it ends.
    pub until: Instant,
}

/// Asks the servers one after the other until one answers.
///
/// # Errors
/// Why each did not, as it was the last time.
pub fn ask(
    servers: &[SocketAddr],
    name: &str,
    family: Family,
    patience: Patience,
) -> Result<Answer, Vec<(SocketAddr, Silence)>> {
    let mut silent = Vec::new();
    for _ in 0..patience.attempts {
        silent.clear();
        for server in servers {
            let until = patience.until.min(Instant::now() + patience.wait);
            match ask_one(*server, name, family, until) {
                Ok(answer) => return Ok(answer),
                Err(why) => silent.push((*server, why)),
            }
        }
    }
    Err(silent)
}

fn ask_one(
    server: SocketAddr,
    name: &str,
    family: Family,
    until: Instant,
) -> Result<Answer, Silence> {
    // Nobody can guess it: the keys of a hasher are random. The port is, too.
    let id = RandomState::new().hash_one(name) as u16;
    let Some(query) = query(id, name, family) else {
        return Ok(Answer::NoSuchName);
    };
    match over_udp(server, &query, (id, name, family), until)? {
        Some(answer) => answer,
        None => {
            let reply = over_tcp(server, &query, until)?;
            match read(&reply, id, name, family) {
                Reply::Answer(answer) => Ok(answer),
                Reply::Refused(why) => Err(Silence::Refused(why)),
                Reply::Truncated | Reply::Another => {
                    Err(Silence::Refused("what it sent is no answer".to_owned()))
                }
            }
        }
    }
}

/// The question as it is sent; `None` where the name cannot be one of DNS.
fn query(id: u16, name: &str, family: Family) -> Option<Vec<u8>> {
    if name.split('.').any(str::is_empty) {
        return None;
    }
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let question = Question::new(
        Name::new(name).ok()?,
        QTYPE::TYPE(record(family)),
        QCLASS::CLASS(CLASS::IN),
        false,
    );
    packet.questions.push(question);
    packet.build_bytes_vec().ok()
}

fn record(family: Family) -> TYPE {
    match family {
        Family::V4 => TYPE::A,
        Family::V6 => TYPE::AAAA,
    }
}

/// `None` when the answer is too long for UDP. What is no answer to this question is not looked at:
/// anybody may send it.
fn over_udp(
    server: SocketAddr,
    query: &[u8],
    (id, name, family): (u16, &str, Family),
    until: Instant,
) -> io::Result<Option<Result<Answer, Silence>>> {
    let socket = UdpSocket::bind(any(server))?;
    // From here on only datagrams of this server arrive.
    socket.connect(server)?;
    socket.send(query)?;
    let mut buffer = [0; 4096];
    loop {
        socket.set_read_timeout(Some(remaining(until)?))?;
        let size = socket.recv(&mut buffer)?;
        match read(&buffer[..size], id, name, family) {
            Reply::Answer(answer) => return Ok(Some(Ok(answer))),
            Reply::Refused(why) => return Ok(Some(Err(Silence::Refused(why)))),
            Reply::Truncated => return Ok(None),
            Reply::Another => {}
        }
    }
}

fn over_tcp(server: SocketAddr, query: &[u8], until: Instant) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, remaining(until)?)?;
    stream.set_write_timeout(Some(remaining(until)?))?;
    let size = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&size.to_be_bytes(), query].concat())?;
    let mut size = [0; 2];
    read_exact(&mut stream, &mut size, until)?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(size))];
    read_exact(&mut stream, &mut reply, until)?;
    Ok(reply)
}

/// As `Read::read_exact`, but in time: a server may send a byte now and then.
fn read_exact(stream: &mut TcpStream, mut buffer: &mut [u8], until: Instant) -> io::Result<()> {
    while !buffer.is_empty() {
        stream.set_read_timeout(Some(remaining(until)?))?;
        match stream.read(buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => buffer = &mut buffer[count..],
        }
    }
    Ok(())
}

/// The address that a socket to `address` is bound to.
pub fn any(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

fn remaining(until: Instant) -> io::Result<Duration> {
    let remaining = until.saturating_duration_since(Instant::now());
    if remaining.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(remaining)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
    )
}

/// What somebody sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// An answer to this question.
    Answer(Answer),
    /// The answer is longer, and TCP has it.
    Truncated,
    /// It has none to give, and says why.
    Refused(String),
    /// No answer to this question.
    Another,
}

/// Reads what came as a reply to the question `id`; never panics, whatever came.
pub fn read(bytes: &[u8], id: u16, name: &str, family: Family) -> Reply {
    let is_reply = header_buffer::id(bytes) == Ok(id)
        && header_buffer::has_flags(bytes, PacketFlag::RESPONSE) == Ok(true);
    if !is_reply {
        return Reply::Another;
    }
    // It may end in the middle of a record.
    if header_buffer::has_flags(bytes, PacketFlag::TRUNCATION) == Ok(true) {
        return Reply::Truncated;
    }
    if !holds_its_records(bytes) {
        return Reply::Another;
    }
    let (Ok(packet), Ok(name)) = (Packet::parse(bytes), Name::new(name)) else {
        return Reply::Another;
    };
    let answers_this = |question: &Question<'_>| {
        question.qname == name && question.qtype == QTYPE::TYPE(record(family))
    };
    match packet.rcode() {
        // A server that understands nothing need not repeat the question.
        RCODE::NoError | RCODE::NameError if !packet.questions.iter().any(answers_this) => {
            Reply::Another
        }
        RCODE::NoError => Reply::Answer(Answer::Addresses(addresses(&packet, &name, family))),
        RCODE::NameError => Reply::Answer(Answer::NoSuchName),
        code => Reply::Refused(format!("it answers {code:?}")),
    }
}

/// Whether the header promises no more than the bytes can hold: the parser makes room for it.
fn holds_its_records(bytes: &[u8]) -> bool {
    use header_buffer::{additional_records, answers, name_servers, questions};
    let count = |part: simple_dns::Result<u16>| usize::from(part.unwrap_or(0));
    let records =
        count(answers(bytes)) + count(name_servers(bytes)) + count(additional_records(bytes));
    count(questions(bytes)) * QUESTION_MIN + records * RECORD_MIN <= bytes.len()
}

/// The addresses that the name has in `packet`, aliases followed.
fn addresses(packet: &Packet<'_>, name: &Name<'_>, family: Family) -> Vec<IpAddr> {
    let mut owner = name;
    for _ in 0..ALIASES_MAX {
        let alias = packet.answers.iter().find_map(|it| match &it.rdata {
            RData::CNAME(target) if it.name == *owner => Some(&target.0),
            _ => None,
        });
        match alias {
            Some(target) => owner = target,
            None => break,
        }
    }
    let of_owner = packet.answers.iter().filter(|it| it.name == *owner);
    let addresses = of_owner.filter_map(|it| match (family, &it.rdata) {
        (Family::V4, RData::A(a)) => Some(IpAddr::V4(a.address.into())),
        (Family::V6, RData::AAAA(aaaa)) => Some(IpAddr::V6(aaaa.address.into())),
        _ => None,
    });
    addresses.collect()
}

#[cfg(test)]
mod tests {
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::{A, AAAA, CNAME};

    use super::*;
    use crate::kernel::testing::seeds;

    const ID: u16 = 0x4f4b;
    const NAME: &str = "rpms.example.org";

    fn reply(flags: PacketFlag, code: RCODE, records: Vec<(&str, RData<'static>)>) -> Vec<u8> {
        let mut packet = Packet::new_reply(ID);
        packet.set_flags(flags);
        *packet.rcode_mut() = code;
        let (kind, class) = (QTYPE::TYPE(TYPE::A), QCLASS::CLASS(CLASS::IN));
        let question = Question::new(Name::new_unchecked(NAME), kind, class, false);
        packet.questions.push(question);
        for (owner, data) in records {
            let record = ResourceRecord::new(Name::new_unchecked(owner), CLASS::IN, 60, data);
            packet.answers.push(record);
        }
        packet.build_bytes_vec_compressed().unwrap()
    }

    #[test]
    fn seeds_are_current() {
        let a = |last| RData::A(A::from(Ipv4Addr::new(192, 0, 2, last)));
        let v6 = RData::AAAA(AAAA::from(Ipv6Addr::LOCALHOST));
        let alias = |name: &'static str| RData::CNAME(CNAME(Name::new_unchecked(name)));
        let chain = vec![
            (NAME, alias("cdn.example.net")),
            ("cdn.example.net", alias("a.example.net")),
            ("a.example.net", a(3)),
            ("other.example.net", a(4)),
        ];
        let found = |last: &[u8]| {
            let addresses = last
                .iter()
                .map(|last| Ipv4Addr::new(192, 0, 2, *last).into());
            Reply::Answer(Answer::Addresses(addresses.collect()))
        };
        let (plain, good) = (PacketFlag::empty(), RCODE::NoError);
        let no_such_name = Reply::Answer(Answer::NoSuchName);
        let refused = Reply::Refused("it answers ServerFailure".to_owned());
        let table = [
            (
                "addresses",
                reply(plain, good, vec![(NAME, a(1)), (NAME, a(2)), (NAME, v6)]),
                found(&[1, 2]),
            ),
            ("alias", reply(plain, good, chain), found(&[3])),
            (
                "loop",
                reply(plain, good, vec![(NAME, alias(NAME))]),
                found(&[]),
            ),
            (
                "no-such-name",
                reply(plain, RCODE::NameError, vec![]),
                no_such_name,
            ),
            (
                "refused",
                reply(plain, RCODE::ServerFailure, vec![]),
                refused,
            ),
            (
                "truncated",
                reply(PacketFlag::TRUNCATION, good, vec![]),
                Reply::Truncated,
            ),
        ];
        for (what, bytes, expected) in &table {
            assert_eq!(read(bytes, ID, NAME, Family::V4), *expected, "{what}");
            assert_eq!(
                read(bytes, ID + 1, NAME, Family::V4),
                Reply::Another,
                "{what}"
            );
        }
        seeds("dns", &table.map(|(name, bytes, _)| (name, bytes)));
    }
}
