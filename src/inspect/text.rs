// SPDX-License-Identifier: MIT OR Apache-2.0
//! Formats sizes, shares, counts, modes and dates for human readers, and wraps words into lines.

use crate::initramfs::EntryType;

/// Formats bytes, rounded: `512 B`, `12.0 KiB`, `28.5 MiB`.
pub(super) fn size(bytes: u64) -> String {
    let mut unit = "B";
    let mut value = bytes as f64;
    for larger in ["KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    match unit {
        "B" => format!("{bytes} B"),
        unit => format!("{value:.1} {unit}"),
    }
}

/// Formats a difference: `+1.5 KiB`, `-3 B`, `=`.
pub(super) fn growth(before: u64, after: u64) -> String {
    match before.cmp(&after) {
        std::cmp::Ordering::Less => format!("+{}", size(after - before)),
        std::cmp::Ordering::Greater => format!("-{}", size(before - after)),
        std::cmp::Ordering::Equal => "=".to_owned(),
    }
}

/// Formats `part` of `whole` in percent: `12 %`.
pub(super) fn percent(part: u64, whole: u64) -> String {
    let share = part as f64 * 100.0 / whole.max(1) as f64;
    format!("{share:.0} %")
}

/// Formats a count with its noun: `1 file`, `2 files`.
pub(super) fn count(number: usize, one: &str) -> String {
    match (number, one.strip_suffix("entry")) {
        (1, _) => format!("1 {one}"),
        (_, Some(start)) => format!("{number} {start}entries"),
        (_, None) => format!("{number} {one}s"),
    }
}

/// Formats type and permissions as `ls -l` does.
pub(super) fn mode(kind: EntryType, mode: u32) -> String {
    let mut text = String::with_capacity(10);
    text.push(match kind {
        EntryType::File => '-',
        EntryType::Directory => 'd',
        EntryType::Symlink => 'l',
        EntryType::CharDevice => 'c',
        EntryType::BlockDevice => 'b',
        EntryType::Fifo => 'p',
        EntryType::Socket => 's',
        EntryType::Unknown => '?',
    });
    // For owner, group and others: the shift of the three bits, the special bit, and the letter that replaces `x` if
    // the special bit is set.
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, false) => letter.to_ascii_uppercase(),
            (true, true) => letter,
        });
    }
    text
}

/// Formats date and time in UTC: `2023-11-14 22:13`.
pub(super) fn date(seconds: u32) -> String {
    let minutes = seconds / 60;
    let (minute, hour) = (minutes % 60, minutes / 60 % 24);
    // `days` counts from 0000-03-01. Years begin in March, so that a leap day is the last day of its year, and the
    // calendar repeats after 400 years.
    let days = seconds / 86_400 + 719_468;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = cycle * 400 + year + next;
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}")
}

/// Maximum width of the text after a label (characters). With the label, a line then has at most 80 characters.
const WIDTH: usize = 64;

/// Wraps words into lines of at most [`WIDTH`] characters. A word that is longer is the only one in its line.
pub(super) fn wrap<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (29_848_648, "28.5 MiB"),
            (3 << 30, "3.0 GiB"),
            (5 << 40, "5120.0 GiB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
        assert_eq!(growth(10, 4), "-6 B");
        assert_eq!(growth(4, 2052), "+2.0 KiB");
        assert_eq!(growth(4, 4), "=");
        assert_eq!(percent(1, 3), "33 %");
        assert_eq!(percent(0, 0), "0 %");
        assert_eq!(count(1, "entry"), "1 entry");
        assert_eq!(count(2, "entry"), "2 entries");
        assert_eq!(count(0, "file"), "0 files");
    }

    #[test]
    fn modes() {
        for (kind, bits, expected) in [
            (EntryType::File, 0o644, "-rw-r--r--"),
            (EntryType::Directory, 0o1777, "drwxrwxrwt"),
            (EntryType::Directory, 0o1770, "drwxrwx--T"),
            (EntryType::File, 0o4755, "-rwsr-xr-x"),
            (EntryType::File, 0o6644, "-rwSr-Sr--"),
            (EntryType::Symlink, 0o777, "lrwxrwxrwx"),
            (EntryType::CharDevice, 0, "c---------"),
            (EntryType::BlockDevice, 0o660, "brw-rw----"),
            (EntryType::Fifo, 0o600, "prw-------"),
            (EntryType::Socket, 0o600, "srw-------"),
        ] {
            assert_eq!(mode(kind, bits), expected);
        }
    }

    #[test]
    fn dates() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00"),
            (951_782_400, "2000-02-29 00:00"),
            (951_868_800, "2000-03-01 00:00"),
            (1_700_000_000, "2023-11-14 22:13"),
            (1_735_689_599, "2024-12-31 23:59"),
            (u32::MAX, "2106-02-07 06:28"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }

    #[test]
    fn words_are_wrapped() {
        let long = "x".repeat(70);
        let lines = wrap(["a", &long, "b", "c"]);
        assert_eq!(lines, ["a", &long, "b c"]);
        assert!(wrap([]).is_empty());
    }
}
