//! Changes of the registry: read what an operation is about, decide, write it if nobody else did meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use api::records::{ModelRecord as ModelJson, Record, VModelRecord as VModelJson};
use tonic::Status;

use crate::{
    core::registry::{Change, Limits, Registry, RegistryError, VModelId},
    model::ModelId,
    store::{Entry, Op, Outcome, Read, Txn},
};

use super::{
    Mesh, codec,
    key::{Key, Table},
};

/// Times that an operation is decided anew because others wrote. Each time somebody got through.
const MAX_TURNS: u32 = 64;
/// Turns without a pause; after that writers keep out of each other's way.
const EAGER_TURNS: u32 = 3;
/// How long the own mirror may take to show what was written. The write stands either way.
const CATCH_UP: Duration = Duration::from_secs(5);

/// What was read, by key.
#[derive(Default)]
struct Working(BTreeMap<Key, Option<Entry>>);

impl Mesh {
    /// Runs one operation on the records of these keys, and of the models that the vmodels among them point to, and writes
    /// what it changed; again when someone else was quicker. When this returns, readers here see the change.
    pub(super) async fn change<T>(
        &self,
        keys: impl IntoIterator<Item = Key>,
        operation: impl Fn(&mut Registry, &mut Vec<Change>) -> Result<T, RegistryError>,
    ) -> Result<T, Status> {
        let mut working = Working::default();
        let mut wanted: Vec<Key> = keys.into_iter().collect();
        for turn in 0..MAX_TURNS {
            if turn > EAGER_TURNS {
                let pause = self.jitter(Duration::from_millis(2) * turn);
                tokio::time::sleep(pause).await;
            }
            while !wanted.is_empty() {
                self.read(&mut working, &wanted).await?;
                wanted = working.missing();
            }
            let mut registry = self.registry(&working)?;
            let mut changes = Vec::new();
            let result = operation(&mut registry, &mut changes)?;
            let ops = working.ops(&changes)?;
            if ops.is_empty() {
                // What somebody else wrote just now is seen here too before it is spoken of.
                self.reached(working.newest()).await;
                return Ok(result);
            }
            let txn = Txn {
                compare: working.revisions(),
                ops,
            };
            match self.store.commit(txn).await? {
                Outcome::Committed { revision } => {
                    self.reached(revision).await;
                    return Ok(result);
                }
                Outcome::Conflict(read) => working.replace(read),
            }
            wanted = working.missing();
        }
        Err(Status::aborted(format!(
            "others changed the same records {MAX_TURNS} times in a row; try again"
        )))
    }

    async fn read(&self, working: &mut Working, keys: &[Key]) -> Result<(), Status> {
        let names: Vec<String> = keys.iter().map(Key::to_string).collect();
        let read = self.store.get(&names).await?;
        working.0.extend(keys.iter().cloned().zip(read.entries));
        Ok(())
    }

    /// A registry of what was read.
    fn registry(&self, working: &Working) -> Result<Registry, Status> {
        let limits = Limits {
            max_models: self.options.max_models,
            max_vmodels: self.options.max_vmodels,
        };
        let mut registry = Registry::new(limits, &self.options.default_vmodel_owner);
        let (mut models, mut vmodels) = (0, 0);
        for (key, entry) in &working.0 {
            let Some(entry) = entry else { continue };
            // In order of tables: models come before the vmodels that point to them.
            match key.table {
                Table::Models => {
                    let record = codec::model(&parse::<ModelJson>(entry)?);
                    registry.adopt_model(ModelId::from(&*key.name), record);
                    models += 1;
                }
                Table::VModels => {
                    let record = codec::vmodel(&parse::<VModelJson>(entry)?);
                    registry.adopt_vmodel(VModelId::from(&*key.name), record);
                    vmodels += 1;
                }
                _ => {}
            }
        }
        registry.among(
            self.view.models().saturating_sub(models),
            self.view.vmodels().saturating_sub(vmodels),
        );
        Ok(registry)
    }

    /// Waits until the view shows this revision of the store.
    pub(super) async fn reached(&self, revision: u64) {
        let mut applied = self.applied.subscribe();
        let reached = applied.wait_for(|applied| *applied >= revision);
        if tokio::time::timeout(CATCH_UP, reached).await.is_err() {
            tracing::warn!(
                revision,
                "the mirror of the registry is behind what was just written"
            );
        }
    }
}

impl Working {
    /// Models that vmodels here point to and that were not read yet.
    fn missing(&self) -> Vec<Key> {
        let mut missing = BTreeSet::new();
        for (key, entry) in &self.0 {
            let Some(entry) = entry.as_ref().filter(|_| key.table == Table::VModels) else {
                continue;
            };
            let Ok(record) = VModelJson::parse(&entry.key, &entry.value) else {
                continue;
            };
            let record = codec::vmodel(&record);
            missing.extend(record.models().map(|model| Key::model(model)));
        }
        missing.retain(|key| !self.0.contains_key(key));
        missing.into_iter().collect()
    }

    fn revisions(&self) -> Vec<(String, u64)> {
        let revision = |entry: &Option<Entry>| entry.as_ref().map_or(0, |entry| entry.revision);
        self.0
            .iter()
            .map(|(key, entry)| (key.to_string(), revision(entry)))
            .collect()
    }

    fn newest(&self) -> u64 {
        let entries = self.0.values().flatten();
        entries.map(|entry| entry.revision).max().unwrap_or(0)
    }

    /// Takes what the store has now; in the order of [`Working::revisions`].
    fn replace(&mut self, read: Read) {
        for (entry, now) in self.0.values_mut().zip(read.entries) {
            *entry = now;
        }
    }

    /// The last state of everything that was changed, models before the vmodels that may point to them, and gone after.
    fn ops(&self, changes: &[Change]) -> Result<Vec<Op>, Status> {
        let mut last: BTreeMap<Key, &Change> = BTreeMap::new();
        for change in changes {
            let key = match change {
                Change::Model(id, _) => Key::model(id),
                Change::VModel(id, _) => Key::vmodel(id),
            };
            last.insert(key, change);
        }
        let (mut puts, mut deletes) = (Vec::new(), Vec::new());
        for (key, change) in last {
            let read = self.0.get(&key).and_then(Option::as_ref);
            let value = match change {
                Change::Model(_, Some(record)) => {
                    let read = read.map(parse::<ModelJson>).transpose()?;
                    Some(codec::write_model(record, read))
                }
                Change::VModel(_, Some(record)) => {
                    let read = read.map(parse::<VModelJson>).transpose()?;
                    Some(codec::write_vmodel(record, read))
                }
                Change::Model(_, None) | Change::VModel(_, None) => None,
            };
            let key = key.to_string();
            match value {
                Some(value) if read.is_some_and(|read| *read.value == *value) => {}
                Some(value) => puts.push(Op::Put {
                    key,
                    value: value.into(),
                }),
                None if read.is_some() => deletes.push(Op::Delete { key }),
                None => {}
            }
        }
        puts.extend(deletes.into_iter().rev());
        Ok(puts)
    }
}

/// A record that nobody here can read is left alone, and said so.
fn parse<T: Record>(entry: &Entry) -> Result<T, Status> {
    T::parse(&entry.key, &entry.value).map_err(|err| Status::internal(err.to_string()))
}
