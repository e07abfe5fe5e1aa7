// SPDX-License-Identifier: MIT OR Apache-2.0
//! Chooses one image from an index.

use super::error::OciError;
use super::manifest::Descriptor;
use super::platform::Platform;

/// Chooses an image of an index: the first one for the `wanted` platform. Without `wanted`, chooses the first one for
/// the host's platform, else the only image. Entries for the operating system `unknown` are ignored: they are
/// attestations.
///
/// # Errors
/// When the index has no image, or none for the platform; the error then lists the platforms of the index.
pub fn choose<'i>(
    manifests: &'i [Descriptor],
    wanted: Option<&Platform>,
    host: &Platform,
) -> Result<&'i Descriptor, OciError> {
    let is_unknown =
        |it: &&Descriptor| matches!(&it.platform, Some(platform) if platform.os == "unknown");
    let images: Vec<_> = manifests.iter().filter(|it| !is_unknown(it)).collect();
    let asked = wanted.unwrap_or(host);
    let found = images.iter().find(|it| {
        let platform = it.platform.as_ref();
        platform.is_some_and(|platform| asked.accepts(platform))
    });
    match (found, images.as_slice()) {
        (Some(found), _) => Ok(found),
        (None, [only]) if wanted.is_none() => Ok(only),
        (None, []) => Err(OciError::Document("the index has no image".into())),
        (None, images) => {
            let mut names: Vec<_> = images
                .iter()
                .map(|it| match &it.platform {
                    Some(platform) => platform.to_string(),
                    None => format!("{} without a platform", it.digest),
                })
                .collect();
            names.sort();
            names.dedup();
            Err(OciError::Document(format!(
                "the index has no image for {asked}, only for {}. Choose one with --platform",
                names.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::digest::BlobDigest;
    use super::*;

    #[test]
    fn an_image_of_an_index() {
        let host = Platform::of_machine("x86_64");
        let of = |platforms: &[&str]| -> Vec<Descriptor> {
            let descriptor = |text: &&str| Descriptor {
                platform: text.parse().ok(),
                ..Descriptor::new(BlobDigest::of(text.as_bytes()), 1)
            };
            platforms.iter().map(descriptor).collect()
        };
        for (platforms, wanted, expected) in [
            (
                &["linux/arm64", "linux/amd64"][..],
                None,
                Some("linux/amd64"),
            ),
            (
                &["linux/arm64", "unknown/unknown"],
                None,
                Some("linux/arm64"),
            ),
            (&["linux/arm64", "linux/s390x"], None, None),
            (&["linux/amd64"], Some("linux/arm64"), None),
            (
                &["linux/arm64/v8", "linux/amd64"],
                Some("linux/arm64"),
                Some("linux/arm64/v8"),
            ),
            (
                &["linux/arm64", "linux/amd64"],
                Some("linux/arm64/v8"),
                Some("linux/arm64"),
            ),
            (
                &["linux/arm/v6", "linux/arm/v7"],
                Some("linux/arm/v7"),
                Some("linux/arm/v7"),
            ),
            (
                &["linux/arm/v6", "linux/arm/v7"],
                Some("linux/arm/v5"),
                None,
            ),
            (&["linux/amd64"], Some("linux/x86_64"), Some("linux/amd64")),
            (&["windows/amd64", "linux/s390x"], None, None),
            (&["unknown/unknown"], None, None),
            (&[], None, None),
        ] {
            let manifests = of(platforms);
            let wanted: Option<Platform> = wanted.map(|it| it.parse().unwrap());
            let found = choose(&manifests, wanted.as_ref(), &host);
            let found = found.map(|it| it.platform.as_ref().unwrap().to_string());
            assert_eq!(found.as_deref().ok(), expected, "{platforms:?} {wanted:?}");
        }
        let manifests = of(&["linux/arm64", "linux/s390x"]);
        let error = choose(&manifests, None, &host).unwrap_err().to_string();
        let expected = "the index has no image for linux/amd64, only for linux/arm64, linux/s390x. Choose one with --platform";
        assert_eq!(error, expected);
    }
}
