// SPDX-License-Identifier: MIT OR Apache-2.0
//! zstd:chunked layers in a registry are read with range requests.

use std::net::TcpStream;

use serde_json::{Value, json};

use super::make::{self, Packed, Tar, digest, of_tree};
use super::{judged, run};
use crate::bed::Bed;
use crate::kernels::OLD;
use crate::server::{Request, Server, answer};

/// An image of zstd:chunked layers, which a test server can offer.
#[derive(Clone)]
pub struct Chunked {
    manifest: Vec<u8>,
    blobs: Vec<Vec<u8>>,
}

impl Chunked {
    /// Packs these layers as zstd:chunked. `change` can change each blob and its annotations.
    pub fn new(
        tars: &[Vec<u8>],
        diff_ids: &[String],
        change: impl Fn(&mut Vec<u8>, &mut Value),
    ) -> Self {
        let packed = tars.iter().map(|tar| {
            let (mut blob, mut annotations) = make::chunked(tar, 3000);
            change(&mut blob, &mut annotations);
            (blob, annotations)
        });
        let (mut blobs, annotations): (Vec<_>, Vec<_>) = packed.unzip();
        let (config, manifest) = make::documents(&blobs, diff_ids);
        let mut manifest: Value = serde_json::from_slice(&manifest).unwrap();
        for (number, annotations) in annotations.into_iter().enumerate() {
            manifest["layers"][number]["annotations"] = annotations;
        }
        blobs.push(config);
        Self {
            manifest: manifest.to_string().into_bytes(),
            blobs,
        }
    }

    fn size(&self) -> usize {
        self.blobs.iter().map(Vec::len).sum()
    }

    /// Starts a registry with the image. `ranges` answers requests for a range of a blob.
    pub fn serve(
        &self,
        ranges: impl Fn(&[u8], usize, usize, &mut TcpStream) + Send + Sync + 'static,
    ) -> Server {
        let image = self.clone();
        Server::scripted(move |_, request, stream| {
            if request.path.contains("/manifests/") {
                return answer(stream, 200, "", &image.manifest);
            }
            let blob = image.blobs.iter();
            let mut blob = blob.filter(|blob| request.path.ends_with(&digest(blob)));
            match (blob.next(), range(request)) {
                (Some(blob), Some((start, end))) => ranges(blob, start, end, stream),
                (Some(blob), None) => answer(stream, 200, "", blob),
                (None, _) => answer(stream, 404, "", b""),
            }
        })
    }
}

fn range(request: &Request) -> Option<(usize, usize)> {
    let (start, end) = request
        .header("range")?
        .strip_prefix("bytes=")?
        .split_once('-')?;
    Some((start.parse().ok()?, end.parse::<usize>().ok()? + 1))
}

/// Sends the bytes of the blob from `start` up to `end` (excluded).
pub fn part(blob: &[u8], start: usize, end: usize, stream: &mut TcpStream) {
    let range = format!(
        "Content-Range: bytes {start}-{}/{}\r\n",
        end - 1,
        blob.len()
    );
    answer(stream, 206, &range, &blob[start..end]);
}

pub fn reference(server: &Server) -> String {
    let url = server.url("a/b:c");
    format!("docker:{}", &url["http:".len()..])
}

#[test]
fn only_the_needed_files_are_fetched() {
    type Change = fn(&Bed);
    let changes: [Change; 3] = [
        |_| {},
        |bed| bed.remove(&format!("usr/lib/modules/{}/modules.dep", OLD.kver)),
        |bed| {
            let module = format!("usr/lib/modules/{}/kernel/fs/xfs.ko.xz", OLD.kver);
            bed.write(&module, "other");
        },
    ];
    for change in changes {
        let bed = Bed::new();
        bed.write(
            "usr/share/large",
            (0..200_000_u32)
                .flat_map(|it| it.wrapping_mul(2_654_435_761).to_le_bytes())
                .collect::<Vec<_>>(),
        );
        bed.write(
            "etc/zeros.conf",
            [&[b'x'; 3000][..], &[0; 6000], b"y"].concat(),
        );
        change(&bed);
        let ran = bed.run(&["verify", "--format", "json"]);
        let (status, expected) = (ran.status, ran.json());
        let (tars, diff_ids) = of_tree(&bed.root(), Packed::Plain);
        let image = Chunked::new(&tars, &diff_ids, |_, _| {});
        let server = image.serve(part);
        let ran = run(&bed, &["verify", "--format", "json", &reference(&server)]);
        assert_eq!(ran.status, status, "{}", ran.stderr);
        assert_eq!(judged(ran.json()), expected);
        ran.untouched().in_order(&[]);
        let facts = &ran.json()["image"];
        let fetched = facts["bytes_fetched"].as_u64().unwrap() as usize;
        assert!(fetched + 600_000 < image.size(), "{facts}");
        let requests = server.requests();
        let whole = requests
            .iter()
            .filter(|it| it.path.contains("/blobs/") && range(it).is_none());
        assert_eq!(whole.count(), 1, "only the config is read whole");
        // If the registry does not answer range requests, the findings are the same.
        for status in [200, 416, 501] {
            let server = image.serve(move |blob, _, _, stream| {
                answer(stream, status, "", if status == 200 { blob } else { b"" });
            });
            let ran = run(
                &bed,
                &["verify", "-v", "--format", "json", &reference(&server)],
            );
            assert_eq!(judged(ran.json()), expected);
            let says = format!(
                "answers a request for a part of a layer with status {status}, so layers are read whole"
            );
            assert!(ran.stderr.contains(&says), "{}", ran.stderr);
        }
        // The findings do not depend on annotations that describe the content of a layer: nothing verifies these
        // annotations.
        let lying = Chunked::new(&tars, &diff_ids, |_, annotations| {
            *annotations = json!({
                "org.chunkah.component": "rpm/curl rpm/filesystem",
                "ostree.components": "curl,filesystem",
            });
        });
        let ran = run(
            &bed,
            &["verify", "--format", "json", &reference(&lying.serve(part))],
        );
        assert_eq!(judged(ran.json()), expected);
        // The findings do not depend on the transport: this OCI layout has the same layers as the registry.
        let (blobs, _): (Vec<_>, Vec<_>) =
            tars.iter().map(|tar| make::chunked(tar, 1 << 20)).unzip();
        let dir = bed.beside("layout");
        make::layout(&dir, &blobs, &diff_ids);
        let ran = run(
            &bed,
            &[
                "verify",
                "--format",
                "json",
                &format!("oci:{}", dir.display()),
            ],
        );
        assert_eq!(judged(ran.json()), expected);
    }
}

#[test]
fn a_file_that_several_images_have_is_fetched_once() {
    let bed = Bed::new();
    let (tars, diff_ids) = of_tree(&bed.root(), Packed::Plain);
    let image = Chunked::new(&tars, &diff_ids, |_, _| {});
    let fetched = |server: &Server| {
        let requests = server.requests();
        let ranges = requests.iter().filter_map(range);
        ranges.map(|(start, end)| end - start).sum::<usize>()
    };
    let server = image.serve(part);
    let alone = run(&bed, &["verify", "--format", "json", &reference(&server)]);
    let once = fetched(&server);
    assert!(once > 10_000);
    for jobs in ["1", "3"] {
        let server = image.serve(part);
        let names = ["first", "second", "third"].map(|tag| {
            let name = reference(&server);
            format!("{}:{tag}", name.strip_suffix(":c").unwrap())
        });
        let args = ["verify", "--jobs", jobs, "--format", "json"];
        let ran = run(
            &bed,
            &[&args[..], &names.each_ref().map(String::as_str)].concat(),
        );
        let images = ran.json()["images"].as_array().unwrap().clone();
        assert_eq!(images.len(), 3);
        for image in images {
            assert_eq!(judged(image), judged(alone.json()), "--jobs {jobs}");
        }
        // Which files one request reads together depends on the order of the checks' threads.
        let together = fetched(&server);
        assert!(together < once * 3 / 2, "--jobs {jobs}: {once}, {together}");
    }
}

#[test]
fn hostile_tables_are_clean_errors() {
    let bed = Bed::new();
    let kver = OLD.kver;
    let tar = Tar::new()
        .file(&format!("usr/lib/modules/{kver}/vmlinuz"), b"kernel")
        .file(&format!("usr/lib/modules/{kver}/initramfs.img"), &[7; 9000])
        .done();
    let fails = |name: &str, expected: &str, change: &dyn Fn(&mut Vec<u8>, &mut Value)| {
        let image = Chunked::new(std::slice::from_ref(&tar), &[digest(&tar)], change);
        let server = image.serve(part);
        let ran = run(&bed, &["verify", &reference(&server)]);
        let all = format!("{}{}", ran.stdout, ran.stderr);
        assert!(ran.status.is_some_and(|it| it != 0), "{name}: {all}");
        assert!(all.contains(expected), "{name}: {all}");
        assert!(!all.contains("panicked"), "{name}: {all}");
    };
    let checksum = "io.github.containers.zstd-chunked.manifest-checksum";
    let position = "io.github.containers.zstd-chunked.manifest-position";
    fails(
        "other checksum",
        "its digest is sha256:",
        &|_, annotations| {
            annotations[checksum] = json!(digest(b""));
        },
    );
    fails("no checksum", "is not a digest", &|_, annotations| {
        annotations[checksum] = json!("../../etc/passwd");
    });
    fails("no position", "its annotation", &|_, annotations| {
        annotations[position] = json!("x");
    });
    fails("position outside", "its annotation", &|_, annotations| {
        annotations[position] = json!("999999999:5:5:1");
    });
    fails(
        "large table",
        "the limit toc_bytes of 157286400",
        &|_, annotations| {
            annotations[position] = json!("1:5:999999999999:1");
        },
    );
    fails(
        "lying size",
        "zstd in the table of contents",
        &|_, annotations| {
            let text = annotations[position].as_str().unwrap();
            let parts: Vec<_> = text.split(':').map(str::to_owned).collect();
            annotations[position] = json!(format!("{}:{}:5:1", parts[0], parts[1]));
        },
    );
    fails("changed data", "could not run", &|blob, _| {
        // Each chunk of a file is a separate zstd frame.
        let magic = [0x28, 0xb5, 0x2f, 0xfd];
        let starts: Vec<_> = (0..blob.len() - 4)
            .filter(|at| blob[*at..*at + 4] == magic)
            .collect();
        blob[starts[3] + 8] ^= 0xff;
    });
}
