//! A way to the API server that can be closed, as by a network that breaks between a pod and the control plane.

use std::{
    fs,
    path::{Path, PathBuf},
};

use e2e::cluster::Cluster;
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// Passes connections on while it is open. Ends with its test.
pub(super) struct Gate {
    open: watch::Sender<bool>,
    task: JoinHandle<()>,
    folder: TempDir,
}

impl Gate {
    /// An open gate in front of the API server.
    pub(super) async fn new(cluster: &Cluster) -> Self {
        let url = &cluster.admin().config().cluster_url;
        let server = url.authority().expect("a host and a port").to_string();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().to_string();
        let kubeconfig = fs::read_to_string(cluster.kubeconfig()).unwrap();
        let folder = TempDir::new().unwrap();
        fs::write(file(folder.path()), kubeconfig.replace(&server, &own)).unwrap();
        let (open, state) = watch::channel(true);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("the port stays open");
                tokio::spawn(pass(stream, server.clone(), state.clone()));
            }
        });
        Self { open, task, folder }
    }

    /// A kubeconfig file that leads through it.
    pub(super) fn kubeconfig(&self) -> PathBuf {
        file(self.folder.path())
    }

    /// Ends all connections, and takes no other until it is opened.
    pub(super) fn close(&self) {
        self.open.send_replace(false);
    }

    pub(super) fn open(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("kubeconfig")
}

/// Copies both ways until one side ends or the gate closes.
async fn pass(mut client: TcpStream, server: String, mut state: watch::Receiver<bool>) {
    if !*state.borrow_and_update() {
        return;
    }
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    tokio::select! {
        // Either way both connections end; whoever used them says so.
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = state.wait_for(|open| !open) => {}
    }
}
