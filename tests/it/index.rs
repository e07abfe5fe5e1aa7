// SPDX-License-Identifier: MIT OR Apache-2.0
//! Creates depmod's index files for tests: `modules.dep.bin` and `modules.alias.bin`, from the text files without
//! `.bin`. The unit tests in `src/kernel` include this file, too.

/// Returns the content of `modules.dep.bin` for that of `modules.dep`.
pub fn dep(text: &str) -> Vec<u8> {
    index(text.lines().map(|line| {
        let path = line.split(':').next().unwrap();
        let file = path.rsplit('/').next().unwrap();
        let name = file.split(".ko").next().unwrap().replace('-', "_");
        (name, line.to_owned())
    }))
}

/// Returns the content of `modules.alias.bin` for that of `modules.alias`.
pub fn alias(text: &str) -> Vec<u8> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("alias "));
    index(lines.map(|line| {
        let (pattern, module) = line.rsplit_once(' ').unwrap();
        (pattern.to_owned(), module.to_owned())
    }))
}

fn index(entries: impl Iterator<Item = (String, String)>) -> Vec<u8> {
    let mut entries: Vec<_> = entries.collect();
    entries.sort();
    let mut out = [0xB007_F457_u32, 2 << 16 | 1, 0]
        .map(u32::to_be_bytes)
        .concat();
    let root = node(&mut out, &entries, 0);
    out[8..12].copy_from_slice(&root.to_be_bytes());
    out
}

/// Writes the node of these keys after its children, and returns the reference to the node. The keys are equal up to
/// `depth`; what they have in common after it becomes the node's prefix.
fn node(out: &mut Vec<u8>, entries: &[(String, String)], depth: usize) -> u32 {
    let (first, last) = match entries {
        [] => return u32::try_from(out.len()).unwrap(),
        [first, ..] => (&first.0, &entries[entries.len() - 1].0),
    };
    let both = first.bytes().zip(last.bytes()).skip(depth);
    let end = depth + both.take_while(|(a, b)| a == b).count();
    let (here, below): (Vec<_>, Vec<_>) = entries
        .iter()
        .cloned()
        .partition(|(key, _)| key.len() == end);
    let mut children = Vec::new();
    for some in below.chunk_by(|(a, _), (b, _)| a.as_bytes()[end] == b.as_bytes()[end]) {
        children.push((some[0].0.as_bytes()[end], node(out, some, end + 1)));
    }
    let mut reference = u32::try_from(out.len()).unwrap();
    if end > depth {
        reference |= 0x8000_0000;
        out.extend(&first.as_bytes()[depth..end]);
        out.push(0);
    }
    if let (Some((first, _)), Some((last, _))) = (children.first(), children.last()) {
        reference |= 0x2000_0000;
        out.extend([first, last]);
        for byte in *first..=*last {
            let child = children.iter().find(|(branch, _)| *branch == byte);
            out.extend(child.map_or(0, |(_, child)| *child).to_be_bytes());
        }
    }
    if !here.is_empty() {
        reference |= 0x4000_0000;
        out.extend(u32::try_from(here.len()).unwrap().to_be_bytes());
        for (_, value) in here {
            out.extend([0; 4]);
            out.extend(value.as_bytes());
            out.push(0);
        }
    }
    reference
}
