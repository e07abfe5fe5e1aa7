// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tree that the layers of an image make together, merged as by overlayfs.
//!
//! Layers are added from the top down. Thus the first added layer with a name wins, and whether a file is visible is
//! known when its bytes are streamed. Paths of entries are not resolved: a link in one layer is not followed for
//! entries of another.

mod links;

use std::collections::{BTreeMap, HashMap};

use self::links::WaitingLinks;
use super::error::OciError;
use super::limits::ImageLimits;
use super::tar::{LayerEntry, Metadata, NodeKind};

/// The number of a name (a directory entry) in the tree.
pub type NodeId = u32;

/// The value of `LayerNode::sealed` if no layer seals the directory.
const OPEN: u16 = u16::MAX;

/// The prefix of the name of a whiteout, an entry that removes a name of the layers below.
const WHITEOUT: &[u8] = b".wh.";

/// The prefix of names with a special meaning. Other than [`OPAQUE`], they are ignored.
const SPECIAL: &[u8] = b".wh..wh.";

/// The name of an entry that hides what the layers below have in its directory.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// A file, directory, symbolic link, device or FIFO. It can have several names.
#[derive(Debug, Clone)]
pub struct Inode {
    /// The type; never [`NodeKind::HardLink`].
    pub kind: NodeKind,
    /// Its metadata.
    pub meta: Metadata,
    /// The number of visible names.
    pub names: u32,
    /// The target of a symbolic link; otherwise empty.
    pub target: Box<[u8]>,
    /// The layer of the entry, counted from the top, from 0.
    pub layer: u16,
    /// The number of the entry in the layer, from 0; also 0 for a directory without an entry.
    pub entry: u32,
    /// SHA-256 of the bytes, if it is known.
    pub sha256: Option<Box<[u8; 32]>>,
}

/// The object that a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NodeState {
    /// The number of an inode.
    Is(u32),
    /// A hard link whose target has not been read yet; the number of the link.
    Pending(u32),
    /// Nothing: a layer removed it.
    Removed,
}

#[derive(Debug)]
struct LayerNode {
    state: NodeState,
    layer: u16,
    /// The number of a layer: what the layers below it have in the directory is not visible. [`OPEN`] if there is none.
    sealed: u16,
    /// Whether no layer so far has an entry for the directory itself.
    implied: bool,
    children: Option<BTreeMap<Box<[u8]>, NodeId>>,
}

/// The result of adding an entry.
#[derive(Debug, Default)]
pub struct Placed {
    /// The inode of a file whose bytes follow; `None` for other entries.
    pub inode: Option<u32>,
    /// Whether the path is visible in the tree.
    pub is_visible: bool,
    /// Other paths of the file: hard links that were read before it.
    pub names: Vec<Vec<u8>>,
    /// The inode that a hard link leads to, if the inode is known and the link or one of `names` is visible.
    pub leads_to: Option<u32>,
}

/// The merged tree.
#[derive(Debug)]
pub struct LayerTree {
    nodes: Vec<LayerNode>,
    inodes: Vec<Inode>,
    limits: ImageLimits,
    entries: u64,
    name_bytes: u64,
    layer: u16,
    /// The inodes of the current layer's entries that layers above hide, by path; without directories. Hard links of
    /// the layer can lead to them.
    hidden: HashMap<Vec<u8>, u32>,
    waiting: WaitingLinks,
    links: u32,
}

impl LayerTree {
    /// The root directory.
    pub const ROOT: NodeId = 0;

    /// Creates an empty tree.
    pub fn new(limits: &ImageLimits) -> Self {
        let mut tree = Self {
            nodes: Vec::new(),
            inodes: Vec::new(),
            limits: limits.clone(),
            entries: 0,
            name_bytes: 0,
            layer: 0,
            hidden: HashMap::new(),
            waiting: WaitingLinks::default(),
            links: 0,
        };
        tree.directory(true);
        tree
    }

    /// Begins layer `number`; layer 0 is the topmost.
    ///
    /// # Errors
    /// When there are too many layers.
    pub fn begin(&mut self, number: usize) -> Result<(), OciError> {
        let is_allowed = number < self.limits.layers;
        let number = u16::try_from(number)
            .ok()
            .filter(|it| is_allowed && *it < OPEN);
        self.layer = number.ok_or(OciError::Limit {
            name: "layers",
            value: self.limits.layers as u64,
        })?;
        self.hidden.clear();
        self.waiting.begin();
        Ok(())
    }

    /// Adds an entry of the current layer.
    ///
    /// # Errors
    /// When the entry is hostile or a limit is exceeded.
    pub fn add(&mut self, entry: &LayerEntry) -> Result<Placed, OciError> {
        self.charge(entry)?;
        let (dir, name) = match entry.path.iter().rposition(|&byte| byte == b'/') {
            Some(at) => (&entry.path[..at], &entry.path[at + 1..]),
            None => (&[][..], entry.path.as_slice()),
        };
        if name == OPAQUE {
            if let Some(dir) = self.enter(dir, entry)? {
                self.seal(dir);
            }
            return Ok(Placed::default());
        }
        if name.starts_with(SPECIAL) {
            return Ok(Placed::default());
        }
        if let Some(name) = name.strip_prefix(WHITEOUT) {
            if name.is_empty() || name == b"." || name == b".." {
                return Err(OciError::entry(
                    &entry.path,
                    "it is a whiteout without a name",
                ));
            }
            if let Some(dir) = self.enter(dir, entry)? {
                self.remove(dir, name);
            }
            return Ok(Placed::default());
        }
        if entry.path.is_empty() {
            let root = &self.nodes[Self::ROOT as usize];
            let is_first = root.implied || root.layer == self.layer;
            return Ok(if is_first && entry.kind == NodeKind::Dir {
                self.nodes[Self::ROOT as usize].layer = self.layer;
                self.place(Self::ROOT, entry)
            } else {
                Placed::default()
            });
        }
        match self.enter(dir, entry)? {
            Some(dir) => Ok(self.name(dir, name, entry)),
            None => Ok(self.hide(entry)),
        }
    }

    /// Completes the tree after the last layer, and counts the names of each inode.
    ///
    /// # Errors
    /// When no layer has the target of a visible hard link.
    pub fn finish(&mut self) -> Result<(), OciError> {
        self.hidden = HashMap::new();
        self.waiting.begin();
        for (target, waiting) in std::mem::take(&mut self.waiting).above {
            for link in waiting {
                let is_pending = |(node, number): (NodeId, u32)| {
                    self.nodes[node as usize].state == NodeState::Pending(number)
                };
                if link.node.is_some_and(is_pending) {
                    let target = target.escape_ascii();
                    let why = format!("it is a hard link to {target}, which no layer has");
                    return Err(OciError::entry(&link.path, why));
                }
            }
        }
        for number in 0..self.nodes.len() {
            if let NodeState::Is(inode) = self.nodes[number].state {
                let names = &mut self.inodes[inode as usize].names;
                *names = names.saturating_add(1);
            }
        }
        Ok(())
    }

    /// Records the digest of a file.
    pub fn set_sha256(&mut self, inode: u32, sha256: [u8; 32]) {
        if let Some(inode) = self.inodes.get_mut(inode as usize) {
            inode.sha256 = Some(Box::new(sha256));
        }
    }

    /// Returns the inode with this number.
    pub fn inode(&self, number: u32) -> &Inode {
        &self.inodes[number as usize]
    }

    /// Returns the inode of a name; `None` if the name was removed, or is a hard link whose target has not been read.
    pub fn inode_of(&self, node: NodeId) -> Option<u32> {
        match self.nodes[node as usize].state {
            NodeState::Is(inode) => Some(inode),
            NodeState::Pending(_) | NodeState::Removed => None,
        }
    }

    /// Returns the visible names in a directory, sorted.
    pub fn children(&self, dir: NodeId) -> impl Iterator<Item = (&[u8], NodeId)> {
        let children = self.nodes[dir as usize].children.iter();
        let children = children.flat_map(|it| it.iter());
        let visible = children.filter(|(_, node)| self.inode_of(**node).is_some());
        visible.map(|(name, node)| (name.as_ref(), *node))
    }

    /// Returns a visible name in a directory; `None` if there is none.
    pub fn child(&self, dir: NodeId, name: &[u8]) -> Option<NodeId> {
        let node = *self.nodes[dir as usize].children.as_ref()?.get(name)?;
        self.inode_of(node).map(|_| node)
    }

    fn charge(&mut self, entry: &LayerEntry) -> Result<(), OciError> {
        self.entries += 1;
        self.name_bytes += (entry.path.len() + entry.target.len()) as u64;
        for (name, value, limit) in [
            ("entries", self.entries, self.limits.entries),
            ("name_bytes", self.name_bytes, self.limits.name_bytes),
        ] {
            if value > limit {
                return Err(OciError::Limit { name, value: limit });
            }
        }
        Ok(())
    }

    /// Creates a directory for which no layer so far has an entry.
    fn directory(&mut self, implied: bool) -> NodeId {
        let inode = self.inodes.len() as u32;
        self.inodes.push(Inode {
            kind: NodeKind::Dir,
            meta: Metadata {
                mode: 0o755,
                uid: 0,
                gid: 0,
                mtime: 0,
                size: 0,
            },
            names: 0,
            target: Box::default(),
            layer: self.layer,
            entry: 0,
            sha256: None,
        });
        self.node(NodeState::Is(inode), implied)
    }

    fn node(&mut self, state: NodeState, implied: bool) -> NodeId {
        self.nodes.push(LayerNode {
            state,
            layer: self.layer,
            sealed: OPEN,
            implied,
            children: None,
        });
        (self.nodes.len() - 1) as NodeId
    }

    fn is_dir(&self, node: NodeId) -> bool {
        let inode = self.inode_of(node);
        inode.is_some_and(|inode| self.inodes[inode as usize].kind == NodeKind::Dir)
    }

    fn seal(&mut self, dir: NodeId) {
        let sealed = &mut self.nodes[dir as usize].sealed;
        *sealed = (*sealed).min(self.layer);
    }

    /// Returns the directory `dir` of an entry, and creates missing directories on the path; `None` if a layer above
    /// hides the directory.
    fn enter(&mut self, dir: &[u8], entry: &LayerEntry) -> Result<Option<NodeId>, OciError> {
        let mut here = Self::ROOT;
        let is_hidden = |tree: &Self, dir: NodeId| tree.nodes[dir as usize].sealed < tree.layer;
        for part in dir
            .split(|&byte| byte == b'/')
            .filter(|part| !part.is_empty())
        {
            if is_hidden(self, here) {
                return Ok(None);
            }
            let known = self.nodes[here as usize].children.as_ref();
            let known = known.and_then(|it| it.get(part)).copied();
            here = match known {
                Some(node) if self.is_dir(node) => node,
                Some(node) => {
                    let is_own = self.nodes[node as usize].layer == self.layer;
                    match (is_own, self.nodes[node as usize].state) {
                        (true, NodeState::Removed) => self.replace(here, part),
                        (true, _) => {
                            return Err(OciError::entry(
                                &entry.path,
                                "it is below a file or a link of the same layer",
                            ));
                        }
                        (false, _) => return Ok(None),
                    }
                }
                None => {
                    let node = self.directory(true);
                    self.insert(here, part, node);
                    node
                }
            };
        }
        Ok((!is_hidden(self, here)).then_some(here))
    }

    /// Replaces a whiteout of the current layer with a directory.
    fn replace(&mut self, dir: NodeId, name: &[u8]) -> NodeId {
        let node = self.directory(true);
        self.seal(node);
        self.insert(dir, name, node);
        node
    }

    fn insert(&mut self, dir: NodeId, name: &[u8], node: NodeId) {
        let children = &mut self.nodes[dir as usize].children;
        let children = children.get_or_insert_default();
        children.insert(name.into(), node);
    }

    /// Applies a whiteout: hides what the layers below have under this name in the directory `dir`.
    fn remove(&mut self, dir: NodeId, name: &[u8]) {
        let known = self.nodes[dir as usize].children.as_ref();
        match known.and_then(|it| it.get(name)).copied() {
            Some(node) => self.seal(node),
            None => {
                let node = self.node(NodeState::Removed, false);
                self.insert(dir, name, node);
            }
        }
    }

    /// Adds an entry to a directory, unless a layer above hides the entry.
    fn name(&mut self, dir: NodeId, name: &[u8], entry: &LayerEntry) -> Placed {
        let known = self.nodes[dir as usize].children.as_ref();
        let Some(node) = known.and_then(|it| it.get(name)).copied() else {
            let node = self.node(NodeState::Removed, false);
            self.insert(dir, name, node);
            return self.place(node, entry);
        };
        let is_own = self.nodes[node as usize].layer == self.layer;
        let was_removed = self.nodes[node as usize].state == NodeState::Removed;
        if is_own {
            if entry.kind != NodeKind::Dir {
                self.nodes[node as usize].children = None;
            }
            if was_removed {
                self.seal(node);
            }
            return self.place(node, entry);
        }
        if entry.kind == NodeKind::Dir && self.is_dir(node) {
            if self.nodes[node as usize].implied && self.nodes[node as usize].sealed >= self.layer {
                return self.place(node, entry);
            }
            return Placed::default();
        }
        // A layer above has a directory here, and this layer has another type. So directories of the layers below this
        // layer are not merged into the directory.
        if entry.kind != NodeKind::Dir && self.is_dir(node) {
            self.seal(node);
        }
        self.hide(entry)
    }

    /// Makes `node` a name of the entry's file, directory or link.
    fn place(&mut self, node: NodeId, entry: &LayerEntry) -> Placed {
        if entry.kind == NodeKind::HardLink {
            return self.link(node, entry);
        }
        let inode = self.inode_from(entry);
        self.nodes[node as usize].state = NodeState::Is(inode);
        self.nodes[node as usize].implied = false;
        Placed {
            inode: (entry.kind == NodeKind::File).then_some(inode),
            is_visible: true,
            names: self.resolve_waiting(&entry.path, inode),
            leads_to: None,
        }
    }

    fn inode_from(&mut self, entry: &LayerEntry) -> u32 {
        let size = match entry.kind {
            NodeKind::File => entry.meta.size,
            NodeKind::Symlink => entry.target.len() as u64,
            _ => 0,
        };
        self.inodes.push(Inode {
            kind: entry.kind,
            meta: Metadata { size, ..entry.meta },
            names: 0,
            target: if entry.kind == NodeKind::Symlink {
                entry.target.as_slice().into()
            } else {
                Box::default()
            },
            layer: self.layer,
            entry: entry.number,
            sha256: None,
        });
        (self.inodes.len() - 1) as u32
    }
}

#[cfg(test)]
mod tests;
