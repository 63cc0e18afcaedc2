//! The JSON file. Source of the names: `EtcdClusterConfig` of IBM's etcd-java, which ModelMesh reads it with.

use std::{fs, path::Path};

use serde_json::{Map, Value};

use super::{Settings, Tls, endpoints};

/// Takes the fields of the file one by one.
struct Fields<'a> {
    map: Map<String, Value>,
    /// Where relative paths begin.
    folder: &'a Path,
}

/// Reads the settings and the files that they name.
pub(super) fn parse(text: &[u8], folder: &Path) -> Result<Settings, String> {
    // The texts of the parser may hold a part of the file.
    let map = serde_json::from_slice(text)
        .map_err(|err| format!("not a JSON object: line {}, column {}", err.line(), err.column()))?;
    let mut fields = Fields { map, folder };
    let text = fields.text("endpoints")?.ok_or("`endpoints` is missing")?;
    let (endpoints, encrypted) = endpoints(&text).map_err(|err| format!("`endpoints`: {err}"))?;
    let user = fields.text("userid")?;
    let password = fields.text("password")?;
    let root_prefix = fields.text("root_prefix")?.unwrap_or_default();
    let mode = fields.text("tls_mode")?.map(|mode| mode.to_ascii_uppercase());
    let override_authority = fields.text("override_authority")?;
    let authorities = fields.content("certificate", "certificate_file")?;
    let key = fields.content("client_key", "client_key_file")?;
    let certificate = fields.content("client_certificate", "client_certificate_file")?;
    let client = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => {
            return Err("`client_certificate` wants `client_key` or `client_key_file` too".to_owned());
        }
        (None, Some(_)) => {
            return Err(
                "`client_key` wants `client_certificate` or `client_certificate_file` too".to_owned(),
            );
        }
    };
    let encrypted = match mode.as_deref() {
        None | Some("AUTO") => encrypted,
        Some("TLS") => true,
        Some("PLAINTEXT") => false,
        Some(_) => return Err("`tls_mode`: want TLS, PLAINTEXT or AUTO".to_owned()),
    };
    let user = match (user, password) {
        (Some(user), Some(password)) => Some((user, password)),
        (None, None) => None,
        (Some(_), None) => return Err("`userid` wants `password` too".to_owned()),
        (None, Some(_)) => return Err("`password` wants `userid` too".to_owned()),
    };
    Ok(Settings {
        endpoints,
        root_prefix,
        user,
        tls: encrypted.then_some(Tls { authorities, client }),
        override_authority,
    })
}

impl Fields<'_> {
    /// A text; what is empty or null is absent.
    fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.map.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
            Some(_) => Err(format!("`{name}`: want a text")),
        }
    }

    /// PEM in the field itself, or in the file that another one names.
    fn content(&mut self, field: &str, file: &str) -> Result<Option<Vec<u8>>, String> {
        match (self.text(field)?, self.text(file)?) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(format!("both `{field}` and `{file}`; one of them is enough")),
            // Some write the path into the field for the content.
            (Some(text), None) if text.trim_start().starts_with("-----BEGIN") => Ok(Some(text.into_bytes())),
            (Some(text), None) => self.read(field, &text).map(Some),
            (None, Some(path)) => self.read(file, &path).map(Some),
        }
    }

    fn read(&self, field: &str, path: &str) -> Result<Vec<u8>, String> {
        let path = self.folder.join(path);
        fs::read(&path).map_err(|err| format!("`{field}`: cannot read {}: {err}", path.display()))
    }
}
