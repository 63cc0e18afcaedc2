use std::fs;

use tempfile::TempDir;

use super::*;

fn parsed(text: &str) -> Settings {
    Config::parse(text).unwrap().load().unwrap()
}

fn refused(text: &str) -> String {
    Config::parse(text).unwrap_err().to_string()
}

fn hosts(settings: &Settings) -> Vec<String> {
    settings.endpoints.iter().map(ToString::to_string).collect()
}

#[test]
fn connection_strings() {
    let settings = parsed("etcd:etcd:2379");
    assert_eq!(hosts(&settings), ["etcd:2379"]);
    assert_eq!((&*settings.root_prefix, settings.tls), ("", None));
    let settings = parsed("etcd:https://a:1, https://b ,[::1]:3;rootPrefix=/my/root");
    assert_eq!(hosts(&settings), ["a:1", "b:2379", "[::1]:3"]);
    assert_eq!(
        (&*settings.root_prefix, settings.tls),
        ("/my/root", Some(Tls::default()))
    );
    assert_eq!(parsed("etcd:http://127.0.0.1:2379/").tls, None);
    assert_eq!(hosts(&parsed("etcd:a,a,b;")), ["a:2379", "b:2379"]);
}

#[test]
fn connection_strings_that_are_refused() {
    for (text, reason) in [
        ("zookeeper:zk:2181", "ZooKeeper is not supported"),
        ("etcd-0:2379", "must begin with `etcd:`"),
        ("", "must begin with `etcd:`"),
        ("etcd:", "nothing follows"),
        ("etcd:/no/such/file.json", "does not exist"),
        ("etcd:./file.json", "does not exist"),
        ("etcd:;rootPrefix=a", "no endpoint"),
        ("etcd:a:b", "endpoint \"a:b\": want `<host>:<port>`"),
        ("etcd:a:0", "want `<host>:<port>`"),
        ("etcd:a:70000", "want `<host>:<port>`"),
        ("etcd:[::1", "want `<host>:<port>`"),
        ("etcd:user@a:1", "want `<host>:<port>`"),
        ("etcd:ftp://a:1", "`ftp` is neither http nor https"),
        ("etcd:http://a:1,https://b:1", "must be of one kind"),
        ("etcd:a:1;password=s3cret", "unknown parameter `password`"),
        ("etcd:a:1;s3cret", "without `=`"),
    ] {
        let err = refused(text);
        assert!(
            err.starts_with("KV_STORE: ") && err.contains(reason),
            "{text}: {err}"
        );
        assert!(!err.contains("s3cret"), "{err}");
    }
}

/// The result for a file with this text, beside which `ca.pem` and `key.pem` lie.
fn file(text: &str) -> Result<Settings, String> {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("ca.pem"), "authorities").unwrap();
    fs::write(folder.path().join("key.pem"), "s3cret").unwrap();
    let path = folder.path().join("etcd.json");
    fs::write(&path, text).unwrap();
    let config = Config::parse(&format!("etcd:{}", path.display())).map_err(|err| err.to_string())?;
    Ok(config.load().unwrap())
}

#[test]
fn files() {
    let settings = file(
        r#"{"endpoints":"https://a:1,https://b:2","userid":"root","password":"s3cret","root_prefix":"pre",
            "certificate_file":"ca.pem","client_key_file":"key.pem",
            "client_certificate":"-----BEGIN CERTIFICATE-----","override_authority":"etcd","tls_mode":"auto"}"#,
    )
    .unwrap();
    assert_eq!(hosts(&settings), ["a:1", "b:2"]);
    assert_eq!(settings.user, Some(("root".into(), "s3cret".into())));
    assert_eq!(settings.override_authority.as_deref(), Some("etcd"));
    let tls = settings.tls.clone().unwrap();
    assert_eq!(tls.authorities.unwrap(), b"authorities");
    assert_eq!(tls.client.unwrap().1, b"s3cret");
    let shown = format!("{settings:?}");
    assert!(!shown.contains("s3cret"), "{shown}");

    assert_eq!(
        file(r#"{"endpoints":"a","tls_mode":"TLS"}"#).unwrap().tls,
        Some(Tls::default())
    );
    let plain = r#"{"endpoints":"https://a","tls_mode":"PLAINTEXT","userid":null,"later":1}"#;
    assert_eq!(file(plain).unwrap().tls, None);
    let tls = file(r#"{"endpoints":"https://a","certificate":"ca.pem"}"#)
        .unwrap()
        .tls
        .unwrap();
    assert_eq!(tls.authorities.unwrap(), b"authorities");
}

#[test]
fn files_that_are_refused() {
    for (text, reason) in [
        ("s3cret", "not a JSON object: line 1, column 1"),
        (r#""s3cret""#, "not a JSON object"),
        ("{}", "`endpoints` is missing"),
        (r#"{"endpoints":["a"]}"#, "`endpoints`: want a text"),
        (r#"{"endpoints":"a:b"}"#, "`endpoints`: endpoint \"a:b\""),
        (r#"{"endpoints":"a","userid":"u"}"#, "`userid` wants `password`"),
        (
            r#"{"endpoints":"a","password":"s3cret"}"#,
            "`password` wants `userid`",
        ),
        (r#"{"endpoints":"a","password":1234}"#, "`password`: want a text"),
        (
            r#"{"endpoints":"a","tls_mode":"SSL"}"#,
            "`tls_mode`: want TLS, PLAINTEXT or AUTO",
        ),
        (
            r#"{"endpoints":"a","client_key_file":"key.pem"}"#,
            "`client_key` wants",
        ),
        (
            r#"{"endpoints":"a","client_certificate_file":"ca.pem"}"#,
            "`client_certificate` wants",
        ),
        (
            r#"{"endpoints":"a","certificate_file":"gone.pem"}"#,
            "`certificate_file`: cannot read",
        ),
        (
            r#"{"endpoints":"a","certificate":"a","certificate_file":"b"}"#,
            "both `certificate` and",
        ),
    ] {
        let err = file(text).unwrap_err();
        assert!(
            err.contains("etcd.json: ") && err.contains(reason),
            "{text}: {err}"
        );
        assert!(!err.contains("s3cret") && !err.contains("1234"), "{err}");
    }
}
