// SPDX-License-Identifier: MIT OR Apache-2.0
//! Images in the storage of podman, in which each layer is a directory.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::sys::stat::{Mode, SFlag, mknod};
use serde_json::json;
use walkdir::WalkDir;

use super::make::digest;
use super::{judged, run};
use crate::bed::Bed;

/// Writes a storage with an image of two layers. The upper layer is the tree, with a whiteout that hides a directory of
/// the lower layer.
pub fn storage(dir: &Path, tree: &Path) {
    let put = |path: &str, bytes: &[u8]| {
        let path = dir.join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, bytes).unwrap();
    };
    put("overlay/lower/diff/usr/lib/modules/0.1/vmlinuz", b"old");
    put("overlay/lower/diff/usr/lib/os-release", b"ID=old\n");
    let upper = dir.join("overlay/upper/diff");
    for entry in WalkDir::new(tree) {
        let entry = entry.unwrap();
        let to = upper.join(entry.path().strip_prefix(tree).unwrap());
        if entry.file_type().is_dir() {
            fs_err::create_dir_all(&to).unwrap();
        } else if entry.file_type().is_symlink() {
            std::os::unix::fs::symlink(fs_err::read_link(entry.path()).unwrap(), &to).unwrap();
        } else if entry.file_type().is_file() {
            fs_err::copy(entry.path(), &to).unwrap();
        }
    }
    let whiteout = upper.join("usr/lib/modules/0.1");
    mknod(&whiteout, SFlag::S_IFCHR, Mode::empty(), 0).unwrap();
    let diff_ids = [digest(b"lower"), digest(b"upper")];
    let config = json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let config = config.to_string().into_bytes();
    let id = digest(&config);
    let bare = &id["sha256:".len()..];
    let images = json!([{"id": bare, "digest": digest(b"manifest"), "names": ["localhost/a/b:latest", "quay.io/x/y:z"], "layer": "upper"}]);
    put("overlay-images/images.json", images.to_string().as_bytes());
    put(
        &format!("overlay-images/{bare}/={}", STANDARD.encode(&id)),
        &config,
    );
    let layers = json!([
        {"id": "lower", "diff-digest": diff_ids[0], "diff-size": 5},
        {"id": "upper", "parent": "lower", "diff-digest": diff_ids[1], "diff-size": 5},
    ]);
    put("overlay-layers/layers.json", layers.to_string().as_bytes());
}

#[test]
fn an_image_in_the_storage_of_podman() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("ignored: needs root, to create whiteouts");
        return;
    }
    let bed = Bed::new();
    let expected = bed.run(&["verify", "--format", "json"]).json();
    let dir = bed.beside("storage");
    storage(&dir, &bed.root());
    let place = format!("[overlay@{}]", dir.display());
    let id = fs_err::read_dir(dir.join("overlay-images")).unwrap();
    let id = id.map(|it| it.unwrap().file_name().into_string().unwrap());
    let id = id.filter(|it| it.len() == 64).last().unwrap();
    let by_digest = format!("quay.io/x/y@{}", digest(b"manifest"));
    for name in [
        "localhost/a/b:latest",
        "a/b",
        "localhost/a/b",
        "quay.io/x/y:z",
        &id,
        &id[..12],
        &by_digest,
    ] {
        let image = format!("containers-storage:{place}{name}");
        let ran = run(&bed, &["verify", "--format", "json", &image]);
        assert_eq!(judged(ran.json()), expected, "{image}: {}", ran.stderr);
        ran.untouched().in_order(&[]);
    }
    for (name, says) in [
        (
            "quay.io/x/y:other",
            "there is no image quay.io/x/y:other in",
        ),
        ("b", "there is no image b in"),
    ] {
        let ran = run(
            &bed,
            &["verify", &format!("containers-storage:{place}{name}")],
        );
        ran.ends_with(1);
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }
    let ran = run(&bed, &["verify", "containers-storage:[overlay@/nowhere]a"]);
    ran.ends_with(1);
    assert!(
        ran.stderr
            .contains("podman save --format oci-archive -o FILE a"),
        "{}",
        ran.stderr
    );
    // It is an error if the parents of the layers form a circle.
    let layers = dir.join("overlay-layers/layers.json");
    let text = fs_err::read_to_string(&layers).unwrap();
    fs_err::write(
        &layers,
        text.replace(r#""id":"lower""#, r#""id":"lower","parent":"upper""#),
    )
    .unwrap();
    let ran = run(&bed, &["verify", &format!("containers-storage:{place}a/b")]);
    ran.ends_with(1);
    assert!(ran.stderr.contains("lead in a circle"), "{}", ran.stderr);
}

/// As podman, an ordinary user's storage is that of CONTAINERS_STORAGE_CONF, or else that of the user's own file.
#[test]
fn the_storage_of_an_ordinary_user() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("ignored: needs root, to create whiteouts");
        return;
    }
    let bed = Bed::new();
    storage(&bed.beside("storage"), &bed.root());
    let graphroot = |dir: &str| {
        let dir = bed.beside(dir).display().to_string();
        format!("[storage]\ngraphroot = \"{dir}\"\n")
    };
    let user = bed.beside("config/containers");
    fs_err::create_dir_all(&user).unwrap();
    let named = user.join("named.conf");
    let ends = |status: i32, of_user: &str, of_named: Option<&str>| {
        fs_err::write(user.join("storage.conf"), of_user).unwrap();
        if let Some(text) = of_named {
            fs_err::write(&named, text).unwrap();
        }
        let args = ["verify", "containers-storage:a/b"].map(str::to_owned);
        let ran = bed.run_exactly(&args, |command| {
            // podman sets this variable in its user namespace, where the user looks like root.
            command.env("_CONTAINERS_USERNS_CONFIGURED", "done");
            command.env("XDG_CONFIG_HOME", bed.beside("config"));
            command.env("HOME", bed.beside(""));
            if of_named.is_some() {
                command.env("CONTAINERS_STORAGE_CONF", &named);
            }
        });
        ran.ends_with(status);
    };
    let (right, wrong) = (graphroot("storage"), graphroot("nowhere"));
    ends(0, &right, None);
    ends(1, &wrong, None);
    ends(0, &wrong, Some(&right));
    ends(1, &right, Some(&wrong));
    let in_home = "[storage]\ngraphroot = \"$HOME/storage\"\n";
    ends(0, in_home, None);
    let rootless = "[storage]\nrootless_storage_path = \"$HOME/storage\"\n";
    ends(0, rootless, None);
    // The user's file is not read if the variable names another one.
    ends(1, rootless, Some("[storage]\n"));
}
