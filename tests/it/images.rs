// SPDX-License-Identifier: MIT OR Apache-2.0
//! Commands read container images, with the same findings as `verify --root` has for the image's tree. Hostile images
//! cause clean errors.

pub mod chunked;
mod credentials;
pub mod make;
mod mirrors;
pub mod registry;
mod secure;
pub mod storage;

use std::path::Path;

use serde_json::Value;

use crate::bed::Bed;
use crate::kernels::OLD;
use make::{Packed, Tar, layout, oci_archive, of_tree};

fn run(bed: &Bed, args: &[&str]) -> crate::ran::Ran {
    let args: Vec<_> = args.iter().map(|it| (*it).to_owned()).collect();
    bed.run_exactly(&args, |_| {})
}

/// Returns a report without the field `image`, which only reports about images have.
fn judged(mut report: Value) -> Value {
    report.as_object_mut().unwrap().remove("image");
    report
}

#[test]
fn an_image_has_the_findings_of_its_tree() {
    type Change = fn(&Bed);
    let changes: [Change; 4] = [
        |_| {},
        |bed| bed.remove(&format!("usr/lib/modules/{}/modules.dep", OLD.kver)),
        |bed| {
            bed.write(
                &format!("usr/lib/modules/{}/kernel/fs/xfs.ko", OLD.kver),
                "other",
            )
        },
        |bed| bed.write("boot/vmlinuz-old", "old"),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let bed = Bed::new();
        change(&bed);
        let ran = bed.run(&["verify", "--format", "json"]);
        let (status, expected) = (ran.status, ran.json());
        for packed in [Packed::Gzip, Packed::Zstd, Packed::Plain] {
            let dir = bed.beside(&format!("oci-{packed:?}"));
            let (layers, diff_ids) = of_tree(&bed.root(), packed);
            layout(&dir, &layers, &diff_ids);
            let archive = dir.with_extension("tar");
            oci_archive(&dir, &archive);
            let plain = bed.beside(&format!("dir-{packed:?}"));
            make::skopeo_dir(&plain, &layers, &diff_ids);
            for image in [
                format!("oci:{}", dir.display()),
                format!("oci:{}:stable", dir.display()),
                format!("oci-archive:{}", archive.display()),
                format!("dir:{}", plain.display()),
            ] {
                let ran = run(&bed, &["verify", "--format", "json", &image]);
                assert_eq!(ran.status, status, "{number} {image}: {}", ran.stderr);
                assert_eq!(judged(ran.json()), expected, "{number} {image}");
                let image = &ran.json()["image"];
                assert!(
                    image["manifest_digest"]
                        .as_str()
                        .unwrap()
                        .starts_with("sha256:")
                );
                assert_eq!(image["platform"], "linux/amd64");
                ran.untouched().in_order(&[]);
            }
        }
        let archive = bed.beside("docker").join("archive.tar");
        make::docker_archive(&archive, &of_tree(&bed.root(), Packed::Plain));
        for image in [
            format!("docker-archive:{}", archive.display()),
            format!("docker-archive:{}:localhost/a:b", archive.display()),
        ] {
            let ran = run(&bed, &["verify", "--format", "json", &image]);
            assert_eq!(judged(ran.json()), expected, "{number} {image}");
        }
    }
}

#[test]
fn several_images_status_and_inspect() {
    let bed = Bed::new();
    let (good, bad) = (bed.beside("good"), bed.beside("bad"));
    let make = |dir: &Path| {
        let (layers, diff_ids) = of_tree(&bed.root(), Packed::Gzip);
        layout(dir, &layers, &diff_ids);
    };
    make(&good);
    bed.remove(&format!("usr/lib/modules/{}/modules.dep", OLD.kver));
    make(&bad);
    let (good, bad) = (
        format!("oci:{}", good.display()),
        format!("oci:{}", bad.display()),
    );
    let ran = run(&bed, &["verify", "--format", "json", &good, &bad]);
    ran.ends_with(4);
    let json = ran.json();
    assert_eq!(json["outcome"], "rejected");
    assert_eq!(json["images"][0]["image"]["reference"], good.as_str());
    assert_eq!(json["images"][0]["outcome"], "passed");
    assert_eq!(json["images"][1]["outcome"], "rejected");
    let ran = run(&bed, &["verify", &bad, &good]);
    ran.ends_with(4);
    let first = ran.stdout.lines().next().unwrap();
    assert!(
        first.starts_with(&format!("{bad}: kernel {}: not fit to boot", OLD.kver)),
        "{first}"
    );
    let passed = format!("{good}: kernel {}: initramfs ", OLD.kver);
    assert!(ran.stdout.contains(&passed), "{}", ran.stdout);
    let ran = bed.run_exactly(&["verify".to_owned(), bad.clone()], |command| {
        command.env("GITHUB_ACTIONS", "true");
    });
    assert!(
        ran.stderr
            .contains(&format!("::error title=modules-depmod::{bad}: ")),
        "{}",
        ran.stderr
    );
    // An image that cannot be read does not prevent the verification of the other image.
    let absent = "oci:/nowhere/image";
    for (images, status, outcome) in [
        ([absent, &good], 1, "unknown"),
        ([&bad, absent], 4, "rejected"),
    ] {
        let ran = run(
            &bed,
            &[&["verify", "--format", "json"][..], &images].concat(),
        );
        ran.ends_with(status);
        let json = ran.json();
        assert_eq!(json["outcome"], outcome);
        let at = images.iter().position(|it| *it == absent).unwrap();
        let entry = &json["images"][at];
        assert_eq!(entry["outcome"], "failed");
        assert_eq!(entry["image"]["reference"], absent);
        assert!(entry["error"].as_str().unwrap().contains("No such file"));
        assert_eq!(json["images"][1 - at]["command"], "verify");
    }
    let ran = bed.run_exactly(
        &["verify".to_owned(), absent.to_owned(), good.clone()],
        |command| {
            command.env("GITHUB_ACTIONS", "true");
        },
    );
    ran.ends_with(1).prints(&[
        &format!("{absent}: not verified: reading {absent}: "),
        &passed,
    ]);
    let expected = format!("::error title=verify::{absent}: not verified: ");
    assert!(ran.stderr.contains(&expected), "{}", ran.stderr);
    // `--kver` chooses a kernel that the image does not have; `--against` names an image to compare with.
    run(&bed, &["verify", &good, "--kver", "0.1"]).ends_with(4);
    run(&bed, &["verify", &good, "--against", &good]).ends_with(0);
    // Without an image index, the image's config states the platform.
    run(&bed, &["verify", &good, "--platform", "linux/amd64"]).ends_with(0);
    for command in ["verify", "status", "inspect"] {
        let ran = run(&bed, &[command, &good, "--platform", "linux/arm64"]);
        ran.ends_with(1);
        let expected = "the image is for linux/amd64 only, not for linux/arm64";
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    }
    run(&bed, &["status", &good])
        .ends_with(0)
        .prints(&[&format!("kernel     {}", OLD.kver)]);
    run(&bed, &["inspect", &good])
        .ends_with(0)
        .prints(&["usr/lib/modules"]);
    run(&bed, &["inspect", &good, "--diff", &good]).ends_with(0);
}

#[test]
fn hostile_images_are_clean_errors() {
    let bed = Bed::new();
    let long = "x/".repeat(200) + "y";
    let big = "n".repeat(5000);
    let entry = |name: &str| Tar::new().file(name, b"x").done();
    let cases: [(&str, Vec<u8>, &str); 17] = [
        (
            "traversal",
            entry("../etc/passwd"),
            "its name leads out of the image",
        ),
        (
            "inner traversal",
            entry("a/../../b"),
            "its name leads out of the image",
        ),
        ("absolute", entry("/etc/passwd"), "its name is absolute"),
        ("deep", entry(&long), "it exceeds the limit depth of 128"),
        ("long", entry(&big), "it exceeds the limit name_len of 4096"),
        (
            "below a link",
            Tar::new().link("a", "/etc").file("a/passwd", b"x").done(),
            "it is below a file or a link of the same layer",
        ),
        (
            "link out",
            Tar::new().hard("a", "../../etc/passwd").done(),
            "a hard link that leads out",
        ),
        (
            "link to nothing",
            Tar::new().hard("a", "b").done(),
            "which no layer has",
        ),
        (
            "link to itself",
            Tar::new().hard("a", "a").done(),
            "which no layer has",
        ),
        ("whiteout", entry("a/.wh.."), "a whiteout without a name"),
        ("sparse", Tar::new().raw(b'S', "a", 0).done(), "sparse"),
        (
            "device of a kind",
            Tar::new().raw(b'Z', "a", 0).done(),
            "is not supported in an image",
        ),
        (
            "root",
            Tar::new().file("./", b"").raw(b'2', "./", 0).done(),
            "it replaces the root of the image",
        ),
        (
            "garbage",
            vec![b'x'; 2048],
            "its archive is damaged at byte 0",
        ),
        ("truncated", entry("a")[..700].to_vec(), "it is truncated"),
        (
            "lying size",
            Tar::new().raw(b'0', "a", 1 << 40).done(),
            "it is truncated",
        ),
        ("bzip2", b"BZh91AY&SY".to_vec(), "bzip2"),
    ];
    let refused = |name: &str, dir: &Path, expected: &str| {
        let ran = run(&bed, &["verify", &format!("oci:{}", dir.display())]);
        assert_eq!(ran.status, Some(1), "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{name}: {}", ran.stderr);
        assert!(!ran.stderr.contains("panicked"), "{name}: {}", ran.stderr);
    };
    let dir = bed.beside("hostile");
    for (name, tar, expected) in cases {
        let _ = fs_err::remove_dir_all(&dir);
        let diff_id = make::digest(&tar);
        layout(&dir, &[tar], &[diff_id]);
        refused(name, &dir, expected);
    }
    let tar = Tar::new().file("usr/a", b"x").done();
    let gzip = Packed::Gzip.pack(&tar);
    let bomb = Packed::Zstd.pack(&vec![0; 200 << 20]);
    let huge_window = {
        let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0xa8];
        bytes.extend([0; 16]);
        bytes
    };
    for (name, blob, diff_id, expected) in [
        (
            "wrong DiffID",
            gzip.clone(),
            make::digest(b""),
            "its DiffID is sha256:",
        ),
        (
            "truncated gzip",
            gzip[..gzip.len() - 9].to_vec(),
            make::digest(&tar),
            "gzip: ",
        ),
        (
            "damaged gzip",
            [&gzip[..20], &[7; 30]].concat(),
            make::digest(&tar),
            "gzip: ",
        ),
        (
            "bomb",
            bomb,
            make::digest(b""),
            "it exceeds the limit ratio of 1100",
        ),
        (
            "window",
            huge_window,
            make::digest(b""),
            "the limit window of 134217728",
        ),
        (
            "empty",
            Vec::new(),
            make::digest(b""),
            "no directory in usr/lib/modules",
        ),
    ] {
        let _ = fs_err::remove_dir_all(&dir);
        layout(&dir, &[blob], &[diff_id]);
        refused(name, &dir, expected);
    }
    // A blob is an error if its digest or size is not the one in the manifest.
    let _ = fs_err::remove_dir_all(&dir);
    layout(&dir, std::slice::from_ref(&gzip), &[make::digest(&tar)]);
    let blob = dir
        .join("blobs/sha256")
        .join(&make::digest(&gzip)["sha256:".len()..]);
    for (name, bytes, expected) in [
        ("short blob", &gzip[..20], "bytes, expected "),
        (
            "long blob",
            &[&gzip[..], b"more"].concat(),
            "bytes, expected ",
        ),
        ("other blob", &vec![0; gzip.len()], "its digest is sha256:"),
    ] {
        fs_err::write(&blob, bytes).unwrap();
        refused(name, &dir, expected);
    }
    fs_err::remove_file(&blob).unwrap();
    refused("no blob", &dir, "blobs/sha256");
    for (name, text, expected) in [
        ("html", "<html>", "an HTML page"),
        ("no image", r#"{"manifests":[]}"#, "the layout has no image"),
        ("a manifest", "{}", "neither the manifest"),
        (
            "no such blob",
            r#"{"manifests":[{"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0}]}"#,
            "No such file",
        ),
        (
            "a digest that is a path",
            r#"{"manifests":[{"digest":"sha256:../../../../../../../../../../../../../etc/passwd0000000000000000","size":0}]}"#,
            "is not a digest",
        ),
        (
            "a large manifest",
            r#"{"manifests":[{"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":99999999}]}"#,
            "the limit manifest_bytes of 4194304",
        ),
    ] {
        fs_err::write(dir.join("index.json"), text).unwrap();
        refused(name, &dir, expected);
    }
    fs_err::write(dir.join("index.json"), vec![b' '; 5 << 20]).unwrap();
    refused(
        "an endless index",
        &dir,
        "the limit manifest_bytes of 4194304",
    );
    fs_err::remove_file(dir.join("index.json")).unwrap();
    nix::unistd::mkfifo(&dir.join("index.json"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    refused("an index that is a FIFO", &dir, "not a regular file");
}
