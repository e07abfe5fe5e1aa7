// SPDX-License-Identifier: MIT OR Apache-2.0
//! The dracut modules and drivers that dracut omits, by its configuration or its command line.

use std::collections::BTreeSet;

use crate::kernel::modules::ModuleName;

/// Names of dracut modules and drivers that are omitted on purpose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Omitted {
    /// dracut's modules.
    pub dracut_modules: BTreeSet<String>,
    /// Drivers.
    pub drivers: BTreeSet<ModuleName>,
}

/// dracut's modules with the drivers that they install. The table is for modules whose `module-setup.sh` selects
/// drivers by symbols and does not name them, and for modules whose script is not on disk. A final `*` matches any
/// suffix.
const OWNED: [(&str, &[&str]); 17] = [
    ("bcache", &["bcache"]),
    ("btrfs", &["btrfs"]),
    ("cifs", &["cifs"]),
    ("crypt", &["dm_crypt", "dm_integrity"]),
    ("dm", &["dm_*"]),
    ("dmraid", &["dm_raid*", "dm_mirror"]),
    ("fcoe", &["fcoe", "libfc*", "bnx2fc"]),
    (
        "iscsi",
        &[
            "iscsi_*",
            "libiscsi*",
            "scsi_transport_iscsi",
            "be2iscsi",
            "bnx2i",
            "qla4xxx",
        ],
    ),
    (
        "lvm",
        &[
            "dm_snapshot",
            "dm_mirror",
            "dm_thin_pool",
            "dm_cache*",
            "dm_raid",
            "dm_log*",
        ],
    ),
    (
        "mdraid",
        &["raid*", "md_*", "linear", "multipath", "faulty"],
    ),
    (
        "multipath",
        &[
            "dm_multipath",
            "dm_round_robin",
            "dm_service_time",
            "dm_queue_length",
            "dm_historical*",
            "dm_io_*",
            "scsi_dh_*",
        ],
    ),
    ("nbd", &["nbd"]),
    ("nfs", &["nfs*", "sunrpc", "lockd", "grace", "auth_rpcgss"]),
    ("nvdimm", &["nfit", "nd_*", "libnvdimm", "dax*"]),
    (
        "nvmf",
        &["nvme_fabrics", "nvme_tcp", "nvme_rdma", "nvme_fc"],
    ),
    ("virtfs", &["9p*"]),
    ("virtiofs", &["virtiofs"]),
];

impl Omitted {
    /// Adds the omissions in `text`, dracut's quoted arguments from `build-parameter.txt`.
    pub fn read_arguments(&mut self, text: &str) {
        self.add_arguments(&split(text));
    }

    /// Adds the omissions in arguments for dracut.
    pub fn add_arguments(&mut self, arguments: &[String]) {
        let mut arguments = arguments.iter().map(String::as_str);
        while let Some(argument) = arguments.next() {
            let (option, value) = match argument.split_once('=') {
                Some((option, value)) if option.starts_with("--") => (option, Some(value)),
                _ => (argument, None),
            };
            if !["-o", "--omit", "--omit-drivers"].contains(&option) {
                continue;
            }
            let value = value.or_else(|| arguments.next()).unwrap_or_default();
            match option {
                "--omit-drivers" => self.add_drivers(value.split_whitespace()),
                _ => self.add_modules(value.split_whitespace()),
            }
        }
    }

    pub(super) fn add_modules<'a>(&mut self, words: impl Iterator<Item = &'a str>) {
        let words = words.filter(|word| !word.is_empty());
        self.dracut_modules.extend(words.map(str::to_owned));
    }

    pub(super) fn add_drivers<'a>(&mut self, words: impl Iterator<Item = &'a str>) {
        let words = words.map(|word| word.trim_end_matches(".ko"));
        self.drivers
            .extend(words.filter_map(|word| ModuleName::new(word.as_bytes())));
    }

    /// Returns whether nothing is omitted.
    pub(super) fn is_empty(&self) -> bool {
        self.dracut_modules.is_empty() && self.drivers.is_empty()
    }

    /// Returns whether the driver is omitted: by its name, or with a dracut module that installs it according to
    /// [`OWNED`].
    pub fn has_driver(&self, name: &ModuleName) -> bool {
        let fits = |pattern: &str| match pattern.strip_suffix('*') {
            Some(start) => name.as_bytes().starts_with(start.as_bytes()),
            None => name.as_bytes() == pattern.as_bytes(),
        };
        let mut owners = OWNED
            .iter()
            .filter(|(module, _)| self.dracut_modules.contains(*module));
        self.drivers.contains(name) || owners.any(|(_, owned)| owned.iter().any(|it| fits(it)))
    }
}

/// Splits a command line into words, and removes quotes as a shell does. A backslash has no special meaning.
pub(super) fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, _) if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        let mut omitted = Omitted::default();
        omitted.read_arguments(
            "--no-hostonly --kver '6.9' --omit 'iscsi nbd' -o 'plymouth lvm mdraid' --omit-drivers=foo -f",
        );
        let modules: Vec<_> = omitted.dracut_modules.iter().map(String::as_str).collect();
        assert_eq!(modules, ["iscsi", "lvm", "mdraid", "nbd", "plymouth"]);
        let drivers: Vec<_> = omitted.drivers.iter().map(ToString::to_string).collect();
        assert_eq!(drivers, ["foo"]);
        let has = |name: &str| omitted.has_driver(&ModuleName::new(name.as_bytes()).unwrap());
        for (name, expected) in [
            ("dm-snapshot", true),
            ("raid456", true),
            ("dm_crypt", false),
            ("foo", true),
            ("virtio_blk", false),
        ] {
            assert_eq!(has(name), expected, "{name}");
        }
    }
}
