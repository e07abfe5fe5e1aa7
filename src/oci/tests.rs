// SPDX-License-Identifier: MIT OR Apache-2.0
//! The seeds of the fuzz targets.

use std::io::Write;

use super::BlobDigest;
use crate::kernel::testing::seeds;

fn entry(kind: u8, name: &str, target: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..108].copy_from_slice(b"0000644\0");
    header[124..136].copy_from_slice(format!("{:011o}\0", bytes.len()).as_bytes());
    header[156] = kind;
    header[157..157 + target.len()].copy_from_slice(target.as_bytes());
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header.extend(bytes);
    header.resize(header.len().next_multiple_of(512), 0);
    header
}

#[test]
fn seeds_are_current() {
    let upper = [
        entry(b'0', "usr/.wh.a", "", b""),
        entry(b'1', "usr/h", "usr/o", b""),
        entry(b'0', "b/.wh..wh..opq", "", b""),
    ];
    let lower = [
        entry(b'5', "usr/", "", b""),
        entry(b'0', "usr/a", "", b"bytes"),
        entry(b'0', "usr/o", "", b"other"),
        entry(b'2', "b/l", "../usr/a", b""),
        entry(b'x', "pax", "", b"15 path=b/long\n"),
        entry(b'0', "b/short", "", b"x"),
    ];
    // The fuzz target reads the length of the upper layer from the first two bytes.
    let layers = |upper: &[u8], lower: &[u8]| {
        let length = u16::try_from(upper.len()).unwrap().to_le_bytes();
        [&length[..], upper, lower].concat()
    };
    let (upper, lower) = (upper.concat(), lower.concat());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&lower).unwrap();
    let zstd = zstd::encode_all(lower.as_slice(), 1).unwrap();
    let named = [
        ("plain", layers(&upper, &lower)),
        ("gzip", layers(&upper, &gzip.finish().unwrap())),
        ("zstd", layers(b"", &zstd)),
    ];
    seeds("layer", &named);
    let digest = BlobDigest::of(b"");
    let table = format!(
        r#"{{"version":1,"entries":[{{"type":"dir","name":"usr/","mode":493}},{{"type":"reg","name":"usr/a","size":9,"digest":"{digest}","offset":10,"endOffset":40}},{{"type":"chunk","name":"usr/a","offset":20,"chunkOffset":4}},{{"type":"symlink","name":"l","linkName":"usr"}},{{"type":"hardlink","name":"h","linkName":"usr/a"}}]}}"#
    );
    seeds("toc", &[("table", table.into_bytes())]);
    let blob = format!(
        r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{digest}","size":1,"annotations":{{"a":"b"}},"platform":{{"os":"linux","architecture":"arm64"}}}}"#
    );
    let documents = [
        ("manifest", format!(r#"{{"schemaVersion":2,"config":{blob},"layers":[{blob}]}}"#)),
        ("index", format!(r#"{{"schemaVersion":2,"manifests":[{blob},{blob}]}}"#)),
        ("config", format!(r#"{{"os":"linux","architecture":"arm64","rootfs":{{"diff_ids":["{digest}"]}}}}"#)),
        ("reference", format!("docker://localhost:5000/a/b:c@{digest}")),
        ("challenge", r#"Basic realm="x", Bearer realm="https://a/b",service="c\"d""#.to_owned()),
        ("credentials", r#"{"auths":{"localhost:5000":{"auth":"dXNlcjpwYXNz"},"https://q.io/v1/":{"identitytoken":"x"}},"credHelpers":{"h":"x"},"credsStore":"y"}"#.to_owned()),
        ("registries", "[[registry]]\nprefix = \"*.io\"\n[[registry.mirror]]\nlocation = \"m.io/x\"\ninsecure = true\n".to_owned()),
    ];
    let documents = documents.map(|(name, text)| (name, text.into_bytes()));
    seeds("documents", &documents);
}
