use api::etcd::{Event, KeyValue, ResponseHeader, event::EventType};

use super::*;

fn assembler(reached: u64) -> Assembler {
    Assembler::new(Root::new("", "/r/"), reached)
}

fn answer(revision: i64, events: Vec<Event>) -> WatchResponse {
    let header = ResponseHeader {
        revision,
        ..ResponseHeader::default()
    };
    WatchResponse {
        header: Some(header),
        events,
        ..WatchResponse::default()
    }
}

fn put(key: &str, revision: i64) -> Event {
    Event {
        r#type: EventType::Put.into(),
        kv: Some(KeyValue {
            key: format!("/r/{key}").into_bytes(),
            mod_revision: revision,
            create_revision: 1,
            value: b"v".to_vec(),
        }),
    }
}

/// Revisions of the changes in each batch, and where the batch ends.
fn shape(batches: &[Batch]) -> Vec<(Vec<u64>, u64)> {
    let shape = |batch: &Batch| match batch {
        Batch::Changes { changes, revision } => (changes.iter().map(Change::revision).collect(), *revision),
        other => panic!("{other:?}"),
    };
    batches.iter().map(shape).collect()
}

#[test]
fn changes_are_passed_on_in_order_and_once() {
    let mut watch = assembler(4);
    let events = vec![put("a", 4), put("b", 5), put("c", 5), put("a", 7)];
    let batches = watch.push(answer(9, events)).unwrap();
    assert_eq!(shape(&batches), [(vec![5, 5, 7], 7)]);
    assert_eq!(watch.reached(), 7);
    let deletion = Event {
        r#type: EventType::Delete.into(),
        ..put("a", 8)
    };
    let batches = watch.push(answer(9, vec![deletion])).unwrap();
    let Batch::Changes { changes, .. } = &batches[0] else {
        panic!()
    };
    let deleted = Change::Delete {
        key: "a".into(),
        revision: 8,
    };
    assert_eq!(changes, &[deleted]);
}

#[test]
fn a_revision_is_never_split() {
    let mut watch = assembler(1);
    let part = |events| WatchResponse {
        fragment: true,
        ..answer(9, events)
    };
    let batches = watch.push(part(vec![put("a", 2), put("b", 3)])).unwrap();
    assert_eq!(shape(&batches), [(vec![2], 2)]);
    let batches = watch.push(part(vec![put("c", 3)])).unwrap();
    assert_eq!(shape(&batches), [(vec![], 2)]);
    assert_eq!(watch.reached(), 2, "another watch would bring all of revision 3");
    let batches = watch.push(answer(9, vec![put("d", 3)])).unwrap();
    assert_eq!(shape(&batches), [(vec![3, 3, 3], 3)]);
}

#[test]
fn large_answers_become_several_batches() {
    let mut watch = assembler(0);
    let events = (1..=PAGE_ENTRIES).map(|n| put("a", i64::try_from(n).unwrap()));
    let last = i64::try_from(PAGE_ENTRIES).unwrap();
    let events = events.chain([put("b", last), put("c", last + 1)]).collect();
    let batches = watch.push(answer(last + 1, events)).unwrap();
    let sizes: Vec<_> = shape(&batches).iter().map(|(changes, _)| changes.len()).collect();
    assert_eq!(sizes, [PAGE_ENTRIES + 1, 1]);
}

#[test]
fn progress_is_believed_when_it_is_said_again() {
    let mut watch = assembler(4);
    assert_eq!(shape(&watch.push(answer(8, vec![])).unwrap()), [(vec![], 4)]);
    // A change that was on its way.
    assert_eq!(
        shape(&watch.push(answer(8, vec![put("a", 6)])).unwrap()),
        [(vec![6], 6)]
    );
    assert_eq!(shape(&watch.push(answer(9, vec![])).unwrap()), [(vec![], 8)]);
}

#[test]
fn what_a_watch_cannot_mend() {
    let compacted = WatchResponse {
        canceled: true,
        compact_revision: 17,
        ..answer(20, vec![])
    };
    let err = assembler(4).push(compacted).unwrap_err();
    assert_eq!(
        err,
        End::Snapshot("changes before revision 17 are compacted".to_owned())
    );
    let canceled = WatchResponse {
        canceled: true,
        cancel_reason: "no leader".to_owned(),
        ..answer(20, vec![])
    };
    let err = assembler(4).push(canceled).unwrap_err();
    assert_eq!(err, End::Again("etcd ended the watch: no leader".to_owned()));
    let mut watch = assembler(4);
    watch.push(answer(8, vec![])).unwrap();
    assert!(matches!(watch.push(answer(2, vec![])), Err(End::Snapshot(_))));
}

#[test]
fn a_member_that_is_behind_is_no_loss() {
    let mut watch = assembler(40);
    let created = WatchResponse {
        created: true,
        ..answer(30, vec![])
    };
    assert_eq!(shape(&watch.push(created).unwrap()), [(vec![], 40)]);
    assert_eq!(shape(&watch.push(answer(35, vec![])).unwrap()), [(vec![], 40)]);
    assert_eq!(shape(&watch.push(answer(45, vec![])).unwrap()), [(vec![], 40)]);
    assert_eq!(shape(&watch.push(answer(45, vec![])).unwrap()), [(vec![], 45)]);
}
