//! The webhook that warns.

use std::net::SocketAddr;

use moat_core::policy::Word;
use serde::Deserialize;

use super::values::label;

/// Where a controller answers the API server's question what will become of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Admission {
    /// An address with a port, such as `[::]:9443`, that is answered over TLS. Default: none, so nobody is warned.
    #[serde(default)]
    pub address: Option<SocketAddr>,
    /// The name of the ValidatingWebhookConfiguration that calls, of the Service that it calls, and of the Secret that holds the
    /// certificate. Service and Secret are in the namespace of the controller. A DNS label; default `moat-admission`.
    #[serde(default)]
    pub name: WebhookName,
}

/// The name of a Service and of what goes with it: a DNS label (RFC 1123).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct WebhookName(Word);

impl WebhookName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for WebhookName {
    fn default() -> Self {
        Self("moat-admission".into())
    }
}

impl TryFrom<String> for WebhookName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        label(&name, "the name of a webhook").map(Self)
    }
}
