// SPDX-License-Identifier: MIT OR Apache-2.0
//! Moves version locks of replaced packages to the new versions. Only a lock of exactly the replaced version is
//! changed: other locks name another version, or allow more than one.

use crate::package::Nevra;
use crate::plan::Change;

/// Returns the text of dnf 4's `versionlock.list` with the locks of replaced packages changed; `None` if no lock
/// changes. A lock is a line `NAME-[EPOCH:]VERSION-RELEASE.ARCH`. The architecture, often `*`, is not compared.
pub fn in_list(text: &str, changes: &[Change]) -> Option<String> {
    let moved = |line: &str| {
        let (lock, arch) = line.trim().rsplit_once('.')?;
        replaced(changes).find_map(|(old, new)| {
            let evr = lock.strip_prefix(&old.name)?.strip_prefix('-')?;
            let evr = evr_like(evr, old, new)?;
            let arch = if arch == old.arch { &new.arch } else { arch };
            Some(format!("{}-{evr}.{arch}", new.name))
        })
    };
    lines(text, moved)
}

/// Returns the text of dnf5's `versionlock.toml` with the locks of replaced packages changed; `None` if no lock
/// changes. A lock is a table `[[packages]]` with a name and a condition `evr = VERSION`.
pub fn in_toml(text: &str, changes: &[Change]) -> Option<String> {
    let mut blocks = vec![String::new()];
    for line in text.split_inclusive('\n') {
        if line.trim() == "[[packages]]" {
            blocks.push(String::new());
        }
        if let Some(block) = blocks.last_mut() {
            *block += line;
        }
    }
    let mut is_changed = false;
    for block in &mut blocks {
        if let Some(new) = moved_block(block, changes) {
            *block = new;
            is_changed = true;
        }
    }
    is_changed.then(|| blocks.concat())
}

/// Returns one table `[[packages]]` with its lock changed; `None` if it does not lock exactly the version of a replaced
/// package.
fn moved_block(block: &str, changes: &[Change]) -> Option<String> {
    // Several conditions describe a range, which is not changed.
    let only = |key: &str| {
        let mut values = block.lines().filter_map(|line| value(line, key));
        let first = values.next()?;
        values.next().is_none().then_some(first)
    };
    let (name, evr) = (only("name")?, only("value")?);
    if only("key")? != "evr" || !matches!(only("comparator")?, "=" | "==") {
        return None;
    }
    let (new, evr) = replaced(changes)
        .filter(|(old, _)| old.name == name)
        .find_map(|(old, new)| Some((new, evr_like(evr, old, new)?)))?;
    lines(block, |line| {
        let (indent, _) = line.split_at(line.len() - line.trim_start().len());
        match (value(line, "name"), value(line, "value")) {
            (Some(_), _) => Some(format!("{indent}name = \"{}\"", new.name)),
            (_, Some(_)) => Some(format!("{indent}value = \"{evr}\"")),
            _ => None,
        }
    })
}

/// Returns the value of a line `KEY = "VALUE"`; `None` for other lines.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (found, value) = line.split_once('=')?;
    let value = value.trim();
    let quote = value.chars().next().filter(|it| ['"', '\''].contains(it))?;
    let (value, _) = value.get(1..)?.split_once(quote)?;
    (found.trim() == key).then_some(value)
}

fn replaced(changes: &[Change]) -> impl Iterator<Item = (&Nevra, &Nevra)> {
    let both = |it: &'_ Change| it.before.is_some() && it.after.is_some() && it.before != it.after;
    let changes = changes.iter().filter(move |it| both(it));
    changes.filter_map(|it| Some((it.before.as_ref()?, it.after.as_ref()?)))
}

/// Returns the version of `new` in the form of `text`, with or without an epoch; an epoch of `new` other than 0 is
/// always written. `None` if `text` is not the version of `old`.
fn evr_like(text: &str, old: &Nevra, new: &Nevra) -> Option<String> {
    let bare = |it: &Nevra| format!("{}-{}", it.version, it.release);
    let with_epoch = |it: &Nevra| format!("{}:{}", it.epoch, bare(it));
    if text == with_epoch(old) {
        Some(with_epoch(new))
    } else if old.epoch == 0 && text == bare(old) {
        Some(if new.epoch == 0 {
            bare(new)
        } else {
            with_epoch(new)
        })
    } else {
        None
    }
}

/// Replaces each line for which `moved` returns another line; `None` if no line changes.
fn lines(text: &str, moved: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut is_changed = false;
    let mut new = String::new();
    for line in text.split_inclusive('\n') {
        let (bare, end) = match line.strip_suffix('\n') {
            Some(bare) => (bare, "\n"),
            None => (line, ""),
        };
        match moved(bare).filter(|it| it != bare) {
            Some(moved) => {
                is_changed = true;
                new += &moved;
            }
            None => new += bare,
        }
        new += end;
    }
    is_changed.then_some(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes() -> Vec<Change> {
        let nevra = |text: &str| Some(Nevra::try_from(text.to_owned()).unwrap());
        vec![
            Change {
                before: nevra("kernel-core-6.1.7-100.fc40.x86_64"),
                after: nevra("kernel-rt-core-6.9.4-200.fc40.x86_64"),
            },
            Change {
                before: nevra("kernel-6.1.7-100.fc40.x86_64"),
                after: nevra("kernel-6.9.4-200.fc40.x86_64"),
            },
            Change {
                before: nevra("kernel-old-6.1.7-100.fc40.x86_64"),
                after: None,
            },
        ]
    }

    #[test]
    fn locks_of_dnf_4_follow() {
        let text = "# Added lock\nkernel-core-0:6.1.7-100.fc40.*\nkernel-0:6.1.7-100.fc40.x86_64\n\
                    kernel-6.1.7-100.fc40.*\n!kernel-0:6.1.8-100.fc40.*\nbash-0:5.2-1.fc40.*\n\
                    kernel-old-0:6.1.7-100.fc40.*\nkernel-0:6.1.*";
        let expected = "# Added lock\nkernel-rt-core-0:6.9.4-200.fc40.*\nkernel-0:6.9.4-200.fc40.x86_64\n\
                        kernel-6.9.4-200.fc40.*\n!kernel-0:6.1.8-100.fc40.*\nbash-0:5.2-1.fc40.*\n\
                        kernel-old-0:6.1.7-100.fc40.*\nkernel-0:6.1.*";
        assert_eq!(in_list(text, &changes()).as_deref(), Some(expected));
        assert_eq!(in_list(expected, &changes()), None);
    }

    #[test]
    fn locks_of_dnf5_follow() {
        let lock = |name: &str, comparator: &str, evr: &str| {
            format!(
                "[[packages]]\nname = \"{name}\"\ncomment = \"Added by dnf\"\n\
                 [[packages.conditions]]\nkey = \"evr\"\ncomparator = \"{comparator}\"\nvalue = \"{evr}\"\n\n"
            )
        };
        let head = "version = \"1.0\"\n\n";
        let range = lock("kernel", "<", "6.1.7-100.fc40");
        let other = lock("bash", "=", "5.2-1.fc40");
        let text = format!(
            "{head}{}{range}{other}{}",
            lock("kernel-core", "=", "6.1.7-100.fc40"),
            lock("kernel", "=", "0:6.1.7-100.fc40")
        );
        let expected = format!(
            "{head}{}{range}{other}{}",
            lock("kernel-rt-core", "=", "6.9.4-200.fc40"),
            lock("kernel", "=", "0:6.9.4-200.fc40")
        );
        assert_eq!(in_toml(&text, &changes()), Some(expected.clone()));
        assert_eq!(in_toml(&expected, &changes()), None);
        assert_eq!(in_toml("name = \"", &changes()), None);
    }
}
