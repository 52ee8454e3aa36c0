//! Whether a public endpoint answers: one request on a connection of its own, as somebody new would send it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use super::Miss;
use super::address::Url;
use crate::health::Reason;

/// Longest answer that is read.
const ANSWER_BYTES: u64 = 64 << 10;

/// What is asked of a node.
pub(super) struct Question<'a> {
    /// Where the node says that it is.
    pub(super) url: &'a Url,
    /// Path to ask for.
    pub(super) path: &'a str,
    /// The address of this machine to ask from.
    pub(super) own: Option<IpAddr>,
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Question<'_> {
    /// Asks at `to`. The caller bounds the time.
    pub(super) async fn ask(&self, to: SocketAddr, tls: &Arc<rustls::ClientConfig>) -> Result<Answer, Miss> {
        let stream = connect(self.own, to).await.map_err(|error| missed(&error))?;
        if !self.url.is_tls {
            return self.exchange(stream).await;
        }
        let name = ServerName::try_from(self.url.host.clone()).map_err(|_| Miss(Reason::Unresolved))?;
        let secured = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
        self.exchange(secured.map_err(|error| missed(&error))?).await
    }

    async fn exchange(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<Answer, Miss> {
        let head = format!(
            "GET {} HTTP/1.1\r\nhost: {}\r\nuser-agent: locum-probe\r\nconnection: close\r\n\r\n",
            self.path,
            self.url.authority()
        );
        let mut answer = Vec::new();
        let exchanged = async {
            stream.write_all(head.as_bytes()).await?;
            stream.flush().await?;
            stream.take(ANSWER_BYTES).read_to_end(&mut answer).await
        };
        match exchanged.await {
            // A peer that closes without a word of TLS has answered all the same.
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(missed(&error)),
            _ => parse(&answer).ok_or(Miss(Reason::Wrong)),
        }
    }
}

async fn connect(own: Option<IpAddr>, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(own) = own.filter(|own| own.is_ipv4() == to.is_ipv4()) {
        socket.bind(SocketAddr::new(own, 0))?;
    }
    socket.connect(to).await
}

fn missed(error: &io::Error) -> Miss {
    let is_tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
    Miss(match error.kind() {
        _ if is_tls => Reason::Untrusted,
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => Reason::Refused,
        io::ErrorKind::TimedOut => Reason::Silent,
        _ => Reason::Wrong,
    })
}

/// Status and body; a body in chunks is put together (RFC 9112 §7.1).
fn parse(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let is_chunked = lines.any(|line| line.eq_ignore_ascii_case("transfer-encoding: chunked"));
    let body = &answer[end + 4..];
    let body = if is_chunked { unchunked(body)? } else { body.to_vec() };
    Some(Answer { status, body })
}

fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|bytes| bytes == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..end]).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        rest = &rest[end + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_whole_or_in_chunks() {
        let plain = parse(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
        assert_eq!((plain.status, plain.body.as_slice()), (200, &b"{}"[..]));
        let chunked =
            b"HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n3;x\r\nabc\r\n0\r\n\r\n";
        let chunked = parse(chunked).unwrap();
        assert_eq!((chunked.status, chunked.body.as_slice()), (401, &b"{}abc"[..]));
        for bad in [
            &b"HTTP/1.1 200 OK\r\n"[..],
            b"SSH-2.0-OpenSSH\r\n\r\n",
            b"HTTP/1.1 2\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        ] {
            assert!(parse(bad).is_none(), "{bad:?}");
        }
    }
}
