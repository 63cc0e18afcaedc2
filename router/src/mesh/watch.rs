//! What changes, for people and tools that watch.

use api::mesh_v1::{WatchEvent, WatchRequest, watch_event::Event};
use tokio::sync::broadcast::{self, error::RecvError};

use super::{Mesh, key::Table, show::shown_instance};
use crate::model::ModelId;

/// Changes that a slow watcher may be behind.
pub(super) const BUFFER: usize = 4096;

/// Something is different, or gone.
#[derive(Clone, Debug)]
pub struct News {
    pub(super) table: Table,
    pub(super) name: Box<str>,
}

/// Follows changes for one watcher.
#[derive(Debug)]
pub struct Watcher {
    news: broadcast::Receiver<News>,
    wanted: WatchRequest,
}

impl Mesh {
    /// Changes from now on.
    pub fn watch(&self, mut wanted: WatchRequest) -> Watcher {
        if !(wanted.models || wanted.vmodels || wanted.instances) {
            wanted = WatchRequest {
                models: true,
                vmodels: true,
                instances: true,
            };
        }
        let news = self.news.subscribe();
        Watcher { news, wanted }
    }

    /// Tells those who watch; costs nothing when nobody does.
    pub(super) fn tell(&self, table: Table, name: &str) {
        if self.news.receiver_count() > 0 {
            // Whoever has gone meanwhile hears nothing.
            let _heard = self.news.send(News {
                table,
                name: name.into(),
            });
        }
    }

    /// The event as it looks now.
    pub fn event(&self, news: &News) -> Option<WatchEvent> {
        let name = &*news.name;
        let event = match news.table {
            Table::Models => match self.show_model(&ModelId::from(name)) {
                Some(model) => Event::Model(model),
                None => Event::ModelRemoved(name.to_owned()),
            },
            Table::VModels => match self.show_vmodel(name) {
                Some(vmodel) => Event::Vmodel(vmodel),
                None => Event::VmodelRemoved(name.to_owned()),
            },
            Table::Instances => {
                let fleet = self.view.fleet();
                let instance = fleet.of_id(name).and_then(|ix| fleet.get(ix).cloned());
                match instance {
                    Some(instance) => Event::Instance(shown_instance(&instance)),
                    None => Event::InstanceRemoved(name.to_owned()),
                }
            }
            Table::Config | Table::Latches | Table::Nodes => return None,
        };
        Some(WatchEvent { event: Some(event) })
    }
}

impl Watcher {
    /// The next change; an error means that some were lost. `None` when the mesh is gone.
    pub async fn next(&mut self) -> Option<Result<News, Lost>> {
        loop {
            match self.news.recv().await {
                Ok(news) if self.wants(&news) => return Some(Ok(news)),
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return Some(Err(Lost)),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    fn wants(&self, news: &News) -> bool {
        match news.table {
            Table::Models => self.wanted.models,
            Table::VModels => self.wanted.vmodels,
            Table::Instances => self.wanted.instances,
            Table::Config | Table::Latches | Table::Nodes => false,
        }
    }
}

/// Changes were lost: what a watcher knows has to be listed again.
#[derive(Clone, Copy, Debug)]
pub struct Lost;
