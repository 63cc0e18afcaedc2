//! What a client hears that speaks no TLS where TLS is spoken.

use std::{io, time::Duration};

use tokio::{io::AsyncWriteExt as _, net::TcpStream, time};

/// First byte of a TLS record with a handshake.
const HANDSHAKE: u8 = 0x16;
/// Beginning of every HTTP/2 connection.
const PREFACE: &[u8] = b"PRI * HTTP/2.0";
/// To an HTTP/1 client.
const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 28\r\n\
    connection: close\r\n\r\nthis port speaks HTTPS only\n";
/// To an HTTP/2 client: SETTINGS, and GOAWAY with `INADEQUATE_SECURITY` (12).
const GOAWAY: &[u8] = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\
    \x00\x00\x21\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0cthis port speaks TLS only";
/// How long a client has to read that before the connection is closed.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Gives the connection back when a handshake begins; otherwise tells the client what is wrong, and fails.
pub(super) async fn answer(mut socket: TcpStream) -> io::Result<TcpStream> {
    let mut seen = [0; 16];
    let length = socket.peek(&mut seen).await?;
    let seen = seen.get(..length).unwrap_or_default();
    let words = match seen {
        [] => return Err(io::ErrorKind::UnexpectedEof.into()),
        [HANDSHAKE, ..] => return Ok(socket),
        seen if PREFACE.starts_with(seen) || seen.starts_with(PREFACE) => GOAWAY,
        // A method: upper case letters.
        [first, ..] if first.is_ascii_uppercase() => BAD_REQUEST,
        // The handshake fails, with an alert that says why.
        _ => return Ok(socket),
    };
    let say = async {
        socket.write_all(words).await?;
        socket.shutdown().await?;
        // What has arrived and is not read would turn the end into a reset, and the words would be lost.
        let mut rest = [0; 1024];
        while tokio::io::AsyncReadExt::read(&mut socket, &mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = time::timeout(LAST_WORDS, say).await;
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        "the client speaks no TLS",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_right() {
        let text = "this port speaks TLS only";
        assert_eq!(GOAWAY.len(), 9 + 9 + 8 + text.len());
        assert_eq!(usize::from(GOAWAY[11]), 8 + text.len());
        let answer = std::str::from_utf8(BAD_REQUEST).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
    }
}
