// SPDX-License-Identifier: MIT OR Apache-2.0
//! The smallest vmlinuz, module and initramfs that pass all checks.

use std::io::Write;

use crate::index;

/// Returns a bzImage. Its header and the kernel compressed in it state the release `release`.
pub fn vmlinuz(release: &str) -> Vec<u8> {
    let mut image = vec![0; 0x300];
    image[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
    image[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
    image[0x236..0x238].copy_from_slice(&1_u16.to_le_bytes());
    image.extend_from_slice(format!("{release} (mock@build) #1 SMP\0").as_bytes());
    // The compressed kernel follows the setup part of two sectors.
    image.resize(0x400, 0);
    image[0x1f1] = 1;
    let kernel = format!("Linux version {release} (mock@build) #1 SMP\n");
    let mut payload = zstd::encode_all(kernel.as_bytes(), 1).unwrap();
    payload.extend((kernel.len() as u32).to_le_bytes());
    image[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    image.extend(payload);
    image
}

/// Adds the PE headers of an EFI stub to a `vmlinuz`. Programs that sign a kernel require them.
pub fn with_efi_stub(mut image: Vec<u8>) -> Vec<u8> {
    const PE: usize = 0x40;
    const OPTIONAL: usize = PE + 24;
    const DIRECTORIES: usize = 6;
    const OPTIONAL_SIZE: usize = 112 + 8 * DIRECTORIES;
    const SECTION: usize = OPTIONAL + OPTIONAL_SIZE;
    const HEADERS: usize = 0x200;
    image.resize(image.len().next_multiple_of(HEADERS), 0);
    let code = (image.len() - HEADERS) as u32;
    let size = image.len() as u32;
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &(PE as u32).to_le_bytes());
    put(PE, b"PE\0\0\x64\x86\x01\0");
    put(PE + 20, &(OPTIONAL_SIZE as u16).to_le_bytes());
    put(OPTIONAL, &0x20b_u16.to_le_bytes());
    // The alignment of sections in memory and in the file.
    put(OPTIONAL + 32, &0x200_u32.to_le_bytes());
    put(OPTIONAL + 36, &0x200_u32.to_le_bytes());
    put(OPTIONAL + 56, &size.to_le_bytes());
    put(OPTIONAL + 60, &(HEADERS as u32).to_le_bytes());
    put(OPTIONAL + 108, &(DIRECTORIES as u32).to_le_bytes());
    put(SECTION, b".text");
    let place = HEADERS as u32;
    for (at, value) in [(8, code), (12, place), (16, code), (20, place)] {
        put(SECTION + at, &value.to_le_bytes());
    }
    image
}

/// The ELF type of a kernel module (ET_REL).
const RELOCATABLE: u16 = 1;

/// Returns a 64-bit ELF file of the type `kind` with these sections, each a name and its content. A file of another
/// type than [`RELOCATABLE`] also gets a segment.
fn elf(kind: u16, sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut names = b"\0".to_vec();
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(64, 0);
    let mut headers = vec![[0_u8; 64]];
    let mut add = |file: &mut Vec<u8>, name: usize, kind: u32, bytes: &[u8]| {
        let mut header = [0; 64];
        header[..4].copy_from_slice(&(name as u32).to_le_bytes());
        header[4..8].copy_from_slice(&kind.to_le_bytes());
        header[24..32].copy_from_slice(&(file.len() as u64).to_le_bytes());
        header[32..40].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
        file.extend_from_slice(bytes);
        headers.push(header);
    };
    for (name, bytes) in sections {
        add(&mut file, names.len(), 1, bytes);
        names.extend_from_slice(&[name.as_bytes(), b"\0"].concat());
    }
    let own_name = names.len();
    names.extend_from_slice(b".shstrtab\0");
    add(&mut file, own_name, 3, &names);
    file.resize(file.len().next_multiple_of(8), 0);
    let count = headers.len() as u16;
    let at = (file.len() as u64).to_le_bytes();
    file[0x28..0x30].copy_from_slice(&at);
    for (at, value) in [
        (0x10, kind),
        (0x12, 62),
        (0x14, 1),
        (0x34, 64),
        (0x36, 56),
        (0x3a, 64),
        (0x3c, count),
        (0x3e, count - 1),
    ] {
        file[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    file.extend(headers.concat());
    if kind != RELOCATABLE {
        // The segment contains the whole file.
        let size = file.len() as u64;
        file[0x20..0x28].copy_from_slice(&size.to_le_bytes());
        file[0x38] = 1;
        file.extend_from_slice(&1_u32.to_le_bytes());
        file.extend_from_slice(&5_u32.to_le_bytes());
        for value in [0, 0, 0, size, size, 0x1000] {
            file.extend_from_slice(&value.to_le_bytes());
        }
    }
    file
}

/// Returns an ELF program that needs no library.
pub fn program() -> Vec<u8> {
    elf(2, &[])
}

/// Returns a kernel module for the kernel `kver`. The module has no dependencies.
pub fn module(kver: &str, name: &str) -> Vec<u8> {
    let info =
        format!("license=GPL\0depends=\0intree=Y\0name={name}\0vermagic={kver} SMP mod_unload \0");
    elf(1, &[(".modinfo", info.as_bytes())])
}

/// Returns an out-of-tree module for the kernel `kver`. The module requests a firmware file whose path contains the
/// module's version, as NVIDIA's module does.
pub fn kmod(kver: &str, name: &str, version: &str) -> Vec<u8> {
    let info = format!(
        "firmware={name}/{version}/gsp.bin\0license=GPL\0version={version}\0depends=\0name={name}\0vermagic={kver} SMP mod_unload \0"
    );
    elf(1, &[(".modinfo", info.as_bytes())])
}

/// The defect of an initramfs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The program ostree-prepare-root is missing.
    NoOstree,
    /// systemctl is a script.
    Wrapper,
    /// The second half of the bytes is missing.
    Truncated,
}

/// The dracut modules that every initramfs lists.
const MODULES: &[u8] = b"base\nmultipath\nnvmf\nostree\n";

/// Returns an initramfs for the kernel `kver`, with the files that dracut would add on an ostree system, these kernel
/// modules, and the defect `fault`. It is an uncompressed newc archive.
pub fn initramfs(kver: &str, modules: &[(String, Vec<u8>)], fault: Fault) -> Vec<u8> {
    const DIR: u32 = 0o040_755;
    const FILE: u32 = 0o100_755;
    const LINK: u32 = 0o120_777;
    let elf = &program();
    let unit = "usr/lib/systemd/system/ostree-prepare-root.service";
    let wants = "usr/lib/systemd/system/initrd-root-fs.target.wants";
    let mut items: Vec<(String, u32, Vec<u8>)> = Vec::new();
    for dir in ["usr/lib/ostree", "usr/bin", "usr/lib/dracut", "etc", wants] {
        items.push((dir.into(), DIR, vec![]));
    }
    let mut file = |path: &str, mode, bytes: &[u8]| items.push((path.into(), mode, bytes.into()));
    file("lib", LINK, b"usr/lib");
    file("sbin", LINK, b"usr/sbin");
    file("init", LINK, b"usr/bin/systemd");
    file("usr/bin/systemd", FILE, elf);
    file("etc/initrd-release", FILE, b"ID=test\n");
    file("usr/lib/dracut/modules.txt", FILE, MODULES);
    file("usr/sbin/multipathd", FILE, elf);
    file("usr/sbin/nvme", FILE, elf);
    file("usr/sbin/modprobe", FILE, elf);
    file("usr/lib/dracut/dracut-059", FILE, b"");
    if fault != Fault::NoOstree {
        file("usr/lib/ostree/ostree-prepare-root", FILE, elf);
    }
    file(unit, FILE, b"[Unit]\n");
    let link = format!("{wants}/ostree-prepare-root.service");
    file(&link, LINK, b"../ostree-prepare-root.service");
    let is_script = fault == Fault::Wrapper;
    let systemctl: &[u8] = if is_script { b"#!/bin/sh\n" } else { elf };
    file("usr/bin/systemctl", FILE, systemctl);
    let dep: String = modules
        .iter()
        .map(|(path, _)| format!("{path}:\n"))
        .collect();
    let dir = format!("usr/lib/modules/{kver}");
    file(&format!("{dir}/modules.dep"), FILE, dep.as_bytes());
    file(&format!("{dir}/modules.dep.bin"), FILE, &index::dep(&dep));
    file(&format!("{dir}/modules.alias.bin"), FILE, &index::alias(""));
    file(&format!("{dir}/modules.builtin"), FILE, b"");
    for (path, bytes) in modules {
        file(&format!("{dir}/{path}"), FILE, bytes);
    }
    let mut bytes = archive(&items);
    if fault == Fault::Truncated {
        bytes.truncate(bytes.len() / 2);
    }
    bytes
}

/// Returns a newc archive of the items (path, mode, data). Missing parent directories are added before their content,
/// and a path that occurs again is left out.
pub fn archive(items: &[(String, u32, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for (path, mode, data) in items {
        for (at, _) in path.match_indices('/') {
            if seen.insert(path[..at].to_owned()) {
                entry(&mut out, &path[..at], 0o040_755, b"");
            }
        }
        if seen.insert(path.clone()) {
            entry(&mut out, path, *mode, data);
        }
    }
    entry(&mut out, "TRAILER!!!", 0, b"");
    out
}

fn entry(out: &mut Vec<u8>, path: &str, mode: u32, data: &[u8]) {
    let (size, namesize) = (data.len() as u32, path.len() as u32 + 1);
    out.extend_from_slice(b"070701");
    for field in [0, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, namesize, 0] {
        write!(out, "{field:08x}").unwrap();
    }
    for bytes in [&[path.as_bytes(), b"\0"].concat(), data] {
        out.extend_from_slice(bytes);
        out.resize(out.len().next_multiple_of(4), 0);
    }
}
