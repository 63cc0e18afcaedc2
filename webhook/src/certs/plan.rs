//! What has to be done to certificates, decided from what they are and the time. Pure.
//!
//! An authority that gets old is replaced in two steps, so that no handshake fails: first the new one is added to what the
//! API server trusts, and only when that is written does it sign.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_parser::{extensions::GeneralName, pem::Pem, prelude::X509Certificate};

use super::issue::{Authority, Pair, SKEW};

/// How long an authority is valid.
pub const AUTHORITY_LIFETIME: Duration = Duration::from_hours(24 * 365 * 5);

/// What the Secret holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Material {
    /// The authority that signed the certificate.
    pub authority: Option<Pair>,
    /// The authority that comes next; trusted already, or soon.
    pub next: Option<Pair>,
    /// An authority that signed earlier, certificate only: trusted until it expires.
    pub previous: Option<String>,
    /// The server's certificate.
    pub leaf: Option<Pair>,
}

/// Where the certificate has to be valid, and how long.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// DNS names and addresses.
    pub names: Vec<String>,
    /// Of the server's certificate.
    pub lifetime: Duration,
}

/// Why something is done; for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is no usable authority: everything is new.
    Begin,
    /// The authority is old: the next one is made, to be trusted first.
    Announce,
    /// The next authority is trusted by now: it signs from here on.
    Promote,
    /// The certificate is missing, old, for other names or another's: a new one is signed.
    Renew,
}

impl Material {
    /// PEM of everybody whom the API server has to trust.
    pub fn bundle(&self) -> String {
        let now = self
            .authority
            .iter()
            .chain(&self.next)
            .map(|pair| &pair.certificate);
        now.chain(&self.previous).map(|pem| with_newline(pem)).collect()
    }

    /// What is to be done next. `trusted` says whether [`Material::bundle`] is in the webhook configurations for long
    /// enough.
    pub fn step(&self, wanted: &Wanted, now: SystemTime, trusted: bool) -> Option<Step> {
        let Some(authority) = self
            .authority
            .as_ref()
            .filter(|pair| lives(&pair.certificate, now))
        else {
            return Some(Step::Begin);
        };
        let leaf_is_good = self.leaf.as_ref().is_some_and(|leaf| {
            !old(&leaf.certificate, now)
                && signed_by(&leaf.certificate, &authority.certificate)
                && covers(&leaf.certificate, &wanted.names)
        });
        if !leaf_is_good {
            return Some(Step::Renew);
        }
        if !old(&authority.certificate, now) {
            return None;
        }
        match &self.next {
            None => Some(Step::Announce),
            Some(_) if trusted => Some(Step::Promote),
            Some(_) => None,
        }
    }

    /// The material after `step`.
    pub fn after(&self, step: Step, wanted: &Wanted, now: SystemTime) -> Result<Self, rcgen::Error> {
        let authority = |pair: &Option<Pair>| match pair {
            Some(pair) => Ok(Authority { pair: pair.clone() }),
            None => Authority::generate(now, AUTHORITY_LIFETIME),
        };
        let mut after = self.clone();
        match step {
            Step::Begin => {
                let begun = Authority::generate(now, AUTHORITY_LIFETIME)?;
                after = Self {
                    leaf: Some(begun.issue(&wanted.names, now, wanted.lifetime)?),
                    authority: Some(begun.pair),
                    ..Self::default()
                };
            }
            Step::Announce => after.next = Some(Authority::generate(now, AUTHORITY_LIFETIME)?.pair),
            Step::Promote => {
                let next = authority(&self.next)?;
                after.leaf = Some(next.issue(&wanted.names, now, wanted.lifetime)?);
                after.previous = self.authority.as_ref().map(|pair| pair.certificate.clone());
                after.authority = Some(next.pair);
                after.next = None;
            }
            Step::Renew => {
                after.leaf = Some(authority(&self.authority)?.issue(&wanted.names, now, wanted.lifetime)?);
            }
        }
        if after.previous.as_ref().is_some_and(|pem| !lives(pem, now)) {
            after.previous = None;
        }
        Ok(after)
    }
}

fn with_newline(pem: &str) -> String {
    format!("{}\n", pem.trim_end())
}

fn read<T>(pem: &str, look: impl FnOnce(&X509Certificate<'_>) -> Option<T>) -> Option<T> {
    let pem = Pem::iter_from_buffer(pem.as_bytes()).next()?.ok()?;
    look(&pem.parse_x509().ok()?)
}

fn validity(pem: &str) -> Option<(SystemTime, SystemTime)> {
    let time = |seconds: i64| UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?));
    read(pem, |certificate| {
        let validity = certificate.validity();
        Some((
            time(validity.not_before.timestamp())?,
            time(validity.not_after.timestamp())?,
        ))
    })
}

fn lives(pem: &str, now: SystemTime) -> bool {
    validity(pem).is_some_and(|(_, end)| now < end)
}

/// Past two thirds of its life, or unreadable. Its life begins when it is made, not with the allowance for clocks.
fn old(pem: &str, now: SystemTime) -> bool {
    validity(pem).is_none_or(|(begin, end)| {
        let made = begin + SKEW;
        let life = end.duration_since(made).unwrap_or_default();
        now.duration_since(made).is_ok_and(|age| age > life * 2 / 3)
    })
}

fn signed_by(leaf: &str, authority: &str) -> bool {
    // All of our authorities have one name; the key identifiers tell them apart.
    let issuer = read(leaf, |certificate| {
        let mut extensions = certificate.extensions().iter();
        extensions.find_map(|extension| match extension.parsed_extension() {
            x509_parser::extensions::ParsedExtension::AuthorityKeyIdentifier(id) => {
                id.key_identifier.as_ref().map(|id| id.0.to_vec())
            }
            _ => None,
        })
    });
    let subject = read(authority, |certificate| {
        let mut extensions = certificate.extensions().iter();
        extensions.find_map(|extension| match extension.parsed_extension() {
            x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        })
    });
    issuer.is_some() && issuer == subject
}

fn covers(leaf: &str, names: &[String]) -> bool {
    let held = read(leaf, |certificate| {
        let held = certificate.subject_alternative_name().ok()??;
        let names = held.value.general_names.iter();
        Some(
            names
                .filter_map(|name| match name {
                    GeneralName::DNSName(name) => Some((*name).to_owned()),
                    GeneralName::IPAddress(bytes) => address(bytes),
                    _ => None,
                })
                .collect::<Vec<_>>(),
        )
    });
    held.is_some_and(|held| names.iter().all(|name| held.contains(name)))
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(std::net::IpAddr::from);
    let v6 = <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from);
    Some(v4.or(v6).ok()?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::issue::names;

    const DAY: Duration = Duration::from_hours(24);

    fn wanted() -> Wanted {
        Wanted {
            names: names("hook", "kserve", &["127.0.0.1".to_owned()]),
            lifetime: 90 * DAY,
        }
    }

    fn begun(now: SystemTime) -> Material {
        let empty = Material::default();
        assert_eq!(empty.step(&wanted(), now, false), Some(Step::Begin));
        empty.after(Step::Begin, &wanted(), now).unwrap()
    }

    #[test]
    fn a_new_one_needs_nothing() {
        let now = SystemTime::now();
        let material = begun(now);
        assert_eq!(material.step(&wanted(), now, true), None);
        assert_eq!(material.bundle().matches("BEGIN CERTIFICATE").count(), 1);
    }

    #[test]
    fn a_leaf_is_renewed_before_it_expires_by_the_same_authority() {
        let now = SystemTime::now();
        let material = begun(now);
        assert_eq!(material.step(&wanted(), now + 59 * DAY, true), None);
        let later = now + 61 * DAY;
        assert_eq!(material.step(&wanted(), later, true), Some(Step::Renew));
        let renewed = material.after(Step::Renew, &wanted(), later).unwrap();
        assert_eq!(renewed.step(&wanted(), later, true), None);
        assert_eq!(renewed.bundle(), material.bundle());
        assert_ne!(renewed.leaf, material.leaf);
    }

    #[test]
    fn a_short_life_is_used_as_far_as_a_long_one() {
        let now = SystemTime::now();
        let wanted = Wanted {
            lifetime: Duration::from_mins(1),
            ..wanted()
        };
        let material = Material::default().after(Step::Begin, &wanted, now).unwrap();
        let after = |seconds| material.step(&wanted, now + Duration::from_secs(seconds), true);
        assert_eq!(after(0), None);
        assert_eq!(after(38), None);
        assert_eq!(after(42), Some(Step::Renew));
    }

    #[test]
    fn other_names_ask_for_another_leaf() {
        let now = SystemTime::now();
        let material = begun(now);
        let mut wanted = wanted();
        wanted.names.push("hook.example.org".to_owned());
        assert_eq!(material.step(&wanted, now, true), Some(Step::Renew));
    }

    #[test]
    fn an_authority_is_trusted_before_it_signs() {
        let now = SystemTime::now();
        let later = now + AUTHORITY_LIFETIME * 3 / 4;
        let old = begun(now);
        let old = old.after(Step::Renew, &wanted(), later).unwrap();
        assert_eq!(old.step(&wanted(), later, true), Some(Step::Announce));
        let announced = old.after(Step::Announce, &wanted(), later).unwrap();
        assert_eq!(announced.leaf, old.leaf);
        assert_eq!(announced.bundle().matches("BEGIN CERTIFICATE").count(), 2);
        assert_eq!(announced.step(&wanted(), later, false), None);
        assert_eq!(announced.step(&wanted(), later, true), Some(Step::Promote));
        let promoted = announced.after(Step::Promote, &wanted(), later).unwrap();
        assert_eq!(promoted.step(&wanted(), later, true), None);
        // Until the old one expires, what it signed is still believed.
        assert_eq!(promoted.bundle().matches("BEGIN CERTIFICATE").count(), 2);
        let end = now + AUTHORITY_LIFETIME + DAY;
        let renewed = promoted.after(Step::Renew, &wanted(), end).unwrap();
        assert_eq!(renewed.bundle().matches("BEGIN CERTIFICATE").count(), 1);
    }

    #[test]
    fn what_cannot_be_read_or_used_is_replaced() {
        let now = SystemTime::now();
        let mut broken = begun(now);
        broken.authority.as_mut().unwrap().certificate = "nonsense".to_owned();
        assert_eq!(broken.step(&wanted(), now, true), Some(Step::Begin));
        let mut other = begun(now);
        other.leaf = begun(now).leaf;
        assert_eq!(other.step(&wanted(), now, true), Some(Step::Renew));
        let expired = now + AUTHORITY_LIFETIME + DAY;
        assert_eq!(begun(now).step(&wanted(), expired, true), Some(Step::Begin));
    }
}
