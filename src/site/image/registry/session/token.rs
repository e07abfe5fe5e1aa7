// SPDX-License-Identifier: MIT OR Apache-2.0
//! Obtains the token or the password that a registry requires (the distribution project's token specification).

use anyhow::{Context, anyhow};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::Session;
use crate::oci::{Challenge, Credentials};
use crate::sys::fetch::{FetchError, Request, is_url, refused};

/// Upper bound of the response with a token (bytes); a token has a few thousand bytes.
const TOKEN_MAX: u64 = 256 << 10;

/// The response of a token server.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

/// Returns the value of the header `Authorization` for a repository.
pub(super) fn authorize(
    session: &Session,
    challenge: &Challenge,
    credentials: Option<&Credentials>,
    scheme: &str,
) -> Result<String, FetchError> {
    let denied = |why: &str, status| FetchError::Permanent(session.denied(why, status));
    let (realm, service) = match challenge {
        Challenge::Basic => {
            let basic = credentials.and_then(Credentials::basic);
            return basic.ok_or_else(|| denied("the registry asks for a password", 401));
        }
        Challenge::Bearer { realm, service } => (realm, service.as_deref().unwrap_or_default()),
    };
    let shown = realm.escape_debug();
    if !is_url(realm) {
        return Err(FetchError::Permanent(anyhow!(
            "the registry names the token server {shown}, which is not an http or https URL"
        )));
    }
    let has_secret = credentials.is_some();
    if has_secret && scheme == "https" && !realm.starts_with("https://") {
        return Err(FetchError::Permanent(anyhow!(
            "the registry names the token server {shown}, which would get the password without encryption"
        )));
    }
    let request = request(realm, service, session, credentials);
    let reply = session.send(request)?;
    let status = reply.head.status().as_u16();
    match status {
        200 => {}
        400 | 401 | 403 => {
            let why = if has_secret {
                "the token server refuses the credentials"
            } else {
                "the token server refuses access without credentials"
            };
            return Err(denied(why, status));
        }
        _ => {
            return Err(match refused(&reply.head) {
                FetchError::Temporary(error, pause) => FetchError::Temporary(
                    error.context(format!("asking {shown} for a token")),
                    pause,
                ),
                FetchError::Permanent(error) => {
                    FetchError::Permanent(error.context(format!("asking {shown} for a token")))
                }
            });
        }
    }
    let bytes = session.read(reply, TOKEN_MAX, "token_bytes")?;
    let token: Token = serde_json::from_slice(&bytes)
        .map_err(|_| anyhow!("the response is not JSON"))
        .with_context(|| format!("reading the token of {shown}"))
        .map_err(FetchError::Permanent)?;
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let token = given(token.token).or_else(|| given(token.access_token));
    let is_header = |token: &String| token.bytes().all(|byte| byte.is_ascii_graphic());
    match token.filter(is_header) {
        Some(token) => Ok(format!("Bearer {token}")),
        None => Err(FetchError::Permanent(anyhow!(
            "the token server {shown} sent no valid token"
        ))),
    }
}

/// Returns the request for a token to pull from the repository.
fn request(
    realm: &str,
    service: &str,
    session: &Session,
    credentials: Option<&Credentials>,
) -> Request {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let scope = encoded(&format!("repository:{}:pull", session.image().name));
    let service = encoded(service);
    if let Some(Credentials::IdentityToken(token)) = credentials {
        let token = encoded(token);
        return Request {
            url: realm.to_owned(),
            form: Some(format!(
                "grant_type=refresh_token&refresh_token={token}&service={service}&scope={scope}&client_id=ostree-kernel"
            )),
            ..Request::default()
        };
    }
    let separator = if realm.contains('?') { '&' } else { '?' };
    Request {
        url: format!("{realm}{separator}service={service}&scope={scope}"),
        authorization: credentials.and_then(Credentials::basic),
        ..Request::default()
    }
}
