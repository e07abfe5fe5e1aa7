// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads certificates from variables of the firmware: `db` and shim's `MokListRT` (UEFI specification,
//! `EFI_SIGNATURE_LIST`).

/// Upper bound of a variable (bytes).
pub const SIZE_MAX: u64 = 4 << 20;

/// Upper bound of the certificates in one [`Entries`]; further certificates are ignored.
const MANY: usize = 1024;

/// `EFI_CERT_X509_GUID`.
const X509: [u8; 16] = [
    0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72,
];

/// The size of the header of an `EFI_SIGNATURE_LIST` (bytes).
const HEADER: usize = 28;

/// The size of the owner's GUID, which precedes each certificate (bytes).
const OWNER: usize = 16;

/// The entries of one or more variables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries {
    /// X.509 certificates (DER).
    pub certificates: Vec<Vec<u8>>,
    /// Whether there are entries of another type, such as digests of images.
    pub has_others: bool,
}

impl Entries {
    /// Adds the entries of a variable. `file` is the content of its file in efivarfs, which starts with four bytes of
    /// attributes. Stops at the first list with invalid sizes.
    pub fn add(&mut self, file: &[u8]) {
        let mut rest = file.get(4..).unwrap_or_default();
        while let Some(list) = rest.get(..HEADER) {
            let number = |at: usize| -> usize {
                let bytes = list.get(at..at + 4).and_then(|it| it.try_into().ok());
                u32::from_le_bytes(bytes.unwrap_or_default()) as usize
            };
            let (size, header, entry) = (number(16), number(20), number(24));
            let start = HEADER.saturating_add(header);
            let Some(entries) = rest.get(start..size).filter(|_| entry > OWNER) else {
                return;
            };
            if list.starts_with(&X509) {
                for entry in entries.chunks_exact(entry) {
                    if self.certificates.len() == MANY {
                        return;
                    }
                    self.certificates.push(entry[OWNER..].to_vec());
                }
            } else {
                self.has_others |= !entries.is_empty();
            }
            rest = rest.get(size..).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(kind: [u8; 16], entries: &[&[u8]]) -> Vec<u8> {
        let entry = OWNER + entries[0].len();
        let size = HEADER + entry * entries.len();
        let mut bytes = kind.to_vec();
        for number in [size, 0, entry] {
            bytes.extend((number as u32).to_le_bytes());
        }
        for data in entries {
            bytes.extend([0; OWNER]);
            bytes.extend(*data);
        }
        bytes
    }

    #[test]
    fn certificates_and_digests() {
        let file = [
            vec![7, 0, 0, 0],
            list(X509, &[b"one", b"two"]),
            list([1; 16], &[&[9; 32]]),
            list(X509, &[b"three"]),
        ]
        .concat();
        let mut entries = Entries::default();
        entries.add(&file);
        assert_eq!(entries.certificates, [&b"one"[..], b"two", b"three"]);
        assert!(entries.has_others);
        for end in 0..file.len() {
            Entries::default().add(&file[..end]);
        }
        for at in 0..file.len() {
            let mut file = file.clone();
            file[at] = 0xff;
            Entries::default().add(&file);
        }
    }
}
