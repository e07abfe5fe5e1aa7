// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hard links. The target can be in the same layer or in a lower layer, and can be hidden by a layer above.

use std::collections::HashMap;

use super::{LayerEntry, LayerTree, NodeId, NodeKind, NodeState, Placed};

/// Upper bound of the links from a link to its last target that are followed at once. A longer chain takes several steps.
const CHAIN_MAX: usize = 64;

/// A hard link whose target has not been read yet.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The link's node and the number of the link; `None` if a layer above hides the link.
    pub(super) node: Option<(NodeId, u32)>,
    pub(super) path: Vec<u8>,
    /// The link's layer.
    layer: u16,
}

/// The hard links that wait for their targets.
#[derive(Debug, Default)]
pub(super) struct WaitingLinks {
    /// The links of the layers above, by their targets.
    pub(super) above: HashMap<Vec<u8>, Vec<Waiting>>,
    /// The links of the current layer, by the last targets of chains of links.
    here: HashMap<Vec<u8>, Vec<Waiting>>,
    /// The last targets of the links of the current layer, by the paths of the links.
    targets: HashMap<Vec<u8>, Vec<u8>>,
}

impl WaitingLinks {
    /// Begins the next layer.
    pub(super) fn begin(&mut self) {
        self.targets.clear();
        for (target, links) in std::mem::take(&mut self.here) {
            self.above.entry(target).or_default().extend(links);
        }
    }

    /// Adds a link with this target. If the target is a link of the current layer that waits, the link waits for the
    /// target of that link. The links of the current layer that wait for this link then wait for the same target.
    fn add(&mut self, link: Waiting, target: &Vec<u8>) {
        let mut target = target;
        for _ in 0..CHAIN_MAX {
            match self.targets.get(target) {
                Some(next) => target = next,
                None => break,
            }
        }
        let target = target.clone();
        self.targets.insert(link.path.clone(), target.clone());
        let mut links = self.here.remove(&link.path).unwrap_or_default();
        links.push(link);
        let waiting = self.here.entry(target).or_default();
        // The shorter list is moved, so that long chains take little time.
        if waiting.len() < links.len() {
            std::mem::swap(waiting, &mut links);
        }
        waiting.extend(links);
    }

    fn take(&mut self, path: &[u8]) -> Vec<Waiting> {
        let mut links = self.above.remove(path).unwrap_or_default();
        links.extend(self.here.remove(path).unwrap_or_default());
        links
    }
}

impl LayerTree {
    /// Makes `node` another name of a hard link's target, or records that `node` waits for the target.
    pub(super) fn link(&mut self, node: NodeId, entry: &LayerEntry) -> Placed {
        let found = self.of_this_layer(&entry.target);
        if let Some(inode) = found {
            self.nodes[node as usize].state = NodeState::Is(inode);
            return Placed {
                is_visible: true,
                names: self.resolve_waiting(&entry.path, inode),
                leads_to: Some(inode),
                inode: None,
            };
        }
        let number = self.links;
        self.links += 1;
        self.nodes[node as usize].state = NodeState::Pending(number);
        self.wait(Some((node, number)), entry);
        Placed {
            is_visible: true,
            ..Placed::default()
        }
    }

    /// Records that a link waits for its target.
    fn wait(&mut self, node: Option<(NodeId, u32)>, entry: &LayerEntry) {
        let link = Waiting {
            node,
            path: entry.path.clone(),
            layer: self.layer,
        };
        self.waiting.add(link, &entry.target);
    }

    /// Returns the inode of the current layer's entry at `path`, even if a layer above hides the entry; `None` for a
    /// directory, and if the entry has not been read or is a hard link whose target has not been read.
    fn of_this_layer(&self, path: &[u8]) -> Option<u32> {
        let mut here = Self::ROOT;
        for part in path.split(|&byte| byte == b'/') {
            match self.child(here, part) {
                Some(node) => here = node,
                None => return self.hidden.get(path).copied(),
            }
        }
        let inode = self.inode_of(here)?;
        let is_own = self.nodes[here as usize].layer == self.layer;
        if is_own && self.inodes[inode as usize].kind != NodeKind::Dir {
            Some(inode)
        } else {
            self.hidden.get(path).copied()
        }
    }

    /// Records an entry that a layer above hides, since hard links can lead to this entry.
    pub(super) fn hide(&mut self, entry: &LayerEntry) -> Placed {
        if entry.kind == NodeKind::Dir {
            return Placed::default();
        }
        if entry.kind == NodeKind::HardLink {
            if let Some(inode) = self.of_this_layer(&entry.target) {
                self.hidden.insert(entry.path.clone(), inode);
                let names = self.resolve_waiting(&entry.path, inode);
                return Placed {
                    leads_to: (!names.is_empty()).then_some(inode),
                    names,
                    ..Placed::default()
                };
            }
            self.wait(None, entry);
            return Placed::default();
        }
        let inode = self.inode_from(entry);
        self.hidden.insert(entry.path.clone(), inode);
        let names = self.resolve_waiting(&entry.path, inode);
        Placed {
            inode: (entry.kind == NodeKind::File).then_some(inode),
            is_visible: false,
            names,
            leads_to: None,
        }
    }

    /// Gives `inode` to the hard links that wait for the target `path`, and to links to them. Returns the paths of those
    /// links that no layer above hides.
    pub(super) fn resolve_waiting(&mut self, path: &[u8], inode: u32) -> Vec<Vec<u8>> {
        let mut names = Vec::new();
        // A layer can have a chain of links of any length, so this does not recurse.
        let mut todo = self.waiting.take(path);
        while let Some(link) = todo.pop() {
            let Some((node, number)) = link.node else {
                todo.extend(self.waiting.take(&link.path));
                if link.layer == self.layer {
                    self.hidden.insert(link.path, inode);
                }
                continue;
            };
            let node = &mut self.nodes[node as usize];
            if node.state == NodeState::Pending(number) {
                node.state = NodeState::Is(inode);
                // Links to this link wait, too.
                todo.extend(self.waiting.take(&link.path));
                names.push(link.path);
            }
        }
        names
    }
}
