// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mirrors that registries.conf names and that lack a part of an image.

use super::registry::{Stored, host, serve};
use crate::bed::Bed;
use crate::ran::Ran;
use crate::server::{Server, answer};

/// Prints a file of an image of `quay.invalid` with `inspect`. The last of the servers is the location of that
/// registry, the others are its mirrors, in order.
fn verify(servers: &[&Server]) -> Ran {
    let bed = Bed::new();
    let (location, mirrors) = servers.split_last().unwrap();
    let mut text = format!(
        "[[registry]]\nprefix = \"quay.invalid/a\"\nlocation = \"{}/a\"\n",
        host(location)
    );
    for mirror in mirrors {
        text += &format!("[[registry.mirror]]\nlocation = \"{}/a\"\n", host(mirror));
    }
    let conf = bed.beside("conf").join("registries.conf");
    fs_err::write(&conf, text).unwrap();
    let args = [
        "inspect",
        "docker://quay.invalid/a/b:c",
        "--cat",
        "usr/lib/os-release",
        "-v",
    ];
    bed.run_exactly(&args.map(str::to_owned), |command| {
        command.env("CONTAINERS_REGISTRIES_CONF", &conf);
    })
}

#[test]
fn what_a_mirror_lacks_comes_from_the_next() {
    let stored = Stored::new();
    let lacks = |what: &'static str, status: u16| {
        let layer = stored.blob();
        serve(&stored, move |request, stream| {
            let is_it = match what {
                "layer" => request.path == layer,
                what => request.path.contains(what),
            };
            if is_it {
                answer(stream, status, "", b"");
            }
            is_it
        })
    };
    let whole = serve(&stored, |_, _| false);
    let empty = lacks("/", 404);
    for (what, status) in [("/", 404), ("/blobs/", 404), ("layer", 404), ("layer", 403)] {
        let before = whole.requests().len();
        let ran = verify(&[&empty, &lacks(what, status), &whole]);
        ran.complains(&[
            "no directory in usr/lib/modules",
            "asking the next registry",
        ]);
        assert!(whole.requests().len() > before, "{what}");
    }
    let ran = verify(&[&lacks("layer", 404), &lacks("layer", 404)]);
    ran.ends_with(1)
        .complains(&["has no blobs sha256:", "(status 404)"]);
    // If a mirror breaks off in the middle of a blob, the download continues at the next mirror.
    let (path, layer) = (stored.blob(), stored.layer.clone());
    let broken = serve(&stored, move |request, stream| {
        let is_layer = request.path == path;
        if is_layer && request.header("range").is_none() {
            crate::server::head(stream, 200, "", layer.len());
            let _ = std::io::Write::write_all(stream, &layer[..layer.len() / 2]);
        } else if is_layer {
            answer(stream, 404, "", b"");
        }
        is_layer
    });
    let ran = verify(&[&broken, &whole]);
    ran.complains(&[
        "no directory in usr/lib/modules",
        "asking the next registry",
    ]);
    let last = whole.requests().pop().unwrap();
    assert!(last.header("range").is_some(), "{last:?}");
}
