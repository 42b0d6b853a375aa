//! What others did to groups of ours, as a picture tells (DESIGN §6.10).

use std::sync::Arc;

use crate::finding::{Effect, Finding, Reason};
use crate::firewall::{GroupNumber, Naming, Rule};
use crate::policy::{Kind, ObjectRef};
use crate::provider::Observed;

/// The rules that someone else keeps in groups of ours, and that stay.
///
/// They hold no flows: which ones a rule lets through says the rule, and [`crate::explain`] names it where policies deny one.
#[must_use]
pub fn kept(observed: &Observed, cluster: &str) -> Vec<Finding> {
    let rules = observed.foreign_rules.iter();
    rules.map(|(group, rule)| foreign_rule(*group, rule, cluster)).collect()
}

/// A rule that someone else keeps in a group of ours.
pub(crate) fn foreign_rule(group: GroupNumber, rule: &Rule, cluster: &str) -> Finding {
    finding(
        group,
        cluster,
        (Reason::ForeignRule, Effect::NotEnforced),
        format!(
            "the AWS load balancer controller keeps `{}` in `{}`, and Moat leaves it there: let a policy allow what the load \
             balancer needs, and end the Ingress or Service behind it to be rid of the rule",
            rule.named(cluster),
            group.named(cluster),
        ),
    )
}

/// A finding about a group of ours.
fn finding(
    group: GroupNumber,
    cluster: &str,
    (reason, effect): (Reason, Effect),
    message: String,
) -> Finding {
    let name = group.named(cluster).into();
    Finding {
        object: ObjectRef { kind: Kind::SecurityGroup, namespace: None, name },
        path: "".into(),
        reason,
        effect,
        message: message.into(),
        flows: Arc::default(),
        witness: None,
        location: None,
    }
}
