//! Addresses as people write them.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
};

/// An address to listen on: `127.0.0.1:8033`, `[::1]:8033`, `localhost:8033`, or a port alone, which means loopback.
pub fn listen(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let port = text
        .strip_prefix("localhost:")
        .or(text.strip_prefix(':'))
        .unwrap_or(text);
    if let Ok(port) = port.parse() {
        return Ok(loopback(port));
    }
    text.parse().map_err(|_| {
        format!(
            "{text:?} is no address; write IP and port like 127.0.0.1:8033 or [::1]:8033, or a port alone"
        )
    })
}

/// A server to ask: host and port, with or without `http://`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server(http::uri::Authority);

impl Server {
    /// `host:port`.
    pub fn authority(&self) -> &str {
        self.0.as_str()
    }

    /// Base of its URLs, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.0)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.authority())
    }
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("https://") {
            return Err("TLS is not supported yet; write host and port like 127.0.0.1:8033".to_owned());
        }
        let bare = text.trim().trim_start_matches("http://").trim_end_matches('/');
        let authority: Option<http::uri::Authority> = bare.parse().ok();
        authority
            .filter(|authority| authority.port_u16().is_some() && !authority.host().is_empty())
            .filter(|authority| !authority.as_str().contains('@'))
            .map(Self)
            .ok_or_else(|| format!("{text:?} is no server; write host and port like 127.0.0.1:8033"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses() {
        for (text, addr) in [
            ("127.0.0.1:8033", "127.0.0.1:8033"),
            ("0.0.0.0:1", "0.0.0.0:1"),
            ("[::1]:8033", "[::1]:8033"),
            ("8033", "127.0.0.1:8033"),
            (":0", "127.0.0.1:0"),
            ("localhost:80", "127.0.0.1:80"),
        ] {
            assert_eq!(listen(text), Ok(addr.parse().unwrap()), "{text}");
        }
        for text in ["", "127.0.0.1", "example.com:80", "65536", "::1:8033x", "-1"] {
            assert!(listen(text).unwrap_err().contains("127.0.0.1:8033"), "{text}");
        }
    }

    #[test]
    fn servers() {
        for text in [
            "127.0.0.1:8008",
            "http://127.0.0.1:8008",
            "http://127.0.0.1:8008/",
        ] {
            assert_eq!(text.parse::<Server>().unwrap().url(), "http://127.0.0.1:8008");
        }
        assert_eq!(
            "model-host:80".parse::<Server>().unwrap().authority(),
            "model-host:80"
        );
        for text in [
            "",
            "host",
            ":80",
            "http://host:80/path",
            "a b:80",
            "u:p@host:80",
            "https://host:80",
        ] {
            assert!(text.parse::<Server>().is_err(), "{text}");
        }
    }
}
