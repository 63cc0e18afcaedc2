//! The async runtime of a service.

use std::io;

use tokio::runtime::{Builder, Runtime};

/// A runtime with so many worker threads; `None` = one for each core. A single thread needs no stealing of work, and is
/// built without it.
pub fn runtime(threads: Option<u16>) -> io::Result<Runtime> {
    match threads {
        Some(1) => Builder::new_current_thread().enable_all().build(),
        Some(threads) => Builder::new_multi_thread()
            .worker_threads(threads.into())
            .enable_all()
            .build(),
        None => Builder::new_multi_thread().enable_all().build(),
    }
}
