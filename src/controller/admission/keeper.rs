//! Keeps the Secret with the certificates and the authorities that the API server trusts; tells the port what to serve.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_rustls::rustls::ServerConfig;
use tracing::{info, warn};

use super::certificate::{Certificate, Certificates, Terms};

/// Keeps one Secret and one configuration.
pub(super) struct Keeper {
    secrets: Api<Secret>,
    configurations: Api<ValidatingWebhookConfiguration>,
    /// Of both objects, and of the Service.
    name: String,
    /// The DNS name of the Service.
    host: String,
    terms: Terms,
    serve: watch::Sender<Option<Arc<ServerConfig>>>,
    /// What is served.
    served: Option<Certificate>,
    /// What was said last, so that it is said once.
    said: Option<String>,
}

impl Keeper {
    /// Secret and Service are in the client's own namespace.
    pub(super) fn new(
        client: Client,
        name: String,
        terms: Terms,
        serve: watch::Sender<Option<Arc<ServerConfig>>>,
    ) -> Self {
        let host = format!("{name}.{}.svc", client.default_namespace());
        Self {
            secrets: Api::default_namespaced(client.clone()),
            configurations: Api::all(client),
            name,
            host,
            terms,
            serve,
            served: None,
            said: None,
        }
    }

    /// Keeps them until the future is dropped.
    pub(super) async fn run(mut self) {
        loop {
            let kept = self.keep().await;
            let problem = kept.err();
            if problem != self.said {
                match &problem {
                    Some(problem) => warn!(%problem, "nobody may be warned at admission"),
                    None => info!("whoever applies a policy is warned at admission"),
                }
                self.said = problem;
            }
            sleep(self.terms.looks).await;
        }
    }

    async fn keep(&mut self) -> Result<(), String> {
        let certificates = self.certificates().await?;
        self.trust(&certificates.authorities()).await?;
        let served = certificates.served(self.terms, now());
        if let Some(served) = served.filter(|served| self.served.as_ref() != Some(served)) {
            self.serve.send_replace(Some(served.serve()?));
            self.served = Some(served.clone());
        }
        Ok(())
    }

    /// The certificates in the Secret, after what is due was done. Whoever else did it first, did it.
    async fn certificates(&self) -> Result<Certificates, String> {
        let Self { name, host, terms, .. } = self;
        let failed = |verb: &str, error: &kube::Error| {
            format!(
                "Secret `{name}` cannot be {verb}: {error}: `admission` of the chart makes it, and lets it be"
            )
        };
        loop {
            let mut secret =
                self.secrets.get(name).await.map_err(|error| failed("read", &error))?;
            let held = Certificates::read(secret.data.as_ref().unwrap_or(&Default::default()));
            let now = now();
            let make = || Certificate::make(host, now, terms.lasts);
            let due = held.due(*terms, host, now, make);
            let due = due.map_err(|error| format!("no certificate can be made: {error}"))?;
            let Some(due) = due else { return Ok(held) };
            secret.data = Some(due.write());
            match self.secrets.replace(name, &PostParams::default(), &secret).await {
                Ok(_) => return Ok(due),
                Err(kube::Error::Api(status)) if status.is_conflict() => {}
                Err(error) => return Err(failed("written", &error)),
            }
        }
    }

    /// Lets the API server trust these authorities.
    async fn trust(&self, authorities: &str) -> Result<(), String> {
        let name = &self.name;
        let failed = |verb: &str, error: &kube::Error| {
            format!(
                "ValidatingWebhookConfiguration `{name}` cannot be {verb}: {error}: `admission` of the chart makes it, and lets it be"
            )
        };
        let configuration =
            self.configurations.get(name).await.map_err(|error| failed("read", &error))?;
        let bundle = ByteString(authorities.as_bytes().to_vec());
        let webhooks = configuration.webhooks.unwrap_or_default();
        let mut patch = Vec::new();
        for (place, webhook) in webhooks.iter().enumerate() {
            if webhook.client_config.ca_bundle.as_ref() != Some(&bundle) {
                // Whoever edits the list meanwhile is not overwritten.
                patch.push(json!({
                    "op": "test",
                    "path": format!("/webhooks/{place}/name"),
                    "value": webhook.name,
                }));
                patch.push(json!({
                    "op": "add",
                    "path": format!("/webhooks/{place}/clientConfig/caBundle"),
                    "value": bundle,
                }));
            }
        }
        if patch.is_empty() {
            return Ok(());
        }
        let patch = serde_json::from_value(json!(patch)).map_err(|error| error.to_string())?;
        let patch = Patch::<()>::Json(patch);
        let patched = self.configurations.patch(name, &PatchParams::default(), &patch).await;
        patched.map_err(|error| failed("patched", &error))?;
        Ok(())
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
