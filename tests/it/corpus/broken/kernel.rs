// SPDX-License-Identifier: MIT OR Apache-2.0
//! Broken or missing kernels and initramfs images, and other kernels that ostree or the boot loader would boot instead.

use super::broken;
use crate::corpus::case::Case;
use crate::corpus::draft::Draft;
use crate::corpus::good::replace_all;
use crate::corpus::products::Base::{BookwormOmit, TrixieBootc, TrixieOld, TrixieSlim};
use crate::corpus::rpmdb::edit;

const SINGLE: &str = "kernel-single";
const RELEASE: &str = "kernel-release";
const FILES: &str = "kernel-files";
const RPMDB: &str = "kernel-rpmdb";
const HMAC: &str = "kernel-hmac";
const UKI: &str = "uki-shadow";
const NONE: &str = "coreos/rpm-ostree#5261";
const PRESENT: &str = "initramfs-present";

pub fn cases() -> Vec<Case> {
    let rooms = [
        several(),
        release(),
        rpmdb(),
        hmac(),
        shadow(),
        present(),
        elsewhere(),
    ];
    rooms.into_iter().flatten().collect()
}

/// Writes the old kernel's vmlinuz into the directory of the kernel `kver`.
fn another(draft: &Draft, kver: &str) {
    let old = &draft.products.old;
    let vmlinuz = format!("usr/lib/modules/{old}/vmlinuz");
    draft.take(
        TrixieOld,
        &vmlinuz,
        &format!("usr/lib/modules/{kver}/vmlinuz"),
    );
}

fn several() -> Vec<Case> {
    vec![
        broken(
            "two-kernels",
            TrixieSlim,
            "ublue-os/aurora#1286",
            &[SINGLE],
            |draft| {
                another(draft, &draft.products.old);
            },
        ),
        broken(
            "two-kernels-rt",
            BookwormOmit,
            "openshift/os#1383",
            &[SINGLE],
            |draft| {
                another(draft, "6.12.117-20.el10.x86_64+rt");
            },
        ),
        broken(
            "three-kernels",
            TrixieSlim,
            "osbuild/osbuild#2049",
            &[SINGLE],
            |draft| {
                another(draft, &draft.products.old);
                another(draft, "6.1.0-41-cloud-amd64");
            },
        ),
        broken(
            "vmlinuz-gone",
            TrixieSlim,
            "fedora-silverblue/issue-tracker#497",
            &[SINGLE],
            |draft| {
                draft.remove(&draft.of_kernel("vmlinuz"));
                draft.remove(&draft.of_kernel(".vmlinuz.hmac"));
            },
        ),
        broken(
            "vmlinuz-in-boot",
            TrixieSlim,
            "linux-surface/linux-surface#1604",
            &[SINGLE],
            |draft| {
                let vmlinuz = draft.of_kernel("vmlinuz");
                draft.remove(&vmlinuz);
                draft.link(&vmlinuz, &format!("/boot/vmlinuz-{}", draft.kver));
            },
        ),
        broken(
            "vmlinuz-is-a-link-to-boot",
            TrixieSlim,
            "ostreedev/ostree#1962",
            &[SINGLE],
            |draft| {
                let vmlinuz = draft.of_kernel("vmlinuz");
                let place = format!("boot/vmlinuz-{}", draft.kver);
                draft.write(&place, draft.read(&vmlinuz));
                draft.remove(&vmlinuz);
                draft.link(&vmlinuz, &format!("../../../../{place}"));
            },
        ),
        broken(
            "vmlinuz-is-a-link-beside-it",
            BookwormOmit,
            "ostreedev/ostree#1962",
            &[SINGLE],
            |draft| {
                let vmlinuz = draft.of_kernel("vmlinuz");
                draft.rename(&vmlinuz, &draft.of_kernel("bzImage"));
                draft.link(&vmlinuz, "bzImage");
            },
        ),
        broken(
            "vmlinuz-is-a-directory",
            TrixieSlim,
            "osbuild/osbuild#2049",
            &[SINGLE],
            |draft| {
                let vmlinuz = draft.of_kernel("vmlinuz");
                draft.remove(&vmlinuz);
                draft.write(&format!("{vmlinuz}/vmlinuz"), "");
            },
        ),
    ]
}

/// Changes bytes of the compressed kernel, but no header. lz4's legacy format has no checksum, but in a block these
/// bytes are the length of a literal or match that exceeds the block.
fn flip(vmlinuz: &mut [u8]) {
    let middle = vmlinuz.len() / 2;
    vmlinuz[middle..middle + (64 << 10)].fill(0xff);
}

/// Changes the bytes of vmlinuz, and removes its HMAC file, which kernels of other vendors do not have.
fn change(draft: &Draft, change: impl FnOnce(&mut Vec<u8>)) {
    let path = draft.of_kernel("vmlinuz");
    let mut vmlinuz = draft.read(&path);
    change(&mut vmlinuz);
    draft.write(&path, vmlinuz);
    draft.remove(&draft.of_kernel(".vmlinuz.hmac"));
}

/// Renames the kernel's directory to `kver`, and makes `verify` verify the kernel `kver`.
fn rename(draft: &mut Draft, kver: String) {
    let old = draft.of_kernel("");
    draft.kver = kver;
    draft.rename(&old, &draft.of_kernel(""));
}

fn release() -> Vec<Case> {
    vec![
        broken(
            "vmlinuz-of-the-old-kernel",
            TrixieSlim,
            "ublue-os/bluefin#2051",
            &[RELEASE],
            |draft| {
                let from = format!("usr/lib/modules/{}", draft.products.old);
                for name in ["vmlinuz", ".vmlinuz.hmac"] {
                    draft.take(TrixieOld, &format!("{from}/{name}"), &draft.of_kernel(name));
                }
            },
        ),
        broken(
            "kver-without-the-distribution",
            TrixieSlim,
            "okd-project/okd#1908",
            &[RELEASE, "initramfs-kver"],
            |draft| {
                let (shorter, _) = draft.kver.rsplit_once('-').unwrap();
                rename(draft, shorter.to_owned());
            },
        ),
        broken(
            "vmlinuz-of-a-variant",
            TrixieSlim,
            "openshift/os#1383",
            &[RELEASE],
            |draft| {
                let kver = draft.kver.as_bytes();
                change(draft, |vmlinuz| {
                    let mut places = vmlinuz.windows(kver.len());
                    let at = places.position(|it| it == kver).unwrap();
                    vmlinuz[at + kver.len() - 5..at + kver.len()].copy_from_slice(b"debug");
                });
            },
        ),
        broken(
            "vmlinuz-cut",
            TrixieSlim,
            "coreos/fedora-coreos-tracker#1247",
            &[RELEASE],
            |draft| {
                change(draft, |vmlinuz| vmlinuz.truncate(vmlinuz.len() / 2));
            },
        ),
        broken(
            "vmlinuz-flipped",
            TrixieSlim,
            "okd-project/okd#1908",
            &[FILES],
            |draft| {
                change(draft, |vmlinuz| flip(vmlinuz));
            },
        ),
        broken(
            "vmlinuz-flipped-without-rpmdb",
            BookwormOmit,
            "okd-project/okd#1908",
            &[FILES],
            |draft| {
                change(draft, |vmlinuz| flip(vmlinuz));
                draft.remove("usr/share/rpm");
            },
        ),
        broken(
            "vmlinuz-of-another-under-this-release",
            TrixieSlim,
            "okd-project/okd#1908",
            &[FILES],
            |draft| {
                another(draft, &draft.kver);
                let text = format!("{} (", draft.kver);
                change(draft, |vmlinuz| {
                    let pointer = usize::from(u16::from_le_bytes([vmlinuz[0x20e], vmlinuz[0x20f]]));
                    vmlinuz[0x200 + pointer..][..text.len()].copy_from_slice(text.as_bytes());
                });
            },
        ),
        broken(
            "vmlinuz-changed-after-signing",
            TrixieSlim,
            "okd-project/okd#1908",
            &[FILES],
            |draft| {
                change(draft, |vmlinuz| {
                    // These bytes are in the decompressor, after the compressed kernel and before the signature.
                    let code = vmlinuz.len() - (16 << 10);
                    vmlinuz[code..code + 64].fill(0xcc);
                });
            },
        ),
        broken(
            "vmlinuz-of-another-under-this-release-inside-too",
            BookwormOmit,
            "okd-project/okd#1908",
            &[FILES],
            |draft| {
                another(draft, &draft.kver);
                let old = draft.products.old.as_bytes();
                change(draft, |vmlinuz| {
                    replace_all(vmlinuz, old, draft.kver.as_bytes())
                });
                draft.remove("usr/share/rpm");
            },
        ),
        broken(
            "vmlinuz-empty",
            BookwormOmit,
            "coreos/fedora-coreos-tracker#1247",
            &[RELEASE],
            |draft| {
                draft.write(&draft.of_kernel("vmlinuz"), "");
                draft.remove(&draft.of_kernel(".vmlinuz.hmac"));
            },
        ),
        broken(
            "kver-of-the-package",
            BookwormOmit,
            "okd-project/okd#1908",
            &[RELEASE, "initramfs-kver"],
            |draft| {
                rename(draft, "6.12.117-200.bed.x86_64".to_owned());
            },
        ),
    ]
}

fn rpmdb() -> Vec<Case> {
    /// Returns the blob of the package that owns `vmlinuz`.
    fn core(blobs: &[Vec<u8>]) -> Vec<u8> {
        let is_core = |blob: &&Vec<u8>| blob.windows(9).any(|it| it == b"\0vmlinuz\0");
        blobs.iter().find(is_core).expect("an owner").clone()
    }
    /// Replaces each `from` with `to`, which has the same length.
    fn put(blob: &mut [u8], from: &[u8], to: &[u8]) {
        assert_eq!(from.len(), to.len());
        for at in 0..=blob.len() - from.len() {
            if blob[at..].starts_with(from) {
                blob[at..at + to.len()].copy_from_slice(to);
            }
        }
    }
    vec![
        broken(
            "rpmdb-with-the-kernel-twice",
            TrixieSlim,
            "ublue-os/bluefin#2051",
            &[RPMDB],
            |draft| edit(draft, |blobs| blobs.push(core(blobs))),
        ),
        broken(
            "rpmdb-with-two-flavours",
            TrixieSlim,
            "osbuild/osbuild#2049",
            &[RPMDB],
            |draft| {
                edit(draft, |blobs| {
                    let mut twin = core(blobs);
                    put(&mut twin, b"kernel-core\0", b"kernel-kore\0");
                    blobs.push(twin);
                });
            },
        ),
        broken(
            "rpmdb-names-another-kver",
            TrixieSlim,
            "osbuild/osbuild#2049",
            &[RPMDB],
            |draft| {
                let kver = format!("\0{}\0", draft.kver);
                let other = format!("{}X\0", &kver[..kver.len() - 2]);
                edit(draft, |blobs| {
                    for blob in blobs {
                        put(blob, kver.as_bytes(), other.as_bytes());
                    }
                });
            },
        ),
    ]
}

/// Changes the digest in `.vmlinuz.hmac` with `digest`, and the file name in it to `name`.
fn words(draft: &Draft, digest: impl Fn(&str) -> String, name: &str) {
    let path = draft.of_kernel(".vmlinuz.hmac");
    let line = draft.text(&path);
    let old = line.split_whitespace().next().unwrap();
    draft.write(&path, format!("{}  {name}\n", digest(old)));
}

/// Adds `fips` to the list of dracut modules in the image. This dracut module compares the kernel with `.vmlinuz.hmac`.
fn fips(draft: &mut Draft) {
    const LIST: &str = "usr/lib/dracut/modules.txt";
    let archive = draft.archive();
    let modules = [archive.get(LIST), b"fips\n"].concat();
    archive.replace(LIST, modules);
}

fn hmac() -> Vec<Case> {
    let mut cases = hmacs();
    for case in &mut cases {
        let change = std::mem::replace(&mut case.change, Box::new(|_| ()));
        case.change = Box::new(move |draft| {
            fips(draft);
            change(draft);
        });
    }
    cases
}

fn hmacs() -> Vec<Case> {
    const FIPS: &str = "ostreedev/ostree#1962";
    vec![
        broken(
            "hmac-of-the-old-kernel",
            TrixieSlim,
            FIPS,
            &[HMAC],
            |draft| {
                let from = format!("usr/lib/modules/{}/.vmlinuz.hmac", draft.products.old);
                draft.take(TrixieOld, &from, &draft.of_kernel(".vmlinuz.hmac"));
            },
        ),
        broken(
            "hmac-names-a-path",
            TrixieSlim,
            "coreos/fedora-coreos-tracker#302",
            &[HMAC],
            |draft| {
                words(
                    draft,
                    str::to_owned,
                    &format!("/boot/vmlinuz-{}", draft.kver),
                );
            },
        ),
        broken(
            "hmac-names-the-file-beside-it",
            TrixieSlim,
            FIPS,
            &[HMAC],
            |draft| words(draft, str::to_owned, "vmlinuz"),
        ),
        broken("hmac-names-nothing", TrixieSlim, FIPS, &[HMAC], |draft| {
            words(draft, str::to_owned, "")
        }),
        broken("hmac-cut", TrixieSlim, FIPS, &[HMAC], |draft| {
            let name = format!("vmlinuz-{}", draft.kver);
            words(draft, |digest| digest[..100].to_owned(), &name);
        }),
        broken(
            "hmac-before-signing",
            BookwormOmit,
            "secureblue/secureblue#2366",
            &[HMAC],
            |draft| {
                let path = draft.of_kernel("vmlinuz");
                let mut vmlinuz = draft.read(&path);
                vmlinuz.extend([0; 1000]);
                draft.write(&path, vmlinuz);
            },
        ),
        broken("hmac-gone", TrixieSlim, FIPS, &[HMAC], |draft| {
            draft.remove(&draft.of_kernel(".vmlinuz.hmac"));
        }),
        broken("hmac-empty", BookwormOmit, FIPS, &[HMAC], |draft| {
            draft.write(&draft.of_kernel(".vmlinuz.hmac"), "");
        }),
        broken(
            "hmac-is-a-page",
            TrixieSlim,
            "coreos/rpm-ostree#1901",
            &[HMAC],
            |draft| {
                draft.write(&draft.of_kernel(".vmlinuz.hmac"), "<!DOCTYPE html>\n");
            },
        ),
    ]
}

fn shadow() -> Vec<Case> {
    const UKIS: &str = "blue-build/modules#276";
    let in_boot = |name: &'static str, place: fn(&Draft) -> String| {
        broken(name, TrixieSlim, UKIS, &[UKI], move |draft| {
            draft.write(&place(draft), draft.read(&draft.of_kernel("vmlinuz")));
        })
    };
    vec![
        in_boot("uki-in-boot", |draft| {
            format!("boot/EFI/Linux/{}.efi", draft.kver)
        }),
        in_boot("uki-of-the-old-kernel", |draft| {
            format!("boot/EFI/Linux/{}.efi", draft.products.old)
        }),
        in_boot("uki-beside-vmlinuz", |draft| {
            draft.of_kernel(&format!("{}.efi", draft.kver))
        }),
        in_boot("uki-in-usr", |_| "usr/lib/efi/Linux/linux.efi".to_owned()),
        broken(
            "uki-of-kernel-uki-virt",
            TrixieBootc,
            UKIS,
            &[UKI],
            |draft| {
                let path = draft.of_kernel("vmlinuz-virt.efi");
                draft.write(&path, draft.read(&draft.of_kernel("vmlinuz")));
            },
        ),
        broken("uki-below", TrixieBootc, UKIS, &[UKI], |draft| {
            let path = "boot/EFI/Linux/site/linux.efi";
            draft.write(path, draft.read(&draft.of_kernel("vmlinuz")));
        }),
        broken("type-1-entry", TrixieBootc, UKIS, &[UKI], |draft| {
            draft.write("boot/loader/entries/site.conf", "linux /vmlinuz\n");
        }),
    ]
}

fn present() -> Vec<Case> {
    vec![
        broken("no-initramfs", TrixieSlim, NONE, &[PRESENT], |draft| {
            draft.no_image()
        }),
        broken(
            "no-initramfs-after-dnf",
            BookwormOmit,
            "containers/bootc#506",
            &[PRESENT],
            |draft| draft.no_image(),
        ),
        broken(
            "empty-initramfs",
            TrixieSlim,
            "CentOS/centos-bootc#499",
            &[PRESENT, "initramfs-readable"],
            |draft| {
                draft.set_bytes(Vec::new());
            },
        ),
    ]
}

/// Returns cases in which the kernel's directory has no regular file initramfs.img. The initramfs is elsewhere or
/// missing, and some trees have another kernel in an older layout.
fn elsewhere() -> Vec<Case> {
    vec![
        broken(
            "legacy-kernel-in-ostree-boot",
            TrixieSlim,
            NONE,
            &[PRESENT],
            |draft| {
                draft.no_image();
                let sum = "0123456789abcdef".repeat(4);
                for name in ["vmlinuz", "initramfs"] {
                    let path = format!("usr/lib/ostree-boot/{name}-{}-{sum}", draft.products.old);
                    draft.write(&path, draft.read(&draft.of_kernel("vmlinuz")));
                }
            },
        ),
        broken(
            "legacy-kernel-in-boot",
            TrixieSlim,
            "bootc-dev/bootc#2198",
            &[PRESENT],
            |draft| {
                draft.no_image();
                let vmlinuz = draft.read(&draft.of_kernel("vmlinuz"));
                draft.write(&format!("boot/vmlinuz-{}", draft.products.old), vmlinuz);
            },
        ),
        broken(
            "initramfs-is-a-link-to-boot",
            TrixieSlim,
            "containers/bootc#506",
            &[PRESENT],
            |draft| {
                let image = std::mem::take(draft.bytes());
                draft.no_image();
                let target = format!("boot/initramfs-{}.img", draft.kver);
                draft.write(&target, image);
                draft.link(&draft.of_kernel("initramfs.img"), &format!("/{target}"));
            },
        ),
        broken(
            "initramfs-is-a-dangling-link",
            TrixieSlim,
            "Ultramarine bootc#4",
            &[PRESENT],
            |draft| {
                draft.no_image();
                draft.link(&draft.of_kernel("initramfs.img"), "/boot/initramfs.img");
            },
        ),
        broken(
            "initramfs-is-a-directory",
            TrixieSlim,
            NONE,
            &[PRESENT, "initramfs-readable"],
            |draft| {
                draft.no_image();
                draft.write(&draft.of_kernel("initramfs.img/initrd"), "");
            },
        ),
    ]
}
