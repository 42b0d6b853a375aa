//! Where the limits that plans keep to are not the account's own word, a line says so.

use std::collections::BTreeMap;

use moat_core::provider::QuotaKind;
use moat_core::settings::Quotas;
use moat_k8s::configuration::QuotaOverrides;

/// What a person should know of the limits: those that are neither told nor configured, and configured ones that the account
/// does not grant.
pub(crate) fn remarks(
    told: Quotas,
    assumed: &BTreeMap<QuotaKind, String>,
    configured: &QuotaOverrides,
) -> Vec<String> {
    let mut remarks = Vec::new();
    for kind in QuotaKind::ALL {
        let limit = told.of(kind);
        match (assumed.get(&kind), configured.of(kind)) {
            (Some(reason), None) => remarks.push(format!(
                "the account's quota of {kind} is not known, so it is taken to be {limit}: {reason}, or set `quotas`"
            )),
            (None, Some(wanted)) if wanted > limit => remarks.push(format!(
                "the account's quota of {kind} is {limit}, and `quotas` says {wanted}: raise it, or lower `quotas`"
            )),
            (Some(_) | None, Some(_)) | (None, None) => {}
        }
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_are_not_the_accounts_word_are_remarked_on() {
        let told = Quotas { rules_per_group: 100, ..Quotas::default() };
        let nothing = QuotaOverrides::default();
        assert_eq!(remarks(told, &BTreeMap::new(), &nothing), Vec::<String>::new());
        let refused =
            "not allowed to call `servicequotas:GetServiceQuota`: give the role this permission";
        let assumed = BTreeMap::from([(QuotaKind::Groups, refused.to_owned())]);
        assert_eq!(
            remarks(told, &assumed, &nothing),
            [format!(
                "the account's quota of groups is not known, so it is taken to be 2500: {refused}, or set `quotas`"
            )]
        );
        let configured = QuotaOverrides {
            groups: Some(9_999),
            rules_per_group: Some(120),
            groups_per_interface: Some(4),
            ..QuotaOverrides::default()
        };
        assert_eq!(
            remarks(told, &assumed, &configured),
            [
                "the account's quota of rules per group is 100, and `quotas` says 120: raise it, or lower `quotas`"
            ]
        );
    }
}
