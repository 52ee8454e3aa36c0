//! A link between hosts that are far apart.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::store::replicated::ByteStream;

/// Pieces on their way; far more than ever are.
const QUEUE: usize = 4_096;

/// What goes into one end comes out of the other that much later, in order.
pub(super) fn both_ways(stream: impl ByteStream + 'static, delay: Duration) -> Box<dyn ByteStream> {
    if delay.is_zero() {
        return Box::new(stream);
    }
    let (near, far) = tokio::io::duplex(1 << 20);
    let ((near_read, near_write), (far_read, far_write)) = (tokio::io::split(stream), tokio::io::split(far));
    tokio::spawn(one_way(near_read, far_write, delay));
    tokio::spawn(one_way(far_read, near_write, delay));
    Box::new(near)
}

async fn one_way(
    mut from: impl AsyncRead + Send + Unpin + 'static,
    mut to: impl AsyncWrite + Unpin,
    delay: Duration,
) {
    let (sender, mut on_its_way) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            if sender.send((Instant::now() + delay, buffer[..length].to_vec())).await.is_err() {
                break;
            }
        }
    });
    while let Some((due, bytes)) = on_its_way.recv().await {
        tokio::time::sleep_until(due).await;
        if to.write_all(&bytes).await.is_err() {
            break;
        }
    }
    // Whoever is gone need not be told.
    let _ = to.shutdown().await;
}
