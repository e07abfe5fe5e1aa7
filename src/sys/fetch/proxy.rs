// SPDX-License-Identifier: MIT OR Apache-2.0
//! Chooses the proxy of a URL from environment variables, by curl's rules.

use std::net::IpAddr;

/// Returns the proxy for `scheme://host/`; `None` for a direct connection. `variable` returns the value of an
/// environment variable.
///
/// Ignores `HTTP_PROXY` in capitals, as curl does, since a CGI client can set it.
pub fn choose(
    scheme: &str,
    host: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Option<String> {
    let first = |names: &[&str]| {
        let mut values = names.iter().filter_map(|name| variable(name));
        values.find(|value| !value.is_empty())
    };
    let proxy = match scheme {
        "https" => first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
        _ => first(&["http_proxy", "all_proxy", "ALL_PROXY"]),
    }?;
    let exempt = first(&["no_proxy", "NO_PROXY"]).unwrap_or_default();
    let is_exempt = exempt
        .split([',', ' '])
        .filter(|entry| !entry.is_empty())
        .any(|entry| is_exempt(entry, host));
    if is_exempt {
        None
    } else if proxy.contains("://") {
        Some(proxy)
    } else {
        Some(format!("http://{proxy}"))
    }
}

/// Returns whether an entry of `no_proxy` covers the host. An entry is `*`, a domain (with its subdomains), an address,
/// or a range of addresses.
fn is_exempt(entry: &str, host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches([']', '.']);
    if entry == "*" {
        return true;
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        let entry = entry.trim_start_matches('[').trim_end_matches(']');
        return match entry.split_once('/') {
            Some((net, bits)) => is_in_range(address, net, bits),
            None => entry.parse() == Ok(address),
        };
    }
    let domain = entry.trim_matches('.').to_ascii_lowercase();
    let host = host.to_ascii_lowercase();
    host.strip_suffix(&domain)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn is_in_range(address: IpAddr, net: &str, bits: &str) -> bool {
    let Ok(bits) = bits.parse::<u32>() else {
        return false;
    };
    let same = |differing: u32| differing >= bits;
    match (address, net.parse()) {
        (IpAddr::V4(address), Ok(IpAddr::V4(net))) => {
            bits <= 32 && same((address.to_bits() ^ net.to_bits()).leading_zeros())
        }
        (IpAddr::V6(address), Ok(IpAddr::V6(net))) => {
            bits <= 128 && same((address.to_bits() ^ net.to_bits()).leading_zeros())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::choose;

    #[test]
    fn variables_are_taken_as_curl_takes_them() {
        for (variables, scheme, expected) in [
            (&[][..], "http", None),
            (&[("http_proxy", "p:1")], "http", Some("http://p:1")),
            (&[("http_proxy", "p:1")], "https", None),
            (&[("HTTP_PROXY", "p:1")], "http", None),
            (&[("HTTPS_PROXY", "https://p")], "https", Some("https://p")),
            (
                &[("https_proxy", "a"), ("HTTPS_PROXY", "b")],
                "https",
                Some("http://a"),
            ),
            (
                &[("https_proxy", ""), ("ALL_PROXY", "b")],
                "https",
                Some("http://b"),
            ),
            (
                &[("http_proxy", "p"), ("no_proxy", "x, example.org")],
                "http",
                None,
            ),
            (
                &[("http_proxy", "p"), ("NO_PROXY", ".Example.org")],
                "http",
                None,
            ),
            (
                &[("http_proxy", "p"), ("no_proxy", "ample.org")],
                "http",
                Some("http://p"),
            ),
            (&[("http_proxy", "p"), ("no_proxy", "*")], "http", None),
        ] {
            let variable = |name: &str| {
                let found = variables.iter().find(|(other, _)| *other == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            let found = choose(scheme, "a.example.org", &variable);
            assert_eq!(found.as_deref(), expected, "{scheme} {variables:?}");
        }
    }

    #[test]
    fn addresses_are_exempt_by_range() {
        for (host, entry, exempt) in [
            ("10.1.2.3", "10.0.0.0/8", true),
            ("11.1.2.3", "10.0.0.0/8", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.3/32", true),
            ("10.1.2.3", "0.0.0.0/0", true),
            ("10.1.2.3", "10.0.0.0/99", false),
            ("10.1.2.3", "1.2.3", false),
            ("[fd00::1]", "fd00::/16", true),
            ("[fd00::1]", "[fd00::1]", true),
            ("[fd00::1]", "10.0.0.0/8", false),
        ] {
            let variable = |name: &str| match name {
                "http_proxy" => Some("p".to_owned()),
                "no_proxy" => Some(entry.to_owned()),
                _ => None,
            };
            assert_eq!(
                choose("http", host, &variable).is_none(),
                exempt,
                "{host} {entry}"
            );
        }
    }
}
