//! Reads and transactions.

use std::{sync::Arc, time::Duration};

use api::etcd::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, ResponseHeader, ResponseOp, TxnRequest,
    TxnResponse,
    compare::{CompareResult, CompareTarget, TargetUnion},
    request_op::Request as Operation,
    response_op::Response as Answer,
};
use bytes::Bytes;

use super::{
    keys::{Root, number, signed},
    link::{Kind, Link},
};
use crate::store::{Op, Outcome, Read, StoreError, Txn};

/// For reads and transactions: what ModelMesh waits for its caches.
pub(super) const OPERATION: Duration = Duration::from_millis(3500);
/// For everything else.
pub(super) const OTHER: Duration = Duration::from_secs(10);

/// Calls for our keys. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    pub(super) link: Arc<Link>,
    root: Root,
}

impl Calls {
    pub(super) fn new(link: Arc<Link>, root: Root) -> Self {
        Self { link, root }
    }

    /// The cluster's revision, as of now or later. Asks for no values, but needs the right to read them.
    pub(super) async fn revision(&self) -> Result<u64, StoreError> {
        revision(&self.link, &self.root).await
    }

    pub(super) async fn get(&self, keys: &[String]) -> Result<Read, StoreError> {
        let request = TxnRequest {
            success: keys.iter().map(|key| self.read(key)).collect(),
            ..TxnRequest::default()
        };
        let answer = self.txn(Kind::Read, request).await?;
        Ok(self.entries(answer))
    }

    pub(super) async fn commit(&self, txn: Txn) -> Result<Outcome, StoreError> {
        let failure = txn.compare.iter().map(|(key, _)| self.read(key)).collect();
        let compare = |(key, revision): (String, u64)| Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Mod.into(),
            key: self.root.full(&key),
            target_union: Some(TargetUnion::ModRevision(signed(revision))),
        };
        let write = |op: Op| match op {
            Op::Put { key, value } => self.put_request(&key, &value, 0),
            Op::Delete { key } => self.delete_request(&key),
        };
        let kind = if txn.ops.is_empty() {
            Kind::Read
        } else {
            Kind::Write
        };
        let request = TxnRequest {
            compare: txn.compare.into_iter().map(compare).collect(),
            success: txn.ops.into_iter().map(write).collect(),
            failure,
        };
        let answer = self.txn(kind, request).await?;
        if !answer.succeeded {
            return Ok(Outcome::Conflict(self.entries(answer)));
        }
        let revision = revision_of(answer.header.as_ref());
        Ok(Outcome::Committed { revision })
    }

    /// Puts under a lease; returns the revision.
    pub(super) async fn put(&self, key: &str, value: &Bytes, lease: i64) -> Result<u64, StoreError> {
        self.write(self.put_request(key, value, lease)).await
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.write(self.delete_request(key)).await.map(drop)
    }

    /// One write without comparison, which may be repeated without harm.
    async fn write(&self, op: RequestOp) -> Result<u64, StoreError> {
        let request = TxnRequest {
            success: vec![op],
            ..TxnRequest::default()
        };
        let answer = self.txn(Kind::Write, request).await?;
        Ok(revision_of(answer.header.as_ref()))
    }

    async fn txn(&self, kind: Kind, request: TxnRequest) -> Result<TxnResponse, StoreError> {
        let call = self.link.call(kind, OPERATION, |connection| {
            let request = request.clone();
            async move { connection.kv().txn(request).await }
        });
        call.await.map(tonic::Response::into_inner)
    }

    fn entries(&self, answer: TxnResponse) -> Read {
        let entry = |answer: ResponseOp| match answer.response {
            Some(Answer::ResponseRange(mut range)) => range.kvs.pop().and_then(|kv| self.root.entry(kv)),
            _ => None,
        };
        Read {
            revision: revision_of(answer.header.as_ref()),
            entries: answer.responses.into_iter().map(entry).collect(),
        }
    }

    fn read(&self, key: &str) -> RequestOp {
        let key = self.root.full(key);
        operation(Operation::RequestRange(RangeRequest {
            key,
            ..RangeRequest::default()
        }))
    }

    fn put_request(&self, key: &str, value: &Bytes, lease: i64) -> RequestOp {
        operation(Operation::RequestPut(PutRequest {
            key: self.root.full(key),
            value: value.to_vec(),
            lease,
        }))
    }

    fn delete_request(&self, key: &str) -> RequestOp {
        let key = self.root.full(key);
        operation(Operation::RequestDeleteRange(DeleteRangeRequest { key }))
    }
}

/// The cluster's revision, over any link.
pub(super) async fn revision(link: &Link, root: &Root) -> Result<u64, StoreError> {
    let request = RangeRequest {
        count_only: true,
        limit: 1,
        ..root.range("config/")
    };
    let call = link.call(Kind::Read, OPERATION, |connection| {
        let request = request.clone();
        async move { connection.kv().range(request).await }
    });
    let answer = call.await?.into_inner();
    Ok(revision_of(answer.header.as_ref()))
}

fn operation(request: Operation) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

/// Every answer of etcd has a header.
pub(super) fn revision_of(header: Option<&ResponseHeader>) -> u64 {
    header.map_or(0, |header| number(header.revision))
}
