// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decides which packages are accepted: by their signatures, by the origin of their bytes, and by the digests and
//! options that the user gave.

use super::{PackageOrigin, Refusal, Source, Wishes, pin};
use crate::package::signature::{Distrust, Signature};

/// Accepts good signatures, and refuses bad ones. The other packages are unsigned, or rpm would not trust their
/// signature or does not know its key. Of these, accepts packages that the user pinned, all with `--allow-unsigned`,
/// and unsigned local files, each with a warning; with `--require-signature`, accepts none. Returns the warnings.
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
                "{name} is signed with the key {key}, which is neither in /etc/pki/rpm-gpg of the image nor given with --gpg-key. Give the file of that key with --gpg-key FILE{}",
                or_pin(source, wishes)
            ),
            Signature::Untrusted(why) if !vouched => format!(
                "{name} is signed, and rpm would not trust the signature: {why}. {}{}",
                why.remedy(),
                // Bytes that are signed with a revoked key may be an attacker's.
                match why {
                    Distrust::Revoked { .. } => String::new(),
                    _ => or_pin(source, wishes),
                }
            ),
            Signature::None if wishes.require_signature => format!(
                "{name} is not signed, and --require-signature was given. Give a signed package"
            ),
            Signature::None if source.from != PackageOrigin::File && !vouched => {
                unsigned.push(source);
                continue;
            }
            Signature::UnknownKey(key) => {
                warnings.push(format!(
                    "{name} is signed with the unknown key {key}{}",
                    pin_note(source)
                ));
                continue;
            }
            Signature::Untrusted(why) => {
                warnings.push(format!(
                    "rpm would not trust the signature of {name}: {why}{}",
                    pin_note(source)
                ));
                continue;
            }
            Signature::None => {
                warnings.push(format!("{name} is not signed{}", pin_note(source)));
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
    let is_url = unsigned
        .iter()
        .all(|source| source.from == PackageOrigin::Url);
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

/// Returns the advice to pin the bytes; empty with `--require-signature`, with which a pin does not replace a
/// signature.
fn or_pin(source: &Source, wishes: &Wishes) -> String {
    if wishes.require_signature {
        return String::new();
    }
    format!(
        "; or pin the bytes, if you know their digest from elsewhere{}",
        pin_syntax(source)
    )
}

/// Returns the syntax that pins the bytes of a source.
fn pin_syntax(source: &Source) -> String {
    match source.from {
        PackageOrigin::Repository => " with --sha256sums FILE".to_owned(),
        PackageOrigin::Url | PackageOrigin::File => {
            format!(": {}{}{}", source.origin, pin::MARK, source.sha256)
        }
    }
}

fn pin_note(source: &Source) -> &'static str {
    if source.pinned {
        "; its sha256 is the one that was given"
    } else {
        ""
    }
}
