//! Data channels of one client.

use std::collections::HashMap;
use std::time::Instant;

use ::rtc::data_channel::{RTCDataChannelId, RTCDataChannelInit};
use ::rtc::peer_connection::RTCPeerConnection;
use bytes::{Bytes, BytesMut};

use super::backend;
use crate::transport::{Channel, TransportError};

/// Bytes a channel may hold for a client that does not take them.
const MAX_OUTSTANDING_RELIABLE: usize = 4 << 20;
const MAX_OUTSTANDING_LOSSY: usize = 64 << 10;

/// Messages kept for a channel that is about to open, some tens of milliseconds.
const MAX_EARLY: usize = 32;

/// Open channels, by what they are for.
#[derive(Default)]
pub(super) struct Channels {
    open: HashMap<Channel, RTCDataChannelId>,
    /// Reliable messages for a client whose channel is not open yet: others think it connected a little
    /// before.
    early: Vec<Bytes>,
    created: bool,
}

impl Channels {
    /// Makes the channels of the protocol, once, for a client that waits for them.
    pub(super) fn create(&mut self, connection: &mut RTCPeerConnection) -> Result<(), TransportError> {
        if std::mem::replace(&mut self.created, true) {
            return Ok(());
        }
        let lossy =
            RTCDataChannelInit { ordered: false, max_retransmits: Some(0), ..RTCDataChannelInit::default() };
        for (channel, options) in
            [(Channel::Reliable, RTCDataChannelInit::default()), (Channel::Lossy, lossy)]
        {
            let created = connection.create_data_channel(channel.label(), Some(options));
            created.map_err(backend("make a data channel"))?;
        }
        Ok(())
    }

    /// A channel is open.
    pub(super) fn open(&mut self, now: Instant, connection: &mut RTCPeerConnection, id: RTCDataChannelId) {
        let label = connection.data_channel(id).map(|channel| channel.label().to_owned());
        let Some(channel) = label.as_deref().and_then(Channel::from_label) else { return };
        self.open.insert(channel, id);
        if channel == Channel::Reliable {
            for message in std::mem::take(&mut self.early) {
                self.send(now, connection, channel, &message);
            }
        }
    }

    /// A channel is closed.
    pub(super) fn close(&mut self, id: RTCDataChannelId) {
        self.open.retain(|_, known| *known != id);
    }

    /// What a channel is for.
    pub(super) fn purpose(&self, id: RTCDataChannelId) -> Option<Channel> {
        self.open.iter().find(|(_, known)| **known == id).map(|(channel, _)| *channel)
    }

    /// Sends a message. `false` when the channel does not take it.
    pub(super) fn send(
        &mut self,
        now: Instant,
        connection: &mut RTCPeerConnection,
        channel: Channel,
        message: &Bytes,
    ) -> bool {
        let limit = match channel {
            Channel::Reliable => MAX_OUTSTANDING_RELIABLE,
            Channel::Lossy => MAX_OUTSTANDING_LOSSY,
        };
        let Some(mut handle) = self.open.get(&channel).and_then(|id| connection.data_channel(*id)) else {
            let keep = channel == Channel::Reliable && self.early.len() < MAX_EARLY;
            if keep {
                self.early.push(message.clone());
            }
            return keep;
        };
        let fits = handle.outstanding_bytes() + message.len() <= limit;
        fits && handle.send(now, BytesMut::from(&message[..])).is_ok()
    }
}
