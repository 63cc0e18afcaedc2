use std::{fs, path::Path, sync::Arc};

use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::watch::{self, Receiver};

use super::*;

/// Long enough for a machine that does other things; every wait ends when its condition holds.
const DEADLINE: Duration = Duration::from_secs(30);

/// Registry that remembers, refuses what it is told to, and tells who waits.
#[derive(Clone)]
struct Fake(Arc<watch::Sender<Known>>, Arc<Mutex<BTreeSet<String>>>);

#[derive(Clone, Debug, Default)]
struct Known {
    models: Models,
    sets: usize,
    refused: usize,
    asked: usize,
    failing: bool,
}

impl Registry for Fake {
    async fn set(&self, name: &str, model: &Model) -> Result<Switch, Status> {
        let refuse = self.1.lock().contains(name);
        self.0.send_modify(|known| {
            if refuse {
                known.refused += 1;
            } else {
                known.sets += 1;
                known.models.insert(name.to_owned(), model.clone());
            }
        });
        if refuse {
            Err(Status::internal("not today"))
        } else {
            Ok(Switch::Loading)
        }
    }

    async fn delete(&self, name: &str) -> Result<(), Status> {
        self.0.send_modify(|known| {
            known.models.remove(name);
        });
        Ok(())
    }

    async fn switch(&self, _name: &str) -> Result<Switch, Status> {
        self.0.send_modify(|known| known.asked += 1);
        Ok(if self.0.borrow().failing {
            Switch::Failed("broken".into())
        } else {
            Switch::Done
        })
    }
}

struct Following {
    dir: TempDir,
    fake: Fake,
    known: Receiver<Known>,
    drain: Drain,
    task: task::JoinHandle<()>,
}

impl Following {
    async fn start(files: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        for file in files {
            put(dir.path(), file, "old");
        }
        let (sender, known) = watch::channel(Known::default());
        let fake = Fake(Arc::new(sender), Arc::default());
        let watch = Watch::start(dir.path().to_owned(), fake.clone()).await.unwrap();
        let drain = Drain::new(Duration::ZERO);
        let task = tokio::spawn(watch.run(drain.clone()));
        Self {
            dir,
            fake,
            known,
            drain,
            task,
        }
    }

    async fn until(&mut self, condition: impl Fn(&Known) -> bool) -> Known {
        let known = tokio::time::timeout(DEADLINE, self.known.wait_for(|known| condition(known))).await;
        known
            .expect("the condition holds within the deadline")
            .unwrap()
            .clone()
    }

    async fn stop(self) {
        self.drain.start();
        tokio::time::timeout(DEADLINE, self.task).await.unwrap().unwrap();
    }
}

fn put(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

#[tokio::test]
async fn follows_what_is_added_changed_and_removed() {
    let mut following = Following::start(&["a.onnx", "b/model.onnx", "b/weights.bin"]).await;
    let root = following.dir.path().to_owned();
    let before = following.known.borrow().clone();
    assert_eq!(
        before.models.len(),
        2,
        "what is there at the start is registered at the start"
    );

    put(&root, "c/1/model.onnx", "new");
    following
        .until(|known| known.models.contains_key("c:1") && known.models.contains_key("c"))
        .await;

    put(&root, "c/2/model.onnx", "newer");
    following
        .until(|known| {
            known
                .models
                .get("c")
                .is_some_and(|model| model.path == "c/2/model.onnx")
        })
        .await;

    put(&root, "a.onnx", "other content");
    let after = following
        .until(|known| known.models["a"].id != before.models["a"].id)
        .await;
    assert_eq!(after.models["b"], before.models["b"]);

    put(&root, "a.onnx.tmp", "whole before it moves");
    fs::rename(root.join("a.onnx.tmp"), root.join("a.onnx")).unwrap();
    following.until(|known| known.models["a"].bytes == 21).await;

    fs::remove_dir_all(root.join("c")).unwrap();
    fs::remove_file(root.join("a.onnx")).unwrap();
    following.until(|known| known.models.keys().eq(["b"])).await;
    following.stop().await;
}

#[tokio::test]
async fn what_was_refused_is_tried_again() {
    let mut following = Following::start(&["a.onnx"]).await;
    let root = following.dir.path().to_owned();
    following.fake.1.lock().insert("b".to_owned());
    put(&root, "b.onnx", "new");
    following.until(|known| known.refused > 0).await;
    following.fake.1.lock().clear();
    put(&root, "c.onnx", "new");
    following
        .until(|known| known.models.contains_key("b") && known.models.contains_key("c"))
        .await;
    following.stop().await;
}

#[tokio::test]
async fn asks_how_a_switch_went_until_it_ended() {
    let mut following = Following::start(&["a.onnx"]).await;
    let asked = following.until(|known| known.asked > 0).await.asked;
    following.fake.0.send_modify(|known| known.failing = true);
    put(following.dir.path(), "a.onnx", "broken");
    following
        .until(|known| known.sets == 2 && known.asked > asked)
        .await;
    following.stop().await;
}

#[tokio::test]
async fn another_folder_in_the_same_place_is_followed() {
    let mut following = Following::start(&["a.onnx"]).await;
    let root = following.dir.path().to_owned();
    let (new, aside) = (root.with_extension("new"), root.with_extension("aside"));
    put(&new, "a.onnx", "other");
    fs::rename(&root, &aside).unwrap();
    fs::rename(&new, &root).unwrap();
    // A change in the old folder is the last that is heard of it.
    put(&aside, "b.onnx", "elsewhere");
    following.until(|known| known.models["a"].bytes == 5).await;
    put(&root, "c.onnx", "new");
    let known = following.until(|known| known.models.contains_key("c")).await;
    assert!(!known.models.contains_key("b"));
    following.stop().await;
    fs::remove_dir_all(&aside).unwrap();
}

#[tokio::test]
async fn a_folder_that_is_not_there_fails_the_start() {
    let fake = Fake(Arc::new(watch::channel(Known::default()).0), Arc::default());
    assert!(Watch::start("/nowhere/at/all".into(), fake).await.is_err());
}
