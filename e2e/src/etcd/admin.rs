//! Administration over etcd's HTTP gateway, so that nothing here depends on the client under test.

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use kube::{Client, Config};
use serde_json::{Value, json};

use super::Etcd;

impl Etcd {
    /// Posts to one member, such as `/v3/kv/range`.
    pub async fn post(&self, member: usize, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.post_as(member, path, body, None).await
    }

    async fn post_as(
        &self,
        member: usize,
        path: &str,
        body: &Value,
        token: Option<&str>,
    ) -> anyhow::Result<Value> {
        let url = format!("http://127.0.0.1:{}", self.members[member].admin);
        let client = Client::try_from(Config::new(url.parse()?))?;
        let mut request = http::Request::post(path);
        if let Some(token) = token {
            request = request.header("authorization", token);
        }
        let request = request.body(body.to_string().into_bytes())?;
        let text = client
            .request_text(request)
            .await
            .with_context(|| format!("POST {path}"))?;
        serde_json::from_str(&text).context("answer of etcd")
    }

    /// Puts a value under a full key.
    pub async fn put(&self, key: &str, value: &str) -> anyhow::Result<()> {
        let body = json!({"key": STANDARD.encode(key), "value": STANDARD.encode(value)});
        self.post(0, "/v3/kv/put", &body).await.map(drop)
    }

    /// Deletes a full key.
    pub async fn delete(&self, key: &str) -> anyhow::Result<()> {
        let body = json!({"key": STANDARD.encode(key)});
        self.post(0, "/v3/kv/deleterange", &body).await.map(drop)
    }

    /// All full keys.
    pub async fn keys(&self) -> anyhow::Result<Vec<String>> {
        let all = STANDARD.encode("\0");
        let body = json!({"key": all, "range_end": all, "keys_only": true});
        let answer = self.post(0, "/v3/kv/range", &body).await?;
        let keys = answer["kvs"].as_array().cloned().unwrap_or_default();
        let key = |kv: Value| -> anyhow::Result<String> {
            let bytes = STANDARD.decode(kv["key"].as_str().context("a key")?)?;
            Ok(String::from_utf8(bytes)?)
        };
        keys.into_iter().map(key).collect()
    }

    /// Forgets all history, and gives its space back.
    pub async fn compact(&self, member: usize) -> anyhow::Result<()> {
        let status = self.post(member, "/v3/maintenance/status", &json!({})).await?;
        let revision = &status["header"]["revision"];
        let body = json!({"revision": revision, "physical": true});
        self.post(member, "/v3/kv/compaction", &body).await?;
        self.post(member, "/v3/maintenance/defragment", &json!({}))
            .await
            .map(drop)
    }

    /// The member that leads, as `member` sees it.
    pub async fn leader(&self, member: usize) -> anyhow::Result<usize> {
        let status = self.post(member, "/v3/maintenance/status", &json!({})).await?;
        for other in 0..self.members() {
            if let Ok(answer) = self.post(other, "/v3/maintenance/status", &json!({})).await
                && answer["header"]["member_id"] == status["leader"]
            {
                return Ok(other);
            }
        }
        anyhow::bail!("no leader: {status}")
    }

    /// From now on nobody may do anything without logging in as root with this password, or as a user who was added.
    pub async fn enable_auth(&self, password: &str) -> anyhow::Result<()> {
        let add = json!({"name": "root", "password": password});
        self.post(0, "/v3/auth/user/add", &add).await?;
        self.post(0, "/v3/auth/role/add", &json!({"name": "root"}))
            .await?;
        self.post(0, "/v3/auth/user/grant", &json!({"user": "root", "role": "root"}))
            .await?;
        self.post(0, "/v3/auth/enable", &json!({})).await.map(drop)
    }

    /// Adds a user who may read and write every key that begins with `prefix`.
    pub async fn add_user(&self, root: &str, user: &str, password: &str, prefix: &str) -> anyhow::Result<()> {
        let token = self.token("root", root).await?;
        let token = Some(token.as_str());
        let mut end = prefix.as_bytes().to_vec();
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        let permission = json!({"permType": "READWRITE", "key": STANDARD.encode(prefix), "range_end": STANDARD.encode(end)});
        for (path, body) in [
            ("/v3/auth/user/add", json!({"name": user, "password": password})),
            ("/v3/auth/role/add", json!({"name": user})),
            ("/v3/auth/role/grant", json!({"name": user, "perm": permission})),
            ("/v3/auth/user/grant", json!({"user": user, "role": user})),
        ] {
            self.post_as(0, path, &body, token).await?;
        }
        Ok(())
    }

    /// Changes a password.
    pub async fn change_password(&self, root: &str, user: &str, password: &str) -> anyhow::Result<()> {
        let token = self.token("root", root).await?;
        let body = json!({"name": user, "password": password});
        self.post_as(0, "/v3/auth/user/changepw", &body, Some(&token))
            .await
            .map(drop)
    }

    async fn token(&self, user: &str, password: &str) -> anyhow::Result<String> {
        let body = json!({"name": user, "password": password});
        let answer = self.post(0, "/v3/auth/authenticate", &body).await?;
        Ok(answer["token"].as_str().context("a token")?.to_owned())
    }
}
