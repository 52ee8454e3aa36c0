//! What nodes say to each other about rooms, on the ordered stream of a link.
//!
//! Almost all of it is state, whole, said again and again: whatever is lost or out of date is mended by the next
//! [`Beat`]. Nodes of two releases speak to each other, so fields are only ever added (protobuf).

use livekit_protocol as proto;
use prost::Message as _;

/// Longest message: a full room whose people set all the attributes they may, twice over.
pub const MAX_MESSAGE_BYTES: usize = 1 << 20;

/// One message.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Envelope {
    /// What it says; none: something of a newer release.
    #[prost(oneof = "Word", tags = "1, 2, 3, 4, 5, 6")]
    pub word: Option<Word>,
}

/// Kinds of message.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Word {
    /// First on every link.
    #[prost(message, tag = "1")]
    Hello(Hello),
    /// I am here, and this is how things stand between us.
    #[prost(message, tag = "2")]
    Beat(Beat),
    /// A room's people at the sender.
    #[prost(message, tag = "3")]
    State(State),
    /// Tell me a room's state.
    #[prost(message, tag = "4")]
    Want(Want),
    /// A data packet for people of a room.
    #[prost(message, tag = "5")]
    Data(Data),
    /// A datagram that is too long for the path.
    #[prost(bytes = "bytes", tag = "6")]
    Long(bytes::Bytes),
}

/// Who the sender is, its certificate says. A process that started anew knows nothing of before.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Hello {
    /// Random, of this process.
    #[prost(fixed64, tag = "1")]
    pub life: u64,
}

/// All that is between sender and receiver, as of now.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Beat {
    /// Version of the node list that the sender reckons with.
    #[prost(uint64, tag = "1")]
    pub generation: u64,
    /// Rooms that the sender has people in, for the receiver to remember for [`super::directory::LEASE`].
    #[prost(string, repeated, tag = "2")]
    pub leases: Vec<String>,
    /// Who meets in rooms that the receiver has registered with the sender.
    #[prost(message, repeated, tag = "3")]
    pub meetings: Vec<Meeting>,
    /// Rooms that the sender has people in and believes the receiver has too.
    #[prost(message, repeated, tag = "4")]
    pub held: Vec<Held>,
    /// Layers of the receiver's tracks that the sender wants packets of, by their numbers in datagrams.
    #[prost(uint32, repeated, tag = "5")]
    pub receives: Vec<u32>,
    /// Of those, the ones that it cannot decode without a keyframe.
    #[prost(uint32, repeated, tag = "6")]
    pub keyframes: Vec<u32>,
    /// Number of the last data packet that arrived in order.
    #[prost(uint64, tag = "7")]
    pub delivered: u64,
}

/// Nodes of one room.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Meeting {
    /// The room.
    #[prost(string, tag = "1")]
    pub room: String,
    /// Their names.
    #[prost(string, repeated, tag = "2")]
    pub nodes: Vec<String>,
}

/// A room as the sender has it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Held {
    /// The room.
    #[prost(string, tag = "1")]
    pub room: String,
    /// Grows with each change of what [`State`] says.
    #[prost(uint64, tag = "2")]
    pub revision: u64,
}

/// A room's people at the sender, all of them.
#[derive(Clone, PartialEq, prost::Message)]
pub struct State {
    /// The room.
    #[prost(string, tag = "1")]
    pub room: String,
    /// As in [`Held`].
    #[prost(uint64, tag = "2")]
    pub revision: u64,
    /// Its people.
    #[prost(message, repeated, tag = "3")]
    pub people: Vec<Person>,
}

/// Somebody in a room.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Person {
    /// As clients are told.
    #[prost(message, optional, tag = "1")]
    pub info: Option<proto::ParticipantInfo>,
    /// Of two stays of one identity the one with the greater number is the newer one.
    #[prost(uint64, tag = "2")]
    pub stay: u64,
    /// Tracks of `info` that can be received.
    #[prost(message, repeated, tag = "3")]
    pub tracks: Vec<Track>,
}

/// A track that can be received.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Track {
    /// Its id in `info`.
    #[prost(string, tag = "1")]
    pub sid: String,
    /// Its number in the sender's process; see [`super::datagram::number`].
    #[prost(uint32, tag = "2")]
    pub id: u32,
}

/// Asks for a room's [`State`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Want {
    /// The room.
    #[prost(string, tag = "1")]
    pub room: String,
}

/// A reliable data packet.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Data {
    /// Counts the packets from the sender to the receiver, from 1.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// The oldest that the sender still has: what is older and missing will never come.
    #[prost(uint64, tag = "2")]
    pub oldest: u64,
    /// The packet.
    #[prost(message, optional, tag = "3")]
    pub packet: Option<RoomData>,
}

/// A data packet for people of a room.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RoomData {
    /// The room.
    #[prost(string, tag = "1")]
    pub room: String,
    /// `DataPacket` of the LiveKit protocol, with its sender in it.
    #[prost(bytes = "bytes", tag = "2")]
    pub message: bytes::Bytes,
    /// Identities it is meant for; empty: everybody.
    #[prost(string, repeated, tag = "3")]
    pub destinations: Vec<String>,
}

impl Envelope {
    /// A message to send. `None` when it is longer than may be.
    #[must_use]
    pub fn encode(word: Word) -> Option<bytes::Bytes> {
        let bytes = Self { word: Some(word) }.encode_to_vec();
        (bytes.len() <= MAX_MESSAGE_BYTES).then(|| bytes.into())
    }

    /// What was said. `None` when it is nothing that this release understands.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Word> {
        Self::decode(bytes).ok()?.word
    }
}
