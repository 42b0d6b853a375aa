//! Certificates in a Secret, and when which of them is used: pure, but for the keys themselves.
//!
//! A certificate is signed by an authority made for it alone, whose key is forgotten at once. The API server trusts all
//! authorities in the Secret. So the next certificate is in the Secret, and its authority trusted, for a while before anybody
//! serves it; and the former one stays trusted for as long after. Everybody reads the same Secret and the same clock, so all
//! replicas change over together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use k8s_openapi::ByteString;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// How long certificates last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// From when it is made until it ends.
    pub lasts: Duration,
    /// The next one is made so long before the end.
    pub renewed: Duration,
    /// It is served so long after it was made, and the former one trusted as long again.
    pub settles: Duration,
    /// How often everybody looks at the Secret; shorter than it takes to settle.
    pub looks: Duration,
}

/// A certificate with its key and its authority, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    authority: String,
    chain: String,
    key: String,
    /// The name it is for.
    name: String,
    /// When it was made, in seconds since 1970.
    made: u64,
}

/// What the Secret holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Certificates {
    current: Option<Certificate>,
    next: Option<Certificate>,
}

impl Default for Terms {
    fn default() -> Self {
        const DAY: u64 = 24 * 60 * 60;
        Self {
            lasts: Duration::from_secs(90 * DAY),
            renewed: Duration::from_secs(30 * DAY),
            settles: Duration::from_secs(10 * 60),
            looks: Duration::from_secs(60),
        }
    }
}

// ------------------------------------------------------------------------------------------ Certificates

/// The keys of the Secret: the certificate that is served and the one that comes after.
const CURRENT: [&str; 5] = ["ca.crt", "tls.crt", "tls.key", "name", "made"];
const NEXT: [&str; 5] = ["next-ca.crt", "next-tls.crt", "next-tls.key", "next-name", "next-made"];

impl Certificates {
    /// What is in a Secret; a certificate that is not whole is not there.
    pub(super) fn read(data: &BTreeMap<String, ByteString>) -> Self {
        let certificate = |keys: [&str; 5]| {
            let [authority, chain, key, name, made] = keys.map(|key| {
                let text = data.get(key).and_then(|bytes| String::from_utf8(bytes.0.clone()).ok());
                text.unwrap_or_default()
            });
            let certificate = Certificate { authority, chain, key, name, made: made.parse().ok()? };
            certificate.serve().is_ok().then_some(certificate)
        };
        Self { current: certificate(CURRENT), next: certificate(NEXT) }
    }

    /// What the Secret is to hold.
    pub(super) fn write(&self) -> BTreeMap<String, ByteString> {
        let entries = |keys: [&'static str; 5], certificate: &Option<Certificate>| {
            let texts = certificate.as_ref().map(|it| {
                let made = it.made.to_string();
                [&it.authority, &it.chain, &it.key, &it.name, &made].map(|text| text.clone())
            });
            keys.into_iter().zip(texts.into_iter().flatten()).collect::<Vec<_>>()
        };
        let all = entries(CURRENT, &self.current).into_iter().chain(entries(NEXT, &self.next));
        all.map(|(key, text)| (key.to_owned(), ByteString(text.into_bytes()))).collect()
    }

    /// What the Secret should hold at a time, if it is something else; `make` makes a certificate.
    pub(super) fn due<E>(
        &self,
        terms: Terms,
        name: &str,
        now: u64,
        make: impl FnOnce() -> Result<Certificate, E>,
    ) -> Result<Option<Self>, E> {
        let age = |certificate: &Certificate| now.saturating_sub(certificate.made);
        let lasts = terms.lasts.as_secs();
        let current = self.current.as_ref().filter(|current| age(current) < lasts);
        let next = self.next.as_ref().filter(|next| age(next) < lasts && next.name == name);
        let settled = |next: &&Certificate| age(next) >= 2 * terms.settles.as_secs();
        let renews = |current: &Certificate| {
            current.name != name || age(current) >= lasts.saturating_sub(terms.renewed.as_secs())
        };
        let certificates = match (current, next) {
            (None, None) => Self { current: Some(make()?), next: None },
            (None, Some(next)) => Self { current: Some(next.clone()), next: None },
            (Some(_), Some(next)) if settled(&next) => {
                Self { current: Some(next.clone()), next: None }
            }
            (Some(current), None) if renews(current) => {
                Self { current: Some(current.clone()), next: Some(make()?) }
            }
            (Some(current), next) => Self { current: Some(current.clone()), next: next.cloned() },
        };
        Ok((certificates != *self).then_some(certificates))
    }

    /// The certificate that is served at a time.
    pub(super) fn served(&self, terms: Terms, now: u64) -> Option<&Certificate> {
        let settled = |next: &&Certificate| {
            self.current.is_none() || now.saturating_sub(next.made) >= terms.settles.as_secs()
        };
        self.next.as_ref().filter(settled).or(self.current.as_ref())
    }

    /// The authorities that the API server is to trust.
    pub(super) fn authorities(&self) -> String {
        let both = [&self.current, &self.next].into_iter().flatten();
        both.map(|certificate| certificate.authority.as_str()).collect()
    }
}

// ------------------------------------------------------------------------------------------- Certificate

/// Clocks that are behind by less accept a certificate at once.
const SKEW: Duration = Duration::from_secs(60 * 60);

impl Certificate {
    /// Makes one for a DNS name, and for `localhost`, where the controller runs beside the API server.
    pub(super) fn make(name: &str, now: u64, lasts: Duration) -> Result<Self, rcgen::Error> {
        let made = UNIX_EPOCH + Duration::from_secs(now);
        let within = |mut params: CertificateParams, called: &str| {
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, called);
            params.not_before = (made - SKEW).into();
            params.not_after = (made + lasts).into();
            params
        };
        let mut authority = within(CertificateParams::default(), "moat admission authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let names = vec![name.to_owned(), "localhost".to_owned()];
        let mut params = within(CertificateParams::new(names)?, "moat admission");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &authority)?;
        Ok(Self {
            authority: authority.pem(),
            chain: certificate.pem(),
            key: key.serialize_pem(),
            name: name.to_owned(),
            made: now,
        })
    }

    /// How to serve it; the error is in words.
    pub(super) fn serve(&self) -> Result<Arc<ServerConfig>, String> {
        let words = |error: &dyn std::fmt::Display| error.to_string();
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(self.chain.as_bytes()).collect();
        let chain = chain.map_err(|error| words(&error))?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes());
        let key = key.map_err(|error| words(&error))?;
        let config = ServerConfig::builder_with_provider(default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(|error| words(&error))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| words(&error))?;
        Ok(config.into())
    }
}

impl std::fmt::Debug for Certificate {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, made, .. } = self;
        f.debug_struct("Certificate")
            .field("name", name)
            .field("made", made)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms {
        lasts: Duration::from_secs(1_000),
        renewed: Duration::from_secs(300),
        settles: Duration::from_secs(50),
        looks: Duration::from_secs(10),
    };

    /// When something became otherwise: what is trusted, and what is served.
    type Seen = (u64, (Vec<u64>, Option<u64>));

    fn at(certificates: &Certificates, name: &str, now: u64) -> Certificates {
        let make = || Certificate::make(name, now, TERMS.lasts);
        let due = certificates.due(TERMS, name, now, make).expect("keys");
        due.unwrap_or_else(|| certificates.clone())
    }

    fn made(certificates: &Certificates, now: u64) -> (Vec<u64>, Option<u64>) {
        let all = [&certificates.current, &certificates.next].into_iter().flatten();
        let served = certificates.served(TERMS, now).map(|certificate| certificate.made);
        (all.map(|certificate| certificate.made).collect(), served)
    }

    #[test]
    fn a_certificate_is_trusted_before_it_is_served_and_the_former_one_after() {
        let mut kept = Certificates::default();
        let mut seen: Vec<Seen> = Vec::new();
        for now in (10_000..12_000).step_by(10) {
            kept = at(&kept, "a.b.svc", now);
            let (trusted, served) = made(&kept, now);
            if seen.last().is_none_or(|(_, last)| *last != (trusted.clone(), served)) {
                seen.push((now, (trusted, served)));
            }
        }
        let expected = [
            (10_000, (vec![10_000], Some(10_000))),
            (10_700, (vec![10_000, 10_700], Some(10_000))),
            (10_750, (vec![10_000, 10_700], Some(10_700))),
            (10_800, (vec![10_700], Some(10_700))),
            (11_400, (vec![10_700, 11_400], Some(10_700))),
            (11_450, (vec![10_700, 11_400], Some(11_400))),
            (11_500, (vec![11_400], Some(11_400))),
        ];
        assert_eq!(seen, expected);
        assert_eq!(kept.authorities().matches("BEGIN CERTIFICATE").count(), 1);
    }

    #[test]
    fn what_is_written_is_read_and_what_is_broken_is_made_anew() {
        let kept = at(&at(&Certificates::default(), "a.b.svc", 0), "a.b.svc", 700);
        assert_eq!(kept.authorities().matches("BEGIN CERTIFICATE").count(), 2);
        let mut data = kept.write();
        assert_eq!(Certificates::read(&data), kept);
        data.insert("tls.key".to_owned(), ByteString(b"nonsense".to_vec()));
        let broken = Certificates::read(&data);
        assert_eq!(made(&broken, 700), (vec![700], Some(700)));
        assert_eq!(made(&at(&broken, "a.b.svc", 700), 700), (vec![700], Some(700)));
        assert_eq!(Certificates::read(&BTreeMap::new()), Certificates::default());
        // A Secret that nobody looked after for long.
        assert_eq!(made(&at(&kept, "a.b.svc", 5_000), 5_000), (vec![5_000], Some(5_000)));
        // Another name needs another certificate.
        let renamed = at(&at(&Certificates::default(), "a.b.svc", 0), "c.d.svc", 100);
        assert_eq!(made(&renamed, 100), (vec![0, 100], Some(0)));
        assert_eq!(made(&at(&renamed, "c.d.svc", 200), 200), (vec![100], Some(100)));
    }
}
