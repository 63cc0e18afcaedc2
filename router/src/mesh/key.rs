//! Keys of the store, below its root. Source: kv-utils and `ModelMesh`'s tables.

use std::fmt;

/// What a key is about, in the order of their names in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    /// Settings that apply to all instances.
    Config,
    /// Live instances.
    Instances,
    /// Who leads.
    Latches,
    /// What nodes hold in their caches of model files.
    Nodes,
    /// Models.
    Models,
    /// Vmodels.
    VModels,
}

impl Table {
    /// In order.
    pub(super) const ALL: [Self; 6] = [
        Self::Config,
        Self::Instances,
        Self::Latches,
        Self::Nodes,
        Self::Models,
        Self::VModels,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Instances => "instances",
            Self::Latches => "leaderLatch",
            Self::Nodes => "nodes",
            Self::Models => "registry",
            Self::VModels => "vmodels",
        }
    }
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) table: Table,
    pub(super) name: Box<str>,
}

impl Key {
    pub(super) fn new(table: Table, name: &str) -> Self {
        Self {
            table,
            name: name.into(),
        }
    }

    pub(super) fn model(id: &str) -> Self {
        Self::new(Table::Models, id)
    }

    pub(super) fn vmodel(id: &str) -> Self {
        Self::new(Table::VModels, id)
    }

    /// `None` for a key of somebody else.
    pub(super) fn parse(key: &str) -> Option<Self> {
        let (table, name) = key.split_once('/')?;
        let table = Table::ALL.into_iter().find(|known| known.name() == table)?;
        (!name.is_empty()).then(|| Self::new(table, name))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.table.name(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back() {
        for text in [
            "registry/a/b",
            "vmodels/v",
            "leaderLatch/_i",
            "instances/i",
            "config/x",
            "nodes/n",
        ] {
            assert_eq!(Key::parse(text).unwrap().to_string(), text);
        }
        assert!(Key::parse("registry/").is_none() && Key::parse("other/x").is_none());
        assert!(
            Table::ALL.is_sorted_by_key(|table| table.name()),
            "as the store sorts them"
        );
    }
}
