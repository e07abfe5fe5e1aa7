// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names of hosts to addresses: /etc/hosts and the servers of /etc/resolv.conf, without libc.
//!
//! glibc would load the modules that nsswitch.conf names, and a static program that does so dies of
//! SIGFPE. So nsswitch.conf is not read, and the dynamic program does as the static one.

use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::net::if_::if_nametoindex;
use resolv_conf::{Config, ScopedIp};
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::dns::{self, Answer, Family, Patience, Silence};

/// What of /etc/hosts and of /etc/resolv.conf is read (bytes).
const FILE_MAX: u64 = 4 << 20;

/// The bounds of resolv.conf(5), and one of ours for the search list, which has none there.
const SERVERS_MAX: usize = 3;
const NDOTS_MAX: u32 = 15;
const WAIT_MAX: u32 = 30;
const ATTEMPTS_MAX: u32 = 5;
const SEARCH_MAX: usize = 16;

/// Addresses of one family that are tried.
const ADDRESSES_MAX: usize = 8;

/// A server that has said the IPv4 addresses and is silent about IPv6 is one of those that drop
/// such questions: it is not waited for.
const WAIT_FOR_V6: Duration = Duration::from_secs(1);

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// The servers say so.
    #[error("no host is called {name} (/etc/hosts and {servers} were asked)")]
    NoSuchHost {
        /// The name that was looked up.
        name: String,
        /// Those that say so.
        servers: String,
    },
    /// The servers say nothing.
    #[error("no name server tells where {name} is: {why}")]
    NoAnswer {
        /// The name that was looked up.
        name: String,
        /// Each with what is wrong with it.
        why: String,
    },
}

/// Finds addresses.
#[derive(Debug)]
pub struct Names {
    hosts: PathBuf,
    resolv_conf: PathBuf,
    limit: Duration,
}

impl Names {
    /// Those that libc reads too, and how long one name may take.
    pub fn of_this_machine(limit: Duration) -> Self {
        Self::new("/etc/hosts".into(), "/etc/resolv.conf".into(), limit)
    }

    /// The files, and how long one name may take.
    pub fn new(hosts: PathBuf, resolv_conf: PathBuf, limit: Duration) -> Self {
        Self {
            hosts,
            resolv_conf,
            limit,
        }
    }

    /// The addresses of a host, those first that a route leads to; IPv4 before IPv6, which is
    /// broken more often.
    ///
    /// # Errors
    /// When it has none, or the servers do not tell.
    pub fn look_up(&self, host: &str) -> Result<Vec<IpAddr>, NameError> {
        if let Ok(address) = host.trim_matches(['[', ']']).parse() {
            return Ok(vec![address]);
        }
        let found = in_hosts(&text(&self.hosts), host);
        if !found.is_empty() {
            return Ok(found);
        }
        if is_localhost(host) {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let (config, _) = Config::parse_with_errors(text(&self.resolv_conf).as_bytes());
        let mut found = self.ask_servers(&config, host)?;
        found.sort_by_key(|address| !has_route(*address));
        Ok(found)
    }

    fn ask_servers(&self, config: &Config, host: &str) -> Result<Vec<IpAddr>, NameError> {
        let servers = servers(config);
        let patience = Patience {
            wait: Duration::from_secs(config.timeout.clamp(1, WAIT_MAX).into()),
            attempts: config.attempts.clamp(1, ATTEMPTS_MAX),
            until: Instant::now() + self.limit,
        };
        let mut silent = None;
        for name in candidates(config, host) {
            match both_families(&servers, &name, patience) {
                Ok(found) if !found.is_empty() => return Ok(found),
                Ok(_) => {}
                Err(why) => silent = silent.or(Some(why)),
            }
        }
        let name = host.to_owned();
        let shown: Vec<_> = servers.iter().map(|it| it.ip().to_string()).collect();
        Err(match silent {
            None => NameError::NoSuchHost {
                name,
                servers: shown.join(", "),
            },
            Some(silent) => NameError::NoAnswer {
                name,
                why: said(&silent),
            },
        })
    }
}

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default();
        let port = match (uri.port_u16(), uri.scheme_str()) {
            (Some(port), _) => port,
            (None, Some("https")) => 443,
            (None, _) => 80,
        };
        let found = self.look_up(host);
        let found = found.map_err(|error| ureq::Error::Other(Box::new(error)))?;
        let mut addresses = self.empty();
        for is_v4 in [true, false] {
            let family = found.iter().filter(|it| it.is_ipv4() == is_v4);
            for address in family.take(ADDRESSES_MAX) {
                addresses.push(SocketAddr::new(*address, port));
            }
        }
        Ok(addresses)
    }
}

/// The text of a file; none where it cannot be read, as libc takes it.
fn text(path: &Path) -> String {
    let mut bytes = Vec::new();
    let read = fs_err::File::open(path).and_then(|it| it.take(FILE_MAX).read_to_end(&mut bytes));
    if let Err(error) = read {
        tracing::debug!("{error}");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The addresses that lines of /etc/hosts give to a name: hosts(5).
fn in_hosts(hosts: &str, host: &str) -> Vec<IpAddr> {
    let host = host.trim_end_matches('.');
    let lines = hosts.lines().filter_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words
            .any(|name| name.eq_ignore_ascii_case(host))
            .then_some(address)
    });
    lines.collect()
}

/// RFC 6761, section 6.3.
fn is_localhost(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// The servers to ask; without any the one on this machine: resolv.conf(5).
fn servers(config: &Config) -> Vec<SocketAddr> {
    let address = |server: &ScopedIp| match server {
        ScopedIp::V4(address) => SocketAddr::from((*address, 53)),
        ScopedIp::V6(address, scope) => {
            let scope = scope.as_deref().unwrap_or("0");
            let index = scope.parse().or_else(|_| if_nametoindex(scope));
            SocketAddrV6::new(*address, 53, 0, index.unwrap_or(0)).into()
        }
    };
    let servers: Vec<_> = config.nameservers.iter().take(SERVERS_MAX).collect();
    if servers.is_empty() {
        return vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 53))];
    }
    servers.into_iter().map(address).collect()
}

/// The names to ask for, in order: the search list, and the name as it is; that first where it has
/// dots enough.
fn candidates(config: &Config, host: &str) -> Vec<String> {
    if let Some(absolute) = host.strip_suffix('.') {
        return vec![absolute.to_owned()];
    }
    let domains = config.get_last_search_or_domain().take(SEARCH_MAX);
    let domains = domains.map(|domain| domain.trim_matches('.'));
    let mut names: Vec<_> = domains
        .filter(|domain| !domain.is_empty())
        .map(|domain| format!("{host}.{domain}"))
        .collect();
    let has_dots_enough = host.matches('.').count() >= config.ndots.min(NDOTS_MAX) as usize;
    let place = if has_dots_enough { 0 } else { names.len() };
    names.insert(place, host.to_owned());
    names
}

type Silent = Vec<(SocketAddr, Silence)>;

/// The addresses of a name, none where there is no such name. One family is enough.
fn both_families(
    servers: &[SocketAddr],
    name: &str,
    patience: Patience,
) -> Result<Vec<IpAddr>, Silent> {
    let v4 = dns::ask(servers, name, Family::V4, patience);
    let patience = match &v4 {
        Ok(Answer::NoSuchName) => return Ok(Vec::new()),
        Ok(Answer::Addresses(found)) if !found.is_empty() => Patience {
            wait: patience.wait.min(WAIT_FOR_V6),
            attempts: 1,
            ..patience
        },
        _ => patience,
    };
    let v6 = dns::ask(servers, name, Family::V6, patience);
    let found = |answer| match answer {
        Answer::Addresses(found) => found,
        Answer::NoSuchName => Vec::new(),
    };
    match (v4.map(found), v6.map(found)) {
        (Ok(v4), Ok(v6)) => Ok([v4, v6].concat()),
        (Ok(found), Err(_)) | (Err(_), Ok(found)) if !found.is_empty() => Ok(found),
        (Err(silent), _) | (_, Err(silent)) => Err(silent),
    }
}

/// Each server with what is wrong with it.
fn said(silent: &Silent) -> String {
    let each = silent.iter();
    let each: Vec<_> = each
        .map(|(server, why)| format!("{}: {why}", server.ip()))
        .collect();
    each.join(", ")
}

/// Whether packets can be sent to an address; none is.
fn has_route(address: IpAddr) -> bool {
    let to = SocketAddr::new(address, 9);
    let connect = |socket: UdpSocket| -> io::Result<()> { socket.connect(to) };
    UdpSocket::bind(dns::any(to)).and_then(connect).is_ok()
}
