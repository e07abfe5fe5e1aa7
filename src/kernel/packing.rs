// SPDX-License-Identifier: MIT OR Apache-2.0
//! Detects how a file is compressed, and whether the kernel itself can decode the file.
//!
//! The kernel's code for xz and gzip (`lib/xz`, `kernel/module/decompress.c`) supports fewer features than the
//! programs. For example, `xz` writes a CRC64 by default, and the kernel cannot check a CRC64.
//!
//! Only the first bytes of a file are read, and sizes in them are not trusted.

use std::fmt;

/// The largest number of bytes that [`Packing::of`] needs: the header of an xz stream and the longest header of a
/// block.
pub const HEAD: usize = 12 + 1024;

/// The compression of a file, with those of its properties that a kernel may not support.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Packing {
    /// No compression, or one that the kernel's module loader never supports.
    None,
    /// gzip.
    Gzip {
        /// Whether the header has fields other than a file name.
        fields: bool,
    },
    /// xz.
    Xz(Xz),
    /// zstd.
    Zstd,
}

/// The properties of an xz file.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xz {
    /// The number of the integrity check in the xz format: 0 is none, 1 is CRC32, 4 is CRC64, 10 is SHA-256.
    pub check: u8,
    /// The filters of the first block, in the order in which the encoder applies them. Empty if the file has no block,
    /// or if the block's header is truncated or malformed.
    pub filters: Vec<Filter>,
}

/// A filter of an xz block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filter {
    /// The filter's number in the xz format.
    pub id: u64,
    /// The size of the filter's properties (bytes).
    pub properties: u64,
}

/// Branch filters: the number, the name in `xz`, and the kernel's configuration option.
const BRANCHES: [(u64, &str, &str); 8] = [
    (4, "x86", "CONFIG_XZ_DEC_X86"),
    (5, "powerpc", "CONFIG_XZ_DEC_POWERPC"),
    (6, "ia64", "CONFIG_XZ_DEC_IA64"),
    (7, "arm", "CONFIG_XZ_DEC_ARM"),
    (8, "armthumb", "CONFIG_XZ_DEC_ARMTHUMB"),
    (9, "sparc", "CONFIG_XZ_DEC_SPARC"),
    (10, "arm64", "CONFIG_XZ_DEC_ARM64"),
    (11, "riscv", "CONFIG_XZ_DEC_RISCV"),
];

const DELTA: u64 = 3;
const LZMA2: u64 = 0x21;

impl Packing {
    /// Detects the compression from the first [`HEAD`] bytes of a file.
    pub fn of(start: &[u8]) -> Self {
        match start {
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // `fields` is not set for a file name (flag 8), which the kernel skips, nor for the text flag (1), which
            // adds no field.
            [0x1f, 0x8b, 8, flags, ..] => Self::Gzip {
                fields: flags & !0x09 != 0,
            },
            [0xfd, b'7', b'z', b'X', b'Z', 0, rest @ ..] => Self::Xz(Xz::of(rest)),
            _ => Self::None,
        }
    }

    /// Returns the name of the compression in lower case: that of `CONFIG_MODULE_COMPRESS_*`, or `none`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip { .. } => "gzip",
            Self::Xz(_) => "xz",
            Self::Zstd => "zstd",
        }
    }
}

impl Xz {
    /// Parses the bytes after the magic number: the flags of the stream, their CRC32, and the header of the first
    /// block.
    fn of(rest: &[u8]) -> Self {
        Self {
            check: rest.get(1).map_or(0, |flags| flags & 0x0f),
            filters: filters(rest.get(6..).unwrap_or_default()).unwrap_or_default(),
        }
    }

    /// Returns the reason why no configuration of the kernel's decoder supports the file; `None` if one does, or if the
    /// filters are not known.
    pub fn never_decoded(&self) -> Option<&'static str> {
        match self.check {
            0 | 1 => {}
            4 => {
                return Some(
                    "its integrity check is CRC64; the kernel supports only none and CRC32 (xz --check=crc32)",
                );
            }
            10 => {
                return Some(
                    "its integrity check is SHA-256; the kernel supports only none and CRC32 (xz --check=crc32)",
                );
            }
            _ => return Some("its integrity check has a reserved number"),
        }
        let (last, first) = self.filters.split_last()?;
        match first {
            _ if last.id != LZMA2 => Some("its last filter is not LZMA2"),
            [] => None,
            [Filter { id: DELTA, .. }] => Some("it uses the delta filter (xz --delta)"),
            [filter] if filter.branch().is_none() => Some("it uses an unknown filter"),
            [filter] if filter.properties > 0 => Some("its branch filter has a start offset"),
            [_] => None,
            _ => Some("it uses more than one filter before LZMA2"),
        }
    }

    /// Returns the reason why a kernel with this configuration cannot decode the file; `None` if it can, or if the
    /// filters are not known.
    pub fn why_not(&self, config: &Config) -> Option<String> {
        if let Some(why) = self.never_decoded() {
            return Some(why.to_owned());
        }
        let (name, option) = self.filters.first()?.branch()?;
        (!config.is_on(option))
            .then(|| format!("it uses the branch filter {name}, and {option} is not set"))
    }
}

impl Filter {
    /// Returns the name of a branch filter and the kernel's option for it; `None` for another filter.
    fn branch(self) -> Option<(&'static str, &'static str)> {
        let mut branches = BRANCHES.into_iter();
        branches.find_map(|(id, name, option)| (id == self.id).then_some((name, option)))
    }
}

/// Parses the filters in the header of a block; `None` if there is no block, or if the header is truncated or
/// malformed.
fn filters(header: &[u8]) -> Option<Vec<Filter>> {
    let (&size, rest) = header.split_first()?;
    // A zero is not a size: it starts the index, which follows the last block. `length` is the size of the header
    // without the CRC32 at its end.
    let length = usize::from(size) * 4;
    let mut rest = rest.get(..length.checked_sub(1)?)?;
    let flags = byte(&mut rest)?;
    for size in [0x40, 0x80] {
        if flags & size != 0 {
            number(&mut rest)?;
        }
    }
    let mut filters = Vec::new();
    for _ in 0..=flags & 3 {
        let id = number(&mut rest)?;
        let properties = number(&mut rest)?;
        rest = rest.get(usize::try_from(properties).ok()?..)?;
        filters.push(Filter { id, properties });
    }
    Some(filters)
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    let (&first, others) = rest.split_first()?;
    *rest = others;
    Some(first)
}

/// Takes a number of up to nine bytes, each with seven bits of the value, from the start of `rest`. Returns `None` if
/// the number has more bytes, or if `rest` ends before the number does.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let byte = byte(rest)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// A kernel's configuration, as the text of its `.config`.
#[derive(Clone, Copy, Debug)]
pub struct Config<'a>(pub &'a str);

impl<'a> Config<'a> {
    /// Returns whether `option` is `y`.
    pub fn is_on(&self, option: &str) -> bool {
        self.0.lines().any(|line| {
            let value = line.strip_prefix(option);
            value.is_some_and(|value| value.trim_ascii_end() == "=y")
        })
    }

    /// Returns the string value of `option` without the quotes; `None` if the option has no string value.
    pub fn text(&self, option: &str) -> Option<&'a str> {
        self.0.lines().find_map(|line| {
            let value = line.strip_prefix(option)?.trim_ascii_end();
            value.strip_prefix("=\"")?.strip_suffix('"')
        })
    }

    /// Returns the compression whose modules the kernel decodes itself; `None` if kmod decodes all modules.
    pub fn module_decoder(&self) -> Option<&'static str> {
        if !self.is_on("CONFIG_MODULE_DECOMPRESS") {
            return None;
        }
        let mut names = ["gzip", "xz", "zstd"].into_iter();
        names.find(|name| self.is_on(&format!("CONFIG_MODULE_COMPRESS_{}", name.to_uppercase())))
    }

    /// Returns the reason why the kernel cannot load a module with this compression; `None` if it can. kmod passes a
    /// module undecoded to the kernel if the module has the compression in `/sys/module/compression`, and decodes every
    /// other module itself.
    pub fn why_not_loaded(&self, packing: &Packing) -> Option<String> {
        if self.module_decoder() != Some(packing.name()) {
            return None;
        }
        match packing {
            Packing::Xz(xz) => xz.why_not(self),
            Packing::Gzip { fields: true } => {
                Some("its gzip header has fields other than a file name".to_owned())
            }
            Packing::Gzip { .. } | Packing::Zstd | Packing::None => None,
        }
    }
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use liblzma::stream::{Check, Filters, LzmaOptions, Stream};

    use super::*;

    fn xz(check: Check, filters: &Filters) -> Xz {
        let stream = Stream::new_stream_encoder(filters, check).unwrap();
        let mut out = Vec::new();
        liblzma::bufread::XzEncoder::new_stream(&b"some data"[..], stream)
            .read_to_end(&mut out)
            .unwrap();
        match Packing::of(&out) {
            Packing::Xz(xz) => xz,
            other => panic!("{other}"),
        }
    }

    fn lzma2(filters: &mut Filters) -> &mut Filters {
        filters.lzma2(&LzmaOptions::new_preset(0).unwrap())
    }

    #[test]
    fn checks_of_xz() {
        for (check, expected) in [
            (Check::None, None),
            (Check::Crc32, None),
            (Check::Crc64, Some("CRC64")),
            (Check::Sha256, Some("SHA-256")),
        ] {
            let xz = xz(check, lzma2(&mut Filters::new()));
            assert_eq!(xz.filters.len(), 1);
            let why = xz.never_decoded();
            assert_eq!(why.is_some(), expected.is_some(), "{why:?}");
            assert!(why.is_none_or(|why| why.contains(expected.unwrap_or_default())));
        }
    }

    #[test]
    fn filters_of_xz() {
        let config = Config("CONFIG_XZ_DEC_X86=y\n# CONFIG_XZ_DEC_ARM is not set\n");
        let why = |filters: &mut Filters| xz(Check::Crc32, lzma2(filters)).why_not(&config);
        assert_eq!(why(&mut Filters::new()), None);
        assert_eq!(why(Filters::new().x86()), None);
        let arm = "it uses the branch filter arm, and CONFIG_XZ_DEC_ARM is not set";
        assert_eq!(why(Filters::new().arm()).unwrap(), arm);
        let sparc = why(Filters::new().sparc()).unwrap();
        assert!(sparc.ends_with("CONFIG_XZ_DEC_SPARC is not set"), "{sparc}");
        let two = "it uses more than one filter before LZMA2";
        assert_eq!(why(Filters::new().x86().arm()).unwrap(), two);
        // The first two cases are `xz --delta` and `xz --x86=start=4096`, encoded by hand from the specification of the
        // format.
        let of = |id, properties| Xz {
            check: 1,
            filters: vec![
                Filter { id, properties },
                Filter {
                    id: 0x21,
                    properties: 1,
                },
            ],
        };
        for (xz, expected) in [
            (of(3, 1), "it uses the delta filter (xz --delta)"),
            (of(4, 4), "its branch filter has a start offset"),
            (of(99, 0), "it uses an unknown filter"),
        ] {
            assert_eq!(xz.why_not(&config).as_deref(), Some(expected));
        }
    }

    #[test]
    fn truncated_xz_headers() {
        let delta = b"\xfd7zXZ\0\0\x01....\x02\x01\x03\x01\x00\x21\x01\x08\0\0\0....";
        for end in 0..delta.len() {
            let packing = Packing::of(&delta[..end]);
            let Packing::Xz(xz) = packing else {
                assert!(end < 6, "{end}");
                continue;
            };
            let expected = end >= 20;
            assert_eq!(xz.never_decoded().is_some(), expected, "{end}: {xz:?}");
        }
        // The number of the first filter has no end.
        let long = [b"\xfd7zXZ\0\0\x01....\xff\x03".as_slice(), &[0xff; 2000]].concat();
        assert_eq!(
            Packing::of(&long),
            Packing::Xz(Xz {
                check: 1,
                filters: vec![]
            })
        );
    }

    #[test]
    fn a_kernel_decodes_one_compression_of_modules() {
        let config = "CONFIG_MODULE_DECOMPRESS=y\nCONFIG_MODULE_COMPRESS_XZ=y\n";
        let crc64 = Packing::Xz(Xz {
            check: 4,
            filters: vec![],
        });
        let odd = Packing::Gzip { fields: true };
        let why = |config: &str, packing| Config(config).why_not_loaded(packing);
        assert!(why(config, &crc64).unwrap().contains("CRC64"));
        assert_eq!(why(config, &odd), None);
        // kmod decodes the module, because the kernel decodes no modules, or only those with another compression.
        for config in [
            "# CONFIG_MODULE_DECOMPRESS is not set\nCONFIG_MODULE_COMPRESS_XZ=y\n",
            "CONFIG_MODULE_DECOMPRESS=y\nCONFIG_MODULE_COMPRESS_ZSTD=y\n",
        ] {
            assert_eq!(why(config, &crc64), None);
        }
        let gzip = "CONFIG_MODULE_DECOMPRESS=y\nCONFIG_MODULE_COMPRESS_GZIP=y\n";
        assert!(why(gzip, &odd).is_some());
        assert_eq!(why(gzip, &Packing::of(b"\x1f\x8b\x08\x08....")), None);
    }
}
