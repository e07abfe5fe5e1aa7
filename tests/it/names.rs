// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names of hosts, from /etc/hosts and from name servers that are slow, broken or hostile. The
//! servers listen on port 53, which needs root.

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ostree_kernel::sys::fetch::dns::{Family, Reply, read};
use ostree_kernel::sys::fetch::names::{NameError, Names};
use ostree_kernel::sys::fetch::{Fetcher, Limits};
use ostree_kernel::sys::root::Root;
use simple_dns::RCODE;
use tempfile::TempDir;

use crate::dns::{Asked, Dns, Record};
use crate::server::{Server, answer};

/// The two files.
struct Place(TempDir);

impl Place {
    fn new(hosts: &str, resolv_conf: &str) -> Self {
        let dir = TempDir::with_prefix("ostree-kernel-names-").unwrap();
        fs_err::write(dir.path().join("hosts"), hosts).unwrap();
        fs_err::write(dir.path().join("resolv.conf"), resolv_conf).unwrap();
        Self(dir)
    }

    /// These servers and lines, and a second for each question.
    fn asking(servers: &[&Dns], lines: &str) -> Self {
        let servers = servers
            .iter()
            .map(|it| format!("nameserver {}\n", it.address))
            .collect::<String>();
        let options = "options timeout:1 attempts:1\n";
        Self::new("", &format!("{servers}{options}{lines}"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, NameError> {
        let limit = Duration::from_secs(10);
        Names::new(self.file("hosts"), self.file("resolv.conf"), limit).look_up(name)
    }

    #[track_caller]
    fn finds(&self, name: &str, expected: &[&str]) {
        let found = self.look_up(name).unwrap();
        let expected: Vec<IpAddr> = expected.iter().map(|it| it.parse().unwrap()).collect();
        assert_eq!(found, expected, "{name}");
    }

    #[track_caller]
    fn fails(&self, name: &str, says: &str) {
        let error = self.look_up(name).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

/// Answers 192.0.2.1, whatever the name.
fn ready() -> Dns {
    Dns::start(|asked| vec![asked.at("192.0.2.1")])
}

#[test]
fn etc_hosts_is_asked_first() {
    let dns = ready();
    let place = Place::asking(&[&dns], "");
    let hosts = "# nothing\n127.9.9.9\tmirror.test  Mirror # not.test\nbroken line\n::9 mirror.test\n\
                 192.0.2.9 other.test\n\u{fffd}\n";
    fs_err::write(place.file("hosts"), hosts).unwrap();
    place.finds("mirror.test", &["127.9.9.9", "::9"]);
    place.finds("MIRROR", &["127.9.9.9"]);
    place.finds("mirror.test.", &["127.9.9.9", "::9"]);
    assert_eq!(dns.asked(), [""; 0]);
    place.finds("not.test", &["192.0.2.1"]);
}

#[test]
fn addresses_and_localhost_need_no_server() {
    let place = Place::new("", "");
    fs_err::remove_file(place.file("hosts")).unwrap();
    fs_err::remove_file(place.file("resolv.conf")).unwrap();
    place.finds("192.0.2.7", &["192.0.2.7"]);
    place.finds("[::7]", &["::7"]);
    place.finds("localhost", &["127.0.0.1", "::1"]);
    place.finds("x.LocalHost.", &["127.0.0.1", "::1"]);
}

#[test]
fn aliases_are_followed() {
    let dns = Dns::start(|asked| {
        let Asked { name, v6, .. } = asked;
        let address = ["192.0.2.1", "2001:db8::1"][usize::from(v6)];
        let address = Record::Address(address.parse().unwrap());
        let foreign = (
            "foreign.test",
            Record::Address("192.0.2.66".parse().unwrap()),
        );
        let records = match name {
            "a.test" => vec![
                ("C.test", address),
                ("b.test", Record::Alias("c.test")),
                foreign,
                ("a.test", Record::Alias("b.test")),
            ],
            "loop.test" => vec![("loop.test", Record::Alias("loop.test")), foreign],
            _ => vec![foreign],
        };
        vec![asked.reply(&records)]
    });
    let place = Place::asking(&[&dns], "");
    let found = place.look_up("a.test").unwrap();
    assert_eq!(found[0].to_string(), "192.0.2.1");
    assert_eq!(found[1].to_string(), "2001:db8::1");
    assert_eq!(found.len(), 2);
    for name in ["loop.test", "bare.test"] {
        place.fails(name, &format!("no host is called {name}"));
    }
}

#[test]
fn the_search_list_is_tried() {
    let dns = Dns::start(|asked| match asked.name {
        "mirror.b.test" | "x.y" | "abs" => vec![asked.at("192.0.2.1")],
        _ => vec![asked.says(RCODE::NameError)],
    });
    let place = Place::asking(
        &[&dns],
        "search a.test b.test. .\nnonsense\noptions ndots:1\n",
    );
    place.finds("mirror", &["192.0.2.1"]);
    place.finds("x.y", &["192.0.2.1"]);
    place.finds("abs.", &["192.0.2.1"]);
    let asked = dns.asked();
    let expected = [
        "mirror.a.test A",
        "mirror.b.test A",
        "mirror.b.test AAAA",
        "x.y A",
        "x.y AAAA",
        "abs A",
        "abs AAAA",
    ];
    assert_eq!(asked, expected);
    place.fails("no", "no host is called no (/etc/hosts and 127.");
    assert_eq!(dns.asked()[7..], ["no.a.test A", "no.b.test A", "no A"]);
    for name in ["a..b", &"x".repeat(64), &"x.".repeat(200)] {
        place.fails(name, "no host is called");
    }
}

#[test]
fn another_server_is_asked() {
    let broken = Dns::start(|asked| vec![asked.says(RCODE::ServerFailure)]);
    let silent = Dns::start(|_| vec![]);
    let good = ready();
    Place::asking(&[&broken, &silent, &good], "").finds("a.test", &["192.0.2.1"]);
    // Not more than three, as resolv.conf(5) has it.
    let place = Place::asking(&[&broken, &broken, &silent, &good], "");
    let says = format!(
        "no name server tells where a.test is: {0}: it answers ServerFailure, {0}: it answers \
         ServerFailure, {1}: no answer in time",
        broken.address, silent.address
    );
    place.fails("a.test", &says);
    let nobody = Place::new("", "nameserver 127.53.255.254\noptions attempts:1\n");
    nobody.fails("a.test", "127.53.255.254: Connection refused");
}

#[test]
fn a_server_that_drops_questions_for_ipv6_is_no_obstacle() {
    let dns = Dns::start(|asked| match asked.v6 {
        true => vec![],
        false => vec![asked.at("192.0.2.1")],
    });
    Place::asking(&[&dns], "").finds("a.test", &["192.0.2.1"]);
}

#[test]
fn long_answers_come_by_tcp() {
    let long = |asked: Asked<'_>| match asked.tcp {
        true => vec![asked.at("192.0.2.1")],
        // It ends in the middle of a record.
        false => vec![[&asked.truncated()[..], b"\xc0\x0c\0\x01"].concat()],
    };
    let dns = Dns::start(long);
    Place::asking(&[&dns], "").finds("a.test", &["192.0.2.1"]);
    let expected = [
        "a.test A",
        "a.test A by TCP",
        "a.test AAAA",
        "a.test AAAA by TCP",
    ];
    assert_eq!(dns.asked(), expected);
    // A byte now and then, less than was promised, and nonsense.
    let trickle = Dns::start_with(long, |stream, _| {
        while stream.write_all(b"\xff").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    Place::asking(&[&trickle], "").fails("a.test", "no answer in time");
    let short = Dns::start_with(long, |stream, _| {
        let _ = stream.write_all(b"\0\x40half");
    });
    Place::asking(&[&short], "").fails("a.test", "no name server tells");
    let nonsense = Dns::start_with(long, |stream, _| {
        let _ = stream.write_all(b"\0\x04half");
    });
    Place::asking(&[&nonsense], "").fails("a.test", "what it sent is no answer");
}

#[test]
fn forged_answers_are_not_believed() {
    let dns = Dns::start(|asked| {
        let forged = asked.at("192.0.2.66");
        let mut another_id = forged.clone();
        another_id[0] ^= 1;
        let mut a_query = forged.clone();
        a_query[2] &= 0x7f;
        let mut another_name = forged.clone();
        another_name[13] = b'z';
        let mut no_question = asked.says(RCODE::NameError);
        no_question.truncate(12);
        no_question[5] = 0;
        let mut too_many = forged[..12].to_vec();
        too_many[4..12].fill(0xff);
        vec![
            b"".to_vec(),
            b"x".to_vec(),
            another_id,
            a_query,
            another_name,
            no_question,
            too_many,
            forged[..forged.len() - 1].to_vec(),
            asked.at("192.0.2.1"),
        ]
    });
    // An IPv6 address in an answer about IPv4 is none either: it has another question.
    Place::asking(&[&dns], "").finds("a.test", &["192.0.2.1"]);
}

#[test]
fn no_byte_of_an_answer_makes_it_panic() {
    let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\x04test\0\0\x01\0\x01";
    let asked = Asked {
        query,
        name: "a.test",
        v6: false,
        tcp: false,
    };
    let address = Record::Address("192.0.2.1".parse().unwrap());
    let good = asked.reply(&[("a.test", Record::Alias("b.test")), ("b.test", address)]);
    let look = |bytes: &[u8]| read(bytes, 0x1234, "a.test", Family::V4);
    assert!(matches!(look(&good), Reply::Answer(_)));
    for at in 0..good.len() {
        look(&good[..at]);
        for byte in 0..=255 {
            let mut bytes = good.clone();
            bytes[at] = byte;
            look(&bytes);
        }
    }
}

#[test]
fn files_are_fetched_by_name() {
    let server = Server::scripted(|_, _, stream| answer(stream, 200, "", b"bytes"));
    let dir = TempDir::with_prefix("ostree-kernel-names-").unwrap();
    let limits = Limits {
        pauses: vec![Duration::from_millis(20); 4],
        ..Limits::new(1000)
    };
    let root = Root::open(Path::new(dir.path())).unwrap();
    let cache = dir.path().join("cache");
    let fetcher = Fetcher::new(&cache, &root, "run/private", limits).unwrap();
    let url = server.url("a.rpm").replace("127.0.0.1", "localhost");
    assert!(!fetcher.fetch(&url, None, false).unwrap().from_cache);
}
