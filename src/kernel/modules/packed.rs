// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decompresses and compresses modules, and splits them into contents and signature.
//!
//! The memory for decompression is bounded by [`MAX_UNPACKED`] and by the limit of a decoder's window, whatever sizes a
//! header claims.

use std::io::{self, BufRead, Read};

use liblzma::bufread::{XzDecoder, XzEncoder};
use liblzma::stream::{Check, Filters, LzmaOptions, Stream};

/// Upper bound of an uncompressed module (bytes); the largest in-tree one (amdgpu) has about 20 MB without debug
/// information.
pub const MAX_UNPACKED: u64 = 32 << 20;

/// The binary logarithm of a decoder's largest window: 2^26 bytes, the size that `xz -9` uses.
const MAX_WINDOW_LOG: u32 = 26;

/// Decompresses the module `data` from a file called `path`, and replaces the content of `into`. The suffix of `path`
/// determines the format; a file with a suffix other than `.xz`, `.zst` and `.gz` is not compressed. After an error,
/// `into` contains the bytes that were decoded before the error.
///
/// # Errors
/// When the data cannot be read or decoded, or decode to more than [`MAX_UNPACKED`] bytes.
pub fn unpack(path: &[u8], data: impl BufRead, into: &mut Vec<u8>) -> io::Result<()> {
    if path.ends_with(b".xz") {
        let stream = Stream::new_stream_decoder((1 << MAX_WINDOW_LOG) + (16 << 20), 0)?;
        bounded(XzDecoder::new_stream(data, stream), into)
    } else if path.ends_with(b".zst") {
        let mut decoder = zstd::Decoder::with_buffer(data)?;
        decoder.window_log_max(MAX_WINDOW_LOG)?;
        bounded(decoder, into)
    } else if path.ends_with(b".gz") {
        bounded(flate2::bufread::MultiGzDecoder::new(data), into)
    } else {
        bounded(data, into)
    }
}

/// The end of a module's signature (`MODULE_SIG_STRING`).
const SIGNATURE_END: &[u8] = b"~Module signature appended~\n";

/// Returns an uncompressed module without its appended signature; `None` as for [`signed_parts`].
pub fn without_signature(module: &[u8]) -> Option<&[u8]> {
    Some(signed_parts(module)?.0)
}

/// Returns bytes that identify the signer of an uncompressed module: the CMS signature up to the octet string at its
/// end, which is the signature value. `None` as for [`signed_parts`], and if the signature does not end with an octet
/// string of at least [`SIGNATURE_MIN`] bytes.
pub fn signer(module: &[u8]) -> Option<&[u8]> {
    let (_, signature) = signed_parts(module)?;
    // An octet string starts with 0x04 and its size: two bytes after 0x82, one byte after 0x81, or one byte alone.
    let is_last = |at: &usize| {
        let (header, size) = match signature[*at..] {
            [0x04, 0x82, high, low, ..] => (4, usize::from(high) << 8 | usize::from(low)),
            [0x04, 0x81, size, ..] => (3, usize::from(size)),
            [0x04, size @ ..=0x7f, ..] => (2, usize::from(size)),
            _ => return false,
        };
        at + header + size == signature.len() && size >= SIGNATURE_MIN
    };
    let end = (0..signature.len()).find(is_last)?;
    Some(&signature[..end])
}

/// The smallest size of a signature value (bytes). A value of ECDSA with P-256 has about 70 bytes.
const SIGNATURE_MIN: usize = 48;

/// Splits an uncompressed module into its contents and its signature (CMS in DER). `None` if the module is not signed,
/// or is shorter than the size of its signature.
pub fn signed_parts(module: &[u8]) -> Option<(&[u8], &[u8])> {
    // Before the end marker is a `struct module_signature` of 12 bytes. Its last field is the size of the signature.
    let (signed, head) = module
        .strip_suffix(SIGNATURE_END)?
        .split_last_chunk::<12>()?;
    let size = u32::from_be_bytes(*head.last_chunk()?);
    let contents = signed.len().checked_sub(usize::try_from(size).ok()?)?;
    Some(signed.split_at(contents))
}

/// Returns a signed module: the contents with this signature appended, as the kernel's `scripts/sign-file.c` writes it.
pub fn with_signature(contents: &[u8], signature: &[u8]) -> Vec<u8> {
    /// The only type of signature that the kernel supports (`PKEY_ID_PKCS7`).
    const CMS: u8 = 2;
    let mut info = [0; 12];
    info[2] = CMS;
    info[8..].copy_from_slice(&(signature.len() as u32).to_be_bytes());
    [contents, signature, &info, SIGNATURE_END].concat()
}

/// Compresses a module for a file called `path`, whose suffix determines the format as for [`unpack`]. The kernel
/// itself can decode the result: xz data have a CRC32 and a window of 1 MiB, as in the kernel's
/// `scripts/Makefile.modinst`.
///
/// # Errors
/// When the compression library fails.
pub fn pack(path: &[u8], module: Vec<u8>) -> io::Result<Vec<u8>> {
    if path.ends_with(b".xz") {
        let mut options = LzmaOptions::new_preset(6)?;
        options.dict_size(1 << 20);
        let mut filters = Filters::new();
        filters.lzma2(&options);
        let stream = Stream::new_stream_encoder(&filters, Check::Crc32)?;
        let mut packed = Vec::new();
        XzEncoder::new_stream(module.as_slice(), stream).read_to_end(&mut packed)?;
        Ok(packed)
    } else if path.ends_with(b".zst") {
        zstd::bulk::compress(&module, 0)
    } else if path.ends_with(b".gz") {
        let mut packed = Vec::new();
        let level = flate2::Compression::default();
        flate2::bufread::GzEncoder::new(module.as_slice(), level).read_to_end(&mut packed)?;
        Ok(packed)
    } else {
        Ok(module)
    }
}

fn bounded(plain: impl Read, into: &mut Vec<u8>) -> io::Result<()> {
    into.clear();
    plain.take(MAX_UNPACKED + 1).read_to_end(into)?;
    if into.len() as u64 > MAX_UNPACKED {
        let what = format!("it unpacks to more than {} MiB", MAX_UNPACKED >> 20);
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signer_is_the_signature_without_its_value() {
        let rsa = |issuer: &[u8], value| [issuer, &[0x04, 0x82, 1, 0], &[value; 256]].concat();
        let ecdsa = |issuer: &[u8], value| [issuer, &[0x04, 70], &[value; 70]].concat();
        let of =
            |signature: Vec<u8>| signer(&with_signature(b"ELF", &signature)).map(<[u8]>::to_vec);
        assert_eq!(of(rsa(b"Fedora", 1)), Some(b"Fedora".to_vec()));
        assert_eq!(of(rsa(b"Fedora", 1)), of(rsa(b"Fedora", 2)));
        assert_eq!(of(ecdsa(b"me", 1)), Some(b"me".to_vec()));
        assert_eq!(of(vec![0; 100]), None);
        assert_eq!(of(vec![]), None);
        assert_eq!(signer(b"ELF"), None);
        let module = with_signature(b"ELF", &rsa(b"Fedora", 1));
        assert_eq!(without_signature(&module), Some(&b"ELF"[..]));
        // The signature's size is larger than the file.
        let mut lying = module;
        let end = lying.len() - SIGNATURE_END.len();
        lying[end - 4] = 0xff;
        assert_eq!(signer(&lying), None);
        assert_eq!(without_signature(&lying), None);
    }

    #[test]
    fn a_packed_module_is_what_the_kernel_decodes() {
        use crate::kernel::packing::Packing;
        let module = b"\x7fELF".repeat(100_000);
        for (path, expected) in [
            ("a.ko", Packing::None),
            ("a.ko.gz", Packing::Gzip { fields: false }),
            ("a.ko.zst", Packing::Zstd),
        ] {
            let packed = pack(path.as_bytes(), module.clone()).unwrap();
            assert_eq!(Packing::of(&packed), expected, "{path}");
            let mut again = Vec::new();
            unpack(path.as_bytes(), packed.as_slice(), &mut again).unwrap();
            assert!(again == module, "{path}");
        }
        let packed = pack(b"a.ko.xz", module.clone()).unwrap();
        let Packing::Xz(xz) = Packing::of(&packed) else {
            panic!("not xz")
        };
        assert_eq!((xz.check, xz.filters.len()), (1, 1));
        let mut again = Vec::new();
        unpack(b"a.ko.xz", packed.as_slice(), &mut again).unwrap();
        assert!(again == module);
    }
}
