//! The account's limits, as Service Quotas tells them.

use std::collections::BTreeMap;

use aws_sdk_servicequotas::Client;
use moat_core::provider::QuotaKind;
use moat_core::settings::Quotas;

use crate::Aws;
use crate::call::Call;
use crate::errors::Meaning;

/// The limits, and why some of them are not the account's word.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) quotas: Quotas,
    pub(crate) assumed: BTreeMap<QuotaKind, String>,
}

/// The service whose quotas they are.
const SERVICE: &str = "vpc";

/// The code of a quota (Service Quotas; "Amazon VPC quotas" links to them).
const fn code(kind: QuotaKind) -> &'static str {
    match kind {
        QuotaKind::RulesPerGroup => "L-0EA8095F",
        QuotaKind::GroupsPerInterface => "L-2AFB9258",
        QuotaKind::Groups => "L-E79EC296",
        QuotaKind::EntriesPerAcl => "L-2AEEBF1A",
    }
}

impl Aws {
    /// The limits; for those that the account does not tell, the configured ones.
    pub(crate) async fn read_limits(&self) -> Limits {
        let asked = QuotaKind::ALL.into_iter().map(|kind| self.read_limit(kind));
        let told = self.time.side_by_side(asked).await;
        let mut limits = Limits { quotas: self.config.quotas, assumed: BTreeMap::new() };
        for (kind, told) in QuotaKind::ALL.into_iter().zip(told) {
            match told {
                Ok(limit) => *limits.quotas.of_mut(kind) = limit,
                Err(reason) => {
                    limits.assumed.insert(kind, reason);
                }
            }
        }
        limits.quotas = limits.quotas.within_the_product();
        limits
    }

    async fn read_limit(&self, kind: QuotaKind) -> Result<usize, String> {
        let client: &Client = self.service_quotas.as_ref().ok_or("nobody asked for it")?;
        let request = client.get_service_quota().service_code(SERVICE).quota_code(code(kind));
        let answer = self.send(Call::GetServiceQuota, || request.clone().send()).await;
        let answer = answer.map_err(|failure| match failure.meaning {
            Meaning::Throttled
            | Meaning::Unknown
            | Meaning::Unreached
            | Meaning::Unauthorized
            | Meaning::Credentials => {
                self.told(failure, &format!("the quota {}", code(kind))).to_string()
            }
            Meaning::NotFound => {
                format!("there is no quota `{}` ({}): ask AWS", code(kind), failure.code)
            }
            Meaning::Duplicate
            | Meaning::Quota(_)
            | Meaning::InUse
            | Meaning::NotOurs
            | Meaning::Invalid => failure.text,
        })?;
        let value = answer.quota().and_then(|quota| quota.value());
        // The API tells whole numbers as floating ones.
        let value = value.and_then(|value| value.to_string().parse().ok());
        value.filter(|limit| *limit > 0).ok_or_else(|| "its value is no number".to_owned())
    }
}
