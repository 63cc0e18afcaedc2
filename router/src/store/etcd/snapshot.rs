//! Everything under a prefix, in pages of one revision.

use api::etcd::{KeyValue, RangeRequest, RangeResponse};
use tonic::{Code, Status};

use super::{
    calls::{OTHER, revision_of},
    feed::{Feed, Gone},
    follow::Source,
    keys::signed,
    link::Kind,
};
use crate::store::{
    Batch, StoreError,
    follow::{PAGE_BYTES, PAGE_ENTRIES},
};

/// Why a snapshot ended early.
pub(super) enum Failure {
    Gone,
    Error(StoreError),
}

impl From<Gone> for Failure {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

impl From<StoreError> for Failure {
    fn from(err: StoreError) -> Self {
        Self::Error(err)
    }
}

/// How many entries to ask for, so that pages stay about as long as they should be: etcd bounds their number alone.
#[derive(Clone, Copy, Debug)]
struct Limit(usize);

impl Limit {
    /// After a page of so many bytes.
    fn adapt(&mut self, bytes: usize) {
        if bytes > 2 * PAGE_BYTES {
            self.0 = (self.0 / 2).max(1);
        } else if bytes < PAGE_BYTES / 2 {
            self.0 = (self.0 * 2).min(PAGE_ENTRIES);
        }
    }
}

/// Sends a snapshot; returns its revision.
pub(super) async fn send(source: &Source, feed: &Feed) -> Result<u64, Failure> {
    let mut request = source.root.range(&source.prefix);
    let mut limit = Limit(PAGE_ENTRIES);
    let mut revision = 0;
    loop {
        let page = page(source, &request, &mut limit).await?;
        if revision == 0 {
            revision = revision_of(page.header.as_ref());
            request.revision = signed(revision);
            feed.send(Batch::Begin { revision }).await?;
        }
        limit.adapt(size(&page.kvs));
        let last = page.kvs.last().map(|kv| kv.key.clone());
        let entries: Vec<_> = page
            .kvs
            .into_iter()
            .filter_map(|kv| source.root.entry(kv))
            .collect();
        if !entries.is_empty() {
            feed.send(Batch::Page(entries)).await?;
        }
        match last {
            Some(last) if page.more => request.key = [&last[..], b"\0"].concat(),
            _ => break,
        }
    }
    feed.send(Batch::End { revision }).await?;
    Ok(revision)
}

/// One page; a smaller one when it is more than a message holds.
async fn page(
    source: &Source,
    request: &RangeRequest,
    limit: &mut Limit,
) -> Result<RangeResponse, StoreError> {
    loop {
        let request = RangeRequest {
            limit: i64::try_from(limit.0).unwrap_or(i64::MAX),
            ..request.clone()
        };
        let call = source.link.call(Kind::Read, OTHER, |connection| {
            let request = request.clone();
            async move {
                match connection.kv().range(request).await {
                    Err(status) if is_size(&status) => Ok(None),
                    answer => answer.map(|answer| Some(answer.into_inner())),
                }
            }
        });
        match call.await? {
            Some(page) => return Ok(page),
            None if limit.0 > 1 => limit.0 = (limit.0 / 8).max(1),
            None => {
                return Err(StoreError::TooLarge(
                    "an entry that fits in no message".to_owned(),
                ));
            }
        }
    }
}

/// Whether the answer was too long for our decoder, or for etcd.
fn is_size(status: &Status) -> bool {
    let says = |part| status.message().contains(part);
    let is_code = matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted);
    is_code && (says("message length too large") || says("larger than max"))
}

fn size(kvs: &[KeyValue]) -> usize {
    kvs.iter().map(|kv| kv.key.len() + kv.value.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_shrink_with_long_entries_and_grow_again() {
        let mut limit = Limit(PAGE_ENTRIES);
        limit.adapt(PAGE_BYTES);
        assert_eq!(limit.0, PAGE_ENTRIES);
        for _ in 0..20 {
            limit.adapt(100 * PAGE_BYTES);
        }
        assert_eq!(limit.0, 1);
        for _ in 0..20 {
            limit.adapt(0);
        }
        assert_eq!(limit.0, PAGE_ENTRIES);
    }
}
