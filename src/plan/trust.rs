// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decides which packages are accepted, by their signatures, by where their bytes come from, and by
//! what the user vouches for.

use super::{Origin, Refusal, Source, Wishes, pin};
use crate::package::signature::{Distrust, Signature};

/// Accepts good signatures, bytes that the user pinned, and local unsigned files (with a warning).
/// A bad signature is refused whatever the options are. Returns the warnings.
///
/// # Errors
/// A [`Refusal`].
pub fn judge(sources: &[Source], wishes: &Wishes) -> Result<Vec<String>, Refusal> {
    let mut warnings = Vec::new();
    let mut unsigned = Vec::new();
    for source in sources {
        let name = &source.package.nevra;
        let vouched = wishes.allow_unsigned || (source.pinned && !wishes.require_signature);
        let why = match &source.package.signature {
            Signature::Good(_) => continue,
            Signature::Bad(why) => format!(
                "the signature of {name} is bad ({why}): the file is damaged or was tampered with. Fetch it again from a place that you trust"
            ),
            Signature::UnknownKey(key) if !vouched => format!(
                "{name} is signed with the key {key}, which is neither in /etc/pki/rpm-gpg of the image nor given with --gpg-key. Give the file of that key with --gpg-key FILE, or pin the bytes{}",
                how(source)
            ),
            Signature::Untrusted(why) if !vouched => format!(
                "{name} is signed, and rpm would not trust the signature: {why}. {}{}",
                why.remedy(),
                or_pin(source, why)
            ),
            Signature::None if wishes.require_signature => format!(
                "{name} is not signed, and --require-signature was given. Give a signed package"
            ),
            Signature::None if source.from != Origin::File && !vouched => {
                unsigned.push(source);
                continue;
            }
            Signature::UnknownKey(key) => {
                warnings.push(format!(
                    "{name} is signed with the unknown key {key}{}",
                    but(source)
                ));
                continue;
            }
            Signature::Untrusted(why) => {
                warnings.push(format!(
                    "rpm would not trust the signature of {name}: {why}{}",
                    but(source)
                ));
                continue;
            }
            Signature::None => {
                warnings.push(format!("{name} is not signed{}", but(source)));
                continue;
            }
        };
        return Err(Refusal::Signature {
            file: source.origin.clone(),
            why,
        });
    }
    if unsigned.is_empty() {
        return Ok(warnings);
    }
    let is_url = unsigned.iter().all(|source| source.from == Origin::Url);
    let names = unsigned.iter().map(|it| it.package.nevra.to_string());
    let names = names.collect();
    Err(if is_url {
        Refusal::Unsigned {
            names,
            command: wishes.pinned_command.clone(),
        }
    } else {
        Refusal::UnsignedInRepository(names)
    })
}

/// Pinning is no advice where the key may be in the wrong hands: these bytes may be the attacker's.
fn or_pin(source: &Source, why: &Distrust) -> String {
    match why {
        Distrust::Revoked { .. } => String::new(),
        _ => format!(
            "; or pin the bytes, if you know their digest from elsewhere{}",
            how(source)
        ),
    }
}

/// How the bytes of a source are pinned.
fn how(source: &Source) -> String {
    match source.from {
        Origin::Repository => " with --sha256sums FILE".to_owned(),
        Origin::Url | Origin::File => {
            format!(": {}{}{}", source.origin, pin::MARK, source.sha256)
        }
    }
}

fn but(source: &Source) -> &'static str {
    if source.pinned {
        "; its sha256 is the one that was given"
    } else {
        ""
    }
}
