//! A webhook that is still asked, but has lost its own way to the API server.

use e2e::{cluster::Cluster, process};
use http::StatusCode;

use super::{
    denied,
    gate::Gate,
    passed,
    site::{FAIL, Site, bad, good},
};
use crate::support::SOON;

#[tokio::test]
async fn without_its_watches_it_is_not_ready_and_warns_where_it_cannot_look() {
    let cluster = Cluster::shared().await.unwrap();
    let gate = Gate::new(&cluster).await;
    let site = Site::on(cluster, gate.kubeconfig(), FAIL, &["--mode", "strict"]).await;
    let no_runtime = "spec.predictor.model.modelFormat.name";
    assert!(denied(&site.apply(&good()).await).contains(no_runtime));

    gate.close();
    let told = process::eventually("the loss to be noticed", SOON, async || {
        let (status, text) = site.server.probe("/ready").await?;
        // A server that is up only loses its place behind the Service.
        assert_eq!(site.server.probe("/live").await?.0, StatusCode::OK);
        Ok((status == StatusCode::SERVICE_UNAVAILABLE).then_some(text))
    })
    .await
    .unwrap();
    assert!(told.contains("watches: "), "{told}");
    // Each kind has its own watch, and the first that is lost ends readiness.
    let said = process::eventually("rules to leave out what they cannot see", SOON, async || {
        let done = site
            .kubectl(&["apply", "--dry-run=server", "-f", "-"], &good())
            .await;
        Ok((done.code == Some(0)).then(|| passed(&done)))
    })
    .await
    .unwrap();
    assert!(
        said.contains("ServingRuntimes may be out of date here") && said.contains("[OB-F01]"),
        "{said}"
    );
    assert!(!said.contains(no_runtime), "{said}");
    // What needs no other object is decided as ever.
    assert!(denied(&site.apply(&bad()).await).contains("kpa2"));

    gate.open();
    site.server.ready().await.unwrap();
    assert!(denied(&site.apply(&good()).await).contains(no_runtime));
    site.end().await;
}
