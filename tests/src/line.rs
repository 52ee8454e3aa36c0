//! A line between two programs, which a test cuts, or holds at a request.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Connections to one service, in plain HTTP.
pub struct Line {
    address: SocketAddr,
    state: Arc<watch::Sender<State>>,
    listening: JoinHandle<()>,
}

#[derive(Clone, Debug, Default)]
struct State {
    is_cut: bool,
    /// A request that holds this text in what comes first of it does not get through, nor anything after it.
    hold_at: Option<Vec<u8>>,
    is_holding: bool,
}

impl Line {
    /// Everything passes.
    pub(crate) async fn open(to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, state) = (listener.local_addr()?, Arc::new(watch::Sender::new(State::default())));
        let of_line = Arc::clone(&state);
        let listening = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, to, Arc::clone(&of_line)));
            }
        });
        Ok(Self { address, state, listening })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What is open ends, and whoever comes is turned away.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.is_cut = true);
    }

    /// Everything passes again; what was held is gone with its connection.
    pub fn mend(&self) {
        self.state.send_replace(State::default());
    }

    /// Holds at the next request that has `text` in its first line or headers: half of it gets through.
    pub fn hold_at(&self, text: &str) {
        let hold_at = Some(text.as_bytes().to_vec());
        self.state.send_replace(State { hold_at, ..State::default() });
    }

    /// Returns once a request is held.
    pub async fn until_held(&self) {
        // The sender is ours: it does not go.
        let _ = self.state.subscribe().wait_for(|state| state.is_holding).await;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn carry(near: TcpStream, to: SocketAddr, line: Arc<watch::Sender<State>>) {
    let mut state = line.subscribe();
    if state.borrow().is_cut {
        return;
    }
    let Ok(far) = TcpStream::connect(to).await else { return };
    let (mut from_near, mut to_near) = near.into_split();
    let (mut from_far, mut to_far) = far.into_split();
    let there = async {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from_near.read(&mut buffer).await {
            let bytes = buffer.get(..length).unwrap_or_default();
            let held = line.borrow().hold_at.clone();
            if held.is_some_and(|text| bytes.windows(text.len()).any(|part| part == text)) {
                let _ = to_far.write_all(bytes.get(..length / 2).unwrap_or_default()).await;
                line.send_modify(|state| state.is_holding = true);
                let _ = line.subscribe().wait_for(|state| state.hold_at.is_none()).await;
                return;
            }
            if to_far.write_all(bytes).await.is_err() {
                return;
            }
        }
    };
    let back = async {
        // Its end is the connection's.
        let _ = tokio::io::copy(&mut from_far, &mut to_near).await;
    };
    tokio::select! {
        () = there => {}
        () = back => {}
        _ = state.wait_for(|state| state.is_cut) => {}
    }
}
