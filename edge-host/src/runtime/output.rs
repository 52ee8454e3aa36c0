//! What a function prints is counted and dropped: a panic's text could hold health data.

use std::pin::Pin;
use std::task::{Context, Poll};

use metrics::Counter;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

#[derive(Clone)]
pub(super) struct CountedOutput(Counter);

impl CountedOutput {
    pub(super) fn new(component: &str) -> Self {
        Self(metrics::counter!("locum_edge_function_output_bytes_total", "component" => component.to_owned()))
    }
}

impl IsTerminal for CountedOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for CountedOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for CountedOutput {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.0.increment(bytes.len() as u64);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
