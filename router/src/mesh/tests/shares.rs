//! Vmodels that several models share, and the way back.

use std::collections::HashMap;

use api::mesh_v1::{RollbackRequest, SetCopiesRequest, SetWeightsRequest, Weight, watch_event::Event};
use http::{HeaderMap, HeaderValue};
use tonic::Code;

use super::fake::{Fixture, point, register};
use crate::mesh::{
    Kind,
    hop::{Hop, Route, Routes},
};

fn weights(shares: &[(&str, u32)], sticky: &str) -> SetWeightsRequest {
    SetWeightsRequest {
        vmodel_id: "v".into(),
        weights: shares
            .iter()
            .map(|(model, percent)| Weight {
                model_id: (*model).into(),
                percent: *percent,
            })
            .collect(),
        sticky_header: sticky.into(),
        owner: String::new(),
    }
}

impl Fixture {
    /// Who serves a call with these headers, as the data plane asks.
    async fn served(&self, headers: &HeaderMap) -> String {
        let mut hop = Hop::of_client(false);
        hop.draw = self.mesh.draw("v", Kind::VModel, headers);
        match Routes::enter(&*self.mesh, "v", Kind::VModel, &mut hop)
            .await
            .unwrap()
        {
            Route::Here(lease) => lease.id().to_string(),
            Route::There(_) => panic!("there is no other"),
        }
    }

    async fn shares(&self, calls: usize) -> HashMap<String, usize> {
        let mut served = HashMap::new();
        for _ in 0..calls {
            *served.entry(self.served(&HeaderMap::new()).await).or_default() += 1;
        }
        served
    }

    async fn shared() -> Self {
        let f = Self::new().await;
        f.point("v", "a").await;
        f.register("b").await;
        f.register("c").await;
        f
    }
}

#[tokio::test]
async fn requests_are_shared_by_weight() {
    let f = Fixture::shared().await;
    assert_eq!(f.shares(50).await, HashMap::from([("a".into(), 50)]));
    f.mesh
        .set_weights(weights(&[("b", 30), ("c", 20)], ""))
        .await
        .unwrap();
    let shares = f.shares(2_000).await;
    for (model, percent) in [("a", 50), ("b", 30), ("c", 20)] {
        let expected = 20 * percent;
        assert!(shares[model].abs_diff(expected) < 120, "{model}: {shares:?}");
    }
    f.mesh.set_weights(weights(&[("b", 100)], "")).await.unwrap();
    assert_eq!(f.shares(50).await, HashMap::from([("b".into(), 50)]));
    f.mesh.set_weights(weights(&[], "")).await.unwrap();
    assert_eq!(f.shares(50).await, HashMap::from([("a".into(), 50)]));
    assert!(
        f.mesh.draw("v", Kind::VModel, &HeaderMap::new()).is_none(),
        "nothing is drawn any more"
    );
}

#[tokio::test]
async fn a_sticky_client_keeps_its_model_when_weights_grow() {
    let f = Fixture::shared().await;
    let clients = (0..60).map(|n| {
        let mut headers = HeaderMap::new();
        headers.insert("x-user", HeaderValue::from_str(&format!("user-{n}")).unwrap());
        headers
    });
    let clients: Vec<_> = clients.collect();
    let mut canary: Vec<bool> = vec![false; clients.len()];
    for percent in [10, 40, 80] {
        f.mesh
            .set_weights(weights(&[("b", percent)], "X-User"))
            .await
            .unwrap();
        for (client, before) in clients.iter().zip(&mut canary) {
            let first = f.served(client).await;
            assert_eq!(f.served(client).await, first, "it stays");
            assert!(!*before || first == "b", "who had the canary has it still");
            *before = first == "b";
        }
    }
    let with = canary.iter().filter(|canary| **canary).count();
    assert!((36..60).contains(&with), "{with} of 60 at 80 %");
}

#[tokio::test]
async fn weights_are_checked_and_hold_references() {
    let f = Fixture::shared().await;
    let mut refused = Vec::new();
    for bad in [
        weights(&[("b", 0)], ""),
        weights(&[("b", 60), ("c", 60)], ""),
        weights(&[("b", 10), ("b", 10)], ""),
        weights(&[("a", 10)], ""),
        weights(&[("none", 10)], ""),
        weights(&[("b", 10)], "no header"),
    ] {
        refused.push(f.mesh.set_weights(bad).await.unwrap_err().code());
    }
    assert_eq!(
        refused,
        [
            Code::InvalidArgument,
            Code::InvalidArgument,
            Code::InvalidArgument,
            Code::InvalidArgument,
            Code::NotFound,
            Code::InvalidArgument
        ]
    );
    f.mesh.set_weights(weights(&[("b", 10)], "")).await.unwrap();
    assert_eq!(
        f.unregister("b").await.unwrap_err().code(),
        Code::FailedPrecondition
    );
    // The canary takes over: it needs no weight any more, and the old model went with its last reference.
    f.mesh.set_vmodel(point("v", "b")).await.unwrap();
    let shown = f.mesh.show_vmodel("v").unwrap();
    assert!(
        shown.weights.is_empty() && shown.active_model_id == "b",
        "{shown:?}"
    );
    f.mesh.set_weights(weights(&[("c", 10)], "")).await.unwrap();
    f.mesh.set_weights(weights(&[], "")).await.unwrap();
    f.unregister("c").await.unwrap();
}

#[tokio::test]
async fn a_vmodel_goes_back_to_what_it_served_even_when_that_has_gone() {
    let f = Fixture::new().await;
    let back = || RollbackRequest {
        vmodel_id: "v".into(),
        sync: true,
        ..RollbackRequest::default()
    };
    f.point("v", "a").await;
    assert_eq!(
        f.mesh.rollback(back()).await.unwrap_err().code(),
        Code::FailedPrecondition
    );
    f.point("v", "b").await;
    assert!(
        f.mesh.lookup("a", Kind::Model).is_none(),
        "it went with its reference"
    );
    let shown = f.mesh.rollback(back()).await.unwrap();
    assert_eq!(shown.active_model_id, "a");
    assert_eq!(f.served_by("v").await, "a");
    // And forth again.
    assert_eq!(f.mesh.rollback(back()).await.unwrap().active_model_id, "b");
    f.mesh
        .delete_vmodel(api::mmesh::DeleteVModelRequest {
            v_model_id: "v".into(),
            owner: String::new(),
        })
        .await
        .unwrap();
    assert!(f.mesh.view.is_empty(), "no reference leaks");
}

#[tokio::test]
async fn numbers_of_copies_are_checked_and_shown() {
    let f = Fixture::new().await;
    f.register("m").await;
    let set = |model_id: &str, min_copies, max_copies| SetCopiesRequest {
        model_id: model_id.into(),
        min_copies,
        max_copies,
        pinned: vec!["gpu".into()],
    };
    assert_eq!(
        f.mesh.set_copies(set("m", 3, 2)).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    assert_eq!(
        f.mesh.set_copies(set("none", 1, 2)).await.unwrap_err().code(),
        Code::NotFound
    );
    f.mesh.set_copies(set("m", 1, 2)).await.unwrap();
    let shown = f.mesh.list("", 10).remove(0);
    assert_eq!(
        (shown.min_copies, shown.max_copies, &*shown.pinned),
        (1, 2, &["gpu".to_owned()][..])
    );
    // Registering it again changes nothing about that.
    f.mesh.register(register("m", "p")).await.unwrap();
    assert_eq!(f.mesh.list("", 10)[0].min_copies, 1);
}

#[tokio::test]
async fn who_watches_hears_of_every_change() {
    let f = Fixture::new().await;
    let mut watcher = f.mesh.watch(api::mesh_v1::WatchRequest::default());
    let mut heard = async || {
        let news = watcher.next().await.unwrap().unwrap();
        match f.mesh.event(&news).unwrap().event.unwrap() {
            Event::Model(model) => format!("+{}", model.model_id),
            Event::ModelRemoved(id) => format!("-{id}"),
            Event::Vmodel(vmodel) => format!("+{}", vmodel.vmodel_id),
            other => panic!("{other:?}"),
        }
    };
    f.register("m").await;
    assert_eq!(heard().await, "+m");
    f.point("v", "a").await;
    assert_eq!([heard().await, heard().await], ["+a", "+v"]);
    f.unregister("m").await.unwrap();
    assert_eq!(heard().await, "-m");
}
