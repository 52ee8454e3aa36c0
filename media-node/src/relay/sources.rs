//! Tracks published here, as other nodes receive them.

use std::collections::{BTreeSet, HashMap};

use super::datagram::{is_track, number, track_and_layer};
use super::meeting::NodeName;
use super::repair::Kept;
use crate::room::SessionId;
use crate::transport::{Layer, Mid};

/// One track.
#[derive(Debug)]
pub(super) struct Source {
    /// Its number, never given twice while the process lives.
    pub id: u32,
    layers: [SourceLayer; 3],
}

/// One layer of a track.
#[derive(Debug, Default)]
pub(super) struct SourceLayer {
    /// Nodes that want its packets.
    pub receivers: BTreeSet<NodeName>,
    /// Its last packets, while anybody wants them.
    pub kept: Kept,
}

/// What follows when other nodes want something else than before.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// Layers of which a keyframe should be asked for.
    pub keyframes: Vec<(SessionId, Mid, Layer)>,
    /// The largest layers that are wanted now.
    pub most: Vec<(SessionId, Mid, Option<Layer>)>,
}

/// All tracks that others may receive.
#[derive(Debug, Default)]
pub(super) struct Sources {
    sources: HashMap<(SessionId, Mid), Source>,
    by_id: HashMap<u32, (SessionId, Mid)>,
    last_id: u32,
}

impl Sources {
    /// What can be received from now on.
    pub(super) fn set(&mut self, tracks: impl Iterator<Item = (SessionId, Mid)>) {
        let mut old = std::mem::take(&mut self.sources);
        for track in tracks {
            let source = old.remove(&track).or_else(|| {
                // Spent after a thousand million tracks: the node is then one without a relay.
                self.last_id = self.last_id.checked_add(1).filter(|id| is_track(*id))?;
                Some(Source { id: self.last_id, layers: Default::default() })
            });
            self.sources.extend(source.map(|source| (track, source)));
        }
        self.by_id = self.sources.iter().map(|(track, source)| (source.id, *track)).collect();
    }

    /// A track's number.
    pub(super) fn id(&self, session: SessionId, mid: Mid) -> Option<u32> {
        self.sources.get(&(session, mid)).map(|source| source.id)
    }

    /// A layer that some node wants, and the number of its track.
    pub(super) fn wanted(
        &mut self,
        session: SessionId,
        mid: Mid,
        layer: Layer,
    ) -> Option<(u32, &mut SourceLayer)> {
        let source = self.sources.get_mut(&(session, mid))?;
        let wanted = &mut source.layers[layer.index()];
        (!wanted.receivers.is_empty()).then_some((source.id, wanted))
    }

    /// A layer by its number.
    pub(super) fn by_number(&self, number: u32) -> Option<&SourceLayer> {
        let (track, layer) = track_and_layer(number)?;
        self.sources.get(self.by_id.get(&track)?).map(|source| &source.layers[layer.index()])
    }

    /// A node wants these layers and no others, and needs keyframes of some.
    pub(super) fn receive(
        &mut self,
        node: &NodeName,
        wanted: &BTreeSet<u32>,
        keyframes: &BTreeSet<u32>,
    ) -> Change {
        let mut change = Change::default();
        for ((session, mid), source) in &mut self.sources {
            let before = source.most();
            for layer in Layer::ALL {
                let number = number(source.id, layer);
                let known = &mut source.layers[layer.index()];
                if wanted.contains(&number) {
                    let is_new = known.receivers.insert(node.clone());
                    if is_new || keyframes.contains(&number) {
                        change.keyframes.push((*session, *mid, layer));
                    }
                } else if known.receivers.remove(node) && known.receivers.is_empty() {
                    known.kept.clear();
                }
            }
            if source.most() != before {
                change.most.push((*session, *mid, source.most()));
            }
        }
        change
    }
}

impl Source {
    fn most(&self) -> Option<Layer> {
        Layer::ALL.into_iter().rev().find(|layer| !self.layers[layer.index()].receivers.is_empty())
    }
}
