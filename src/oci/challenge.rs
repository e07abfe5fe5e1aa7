// SPDX-License-Identifier: MIT OR Apache-2.0
//! The `WWW-Authenticate` header of a registry (RFC 9110, section 11.6.1).

/// The kind of authentication that a registry requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// A token from this token server.
    Bearer {
        /// The URL of the token server.
        realm: String,
        /// The name by which the token server knows the registry.
        service: Option<String>,
    },
    /// A user name and a password.
    Basic,
}

impl Challenge {
    /// Returns the best challenge in the values of the `WWW-Authenticate` headers: Bearer with a realm, else Basic.
    /// `None` if the headers contain neither.
    pub fn of<'h>(headers: impl IntoIterator<Item = &'h str>) -> Option<Self> {
        let all: Vec<_> = headers.into_iter().flat_map(schemes).collect();
        let bearer = all.iter().find_map(|(name, parameters)| {
            let value = |key: &str| {
                let found = parameters.iter().find(|(other, _)| other == key);
                found.map(|(_, value)| value.clone())
            };
            (name == "bearer").then_some(())?;
            let realm = value("realm").filter(|realm| !realm.is_empty())?;
            let service = value("service").filter(|service| !service.is_empty());
            Some(Self::Bearer { realm, service })
        });
        let has_basic = || all.iter().any(|(name, _)| name == "basic");
        bearer.or_else(|| has_basic().then_some(Self::Basic))
    }
}

/// A scheme with its parameters, all names in lower case.
type Scheme = (String, Vec<(String, String)>);

/// Splits a header into its schemes: `Bearer realm="…",service="…", Basic realm="…"`.
fn schemes(header: &str) -> Vec<Scheme> {
    let mut schemes: Vec<Scheme> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find(|it: char| !is_token(it)).unwrap_or(rest.len());
        if end == 0 {
            return schemes;
        }
        let name = rest[..end].to_ascii_lowercase();
        let after = rest[end..].trim_start_matches([' ', '\t']);
        match after.strip_prefix('=') {
            Some(value) => {
                let (value, left) = value_of(value.trim_start_matches([' ', '\t']));
                if let Some((_, parameters)) = schemes.last_mut() {
                    parameters.push((name, value));
                }
                rest = left;
            }
            None => {
                schemes.push((name, Vec::new()));
                rest = after;
            }
        }
    }
}

fn is_token(it: char) -> bool {
    it.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(it)
}

/// Reads a token or a quoted string at the start of `text`. Returns the value, unquoted, and the rest of the text.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, next)) = chars.next() {
        match next {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, next)| next)),
            next => value.push(next),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::Challenge;

    #[test]
    fn headers_of_real_registries() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer {
                realm: realm.to_owned(),
                service: service.map(str::to_owned),
            })
        };
        for (headers, expected) in [
            (
                &[
                    r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/fedora:pull""#,
                ][..],
                bearer("https://auth.docker.io/token", Some("registry.docker.io")),
            ),
            (
                &[r#"BEARER Realm=https://a/b , Service="x\"y,z""#],
                bearer("https://a/b", Some("x\"y,z")),
            ),
            (
                &[r#"Basic realm="q", Bearer realm="https://a""#],
                bearer("https://a", None),
            ),
            (&[r#"Basic realm="Bearer realm=x""#], Some(Challenge::Basic)),
            (&["Basic", r#"Bearer realm="r""#], bearer("r", None)),
            (&["Negotiate", "basic"], Some(Challenge::Basic)),
            (&["Bearer", "Basic"], Some(Challenge::Basic)),
            (&[r#"Bearer realm="unfinished"#], bearer("unfinished", None)),
            (&[r#"Bearer realm=""#], None),
            (&["Negotiate abc=="], None),
            (&["", ",,,", "=\"\"", "\u{e4}"], None),
            (&[], None),
        ] {
            assert_eq!(
                Challenge::of(headers.iter().copied()),
                expected,
                "{headers:?}"
            );
        }
    }
}
