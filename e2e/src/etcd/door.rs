//! A way to a server that can be shut, as a network does it.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// What happens to connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// They are passed on.
    Open,
    /// Those that are there end, new ones end at once.
    Shut,
    /// Nothing goes through, and nobody is told. What was under way is lost.
    Silent,
}

/// Passes connections on to one address.
#[derive(Debug)]
pub struct Door {
    address: SocketAddr,
    state: watch::Sender<State>,
    task: JoinHandle<()>,
}

impl Door {
    /// An open door to an address.
    pub async fn to(target: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = watch::Sender::new(State::Open);
        let task = tokio::spawn(accept(listener, target.to_owned(), state.subscribe()));
        Ok(Self { address, state, task })
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Passes on what comes from now on.
    pub fn open(&self) {
        self.state.send_replace(State::Open);
    }

    /// Ends all connections, and new ones at once.
    pub fn shut(&self) {
        self.state.send_replace(State::Shut);
    }

    /// Lets nothing through, as a network that is cut.
    pub fn silence(&self) {
        self.state.send_replace(State::Silent);
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, target: String, state: watch::Receiver<State>) {
    loop {
        // Out of files: the test fails by its own deadline.
        let Ok((near, _)) = listener.accept().await else {
            return;
        };
        tokio::spawn(pass(near, target.clone(), state.clone()));
    }
}

/// Ends with the connection, with the door, or when the door changes after a silence.
async fn pass(mut near: TcpStream, target: String, mut state: watch::Receiver<State>) {
    let now = *state.borrow_and_update();
    match now {
        State::Shut => {}
        State::Silent => drop(state.changed().await),
        State::Open => {
            let Ok(mut far) = TcpStream::connect(target).await else {
                return;
            };
            tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => return,
                _ = state.changed() => {}
            }
            if *state.borrow_and_update() == State::Silent {
                // Both ends stay as they are until the door is open or shut.
                let _ = state.changed().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn what_is_shut_ends_and_what_is_open_passes() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let door = Door::to(&server.local_addr().unwrap().to_string()).await.unwrap();
        let mut near = TcpStream::connect(door.address()).await.unwrap();
        let (mut far, _) = server.accept().await.unwrap();
        near.write_all(b"a").await.unwrap();
        assert_eq!(far.read_u8().await.unwrap(), b'a');
        door.shut();
        assert_eq!(near.read(&mut [0]).await.unwrap_or_default(), 0);
        let mut refused = TcpStream::connect(door.address()).await.unwrap();
        assert_eq!(refused.read(&mut [0]).await.unwrap_or_default(), 0);
        door.open();
        let mut near = TcpStream::connect(door.address()).await.unwrap();
        let (mut far, _) = server.accept().await.unwrap();
        far.write_all(b"b").await.unwrap();
        assert_eq!(near.read_u8().await.unwrap(), b'b');
    }
}
