//! Plans: groups, stages, and what is left as it is.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Finding, Flow, Object};

/// `moat plan` and `moat apply`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Plan {
    /// The form and its version.
    #[schemars(extend("const" = "moat.dev/plan/v1"))]
    pub(crate) api_version: &'static str,
    /// What should be in the cloud: our groups, with the numbers that they bear there.
    pub(crate) groups: Vec<Group>,
    /// The network ACLs of ours that should guard subnets.
    pub(crate) acls: Vec<Acl>,
    /// What is to be done, in order; for `apply`, what was done, in all its rounds.
    pub(crate) stages: Vec<Stage>,
    /// What the cloud cannot say, and what was not understood.
    pub(crate) findings: Vec<Finding>,
    /// Sizes and lower bounds.
    pub(crate) counts: Counts,
    /// What stays as it is although something else is desired: no way there keeps to the band and the quotas.
    pub(crate) held: Held,
    /// Whether the cloud was read back and holds all of it; `plan` leaves it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) applied: Option<bool>,
}

/// What a plan leaves as it is.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Held {
    /// Groups of ours that keep their rules.
    pub(crate) groups: Vec<String>,
    /// Pods that keep their groups.
    pub(crate) pods: Vec<String>,
    /// The limits that are in the way, in words.
    pub(crate) limits: Vec<String>,
}

/// A security group of ours.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Group {
    /// Its name in the cloud, such as `moat.production.3`; rules and steps call it so, too.
    pub(crate) group: String,
    /// The pods that wear it: `namespace/name`.
    pub(crate) pods: Vec<String>,
    /// What it lets in.
    pub(crate) ingress: Vec<Rule>,
    /// What it lets out.
    pub(crate) egress: Vec<Rule>,
}

/// A rule of a group.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Rule {
    /// The other end: an address block, or a group by name.
    pub(crate) peer: String,
    /// What it lets through, such as `tcp/80-443`.
    pub(crate) service: String,
    /// The policies that it serves; none if settings alone ask for it.
    pub(crate) serves: Vec<Object>,
    /// A flow that no other rule of its group and direction lets through.
    pub(crate) witness: Option<Flow>,
}

/// A network ACL of ours.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Acl {
    /// Its name in the configuration; steps call it so, too.
    pub(crate) acl: String,
    /// The subnets that it guards, each with the ACL that it gets back one day.
    pub(crate) guards: BTreeMap<String, String>,
    /// What becomes of packets that enter them.
    pub(crate) ingress: Vec<Entry>,
    /// What becomes of packets that leave them.
    pub(crate) egress: Vec<Entry>,
}

/// An entry of a network ACL.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Entry {
    /// Its number: the first one that names a packet decides.
    pub(crate) number: u16,
    /// What it says, such as `deny 10.0.0.0/8 tcp/443`.
    pub(crate) entry: String,
    /// The policies that it serves; none if it is copied from the ACL before ours.
    pub(crate) serves: Vec<Object>,
}

/// Steps that may be taken in any order.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Stage {
    /// What the stage is for.
    pub(crate) purpose: String,
    /// Its steps.
    pub(crate) steps: Vec<StepForm>,
}

/// One call that changes something.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "action", rename_all_fields = "camelCase", deny_unknown_fields)]
pub(crate) enum StepForm {
    /// Make a group without rules.
    CreateGroup {
        /// Its name.
        group: String,
    },
    /// Add rules.
    Authorize {
        /// The group.
        group: String,
        /// The direction of all of them.
        direction: DirectionForm,
        /// The rules.
        rules: Vec<RuleForm>,
    },
    /// Remove rules.
    Revoke {
        /// The group.
        group: String,
        /// The direction of all of them.
        direction: DirectionForm,
        /// The rules.
        rules: Vec<RuleForm>,
    },
    /// Let an interface wear exactly these groups.
    SetGroups {
        /// The interface.
        interface: String,
        /// The pods that it carries.
        pods: Vec<String>,
        /// The groups.
        groups: Vec<String>,
        /// The groups of others that are remembered, to be put back.
        record: Vec<String>,
    },
    /// Delete a group.
    DeleteGroup {
        /// Its name.
        group: String,
    },
    /// Make a network ACL without entries.
    CreateAcl {
        /// Its name.
        acl: String,
        /// The ACL that its subnets get back.
        prior: String,
    },
    /// Put an entry into a network ACL, in place of the one that bears its number.
    PutEntry {
        /// The ACL.
        acl: String,
        /// The direction, seen from the subnet.
        direction: DirectionForm,
        /// The number.
        number: u16,
        /// The entry, such as `deny 10.0.0.0/8 tcp/443`.
        entry: String,
        /// The policies that it serves; none if it is copied from the ACL before ours.
        serves: Vec<Object>,
    },
    /// Remove an entry from a network ACL.
    RemoveEntry {
        /// The ACL.
        acl: String,
        /// The direction, seen from the subnet.
        direction: DirectionForm,
        /// The number.
        number: u16,
        /// The entry; none if it was not there before the plan.
        entry: Option<String>,
    },
    /// Let a network ACL guard a subnet.
    Guard {
        /// The subnet.
        subnet: String,
        /// The ACL: one of ours by its name, another one by its id.
        acl: String,
    },
    /// Delete a network ACL.
    DeleteAcl {
        /// Its name.
        acl: String,
    },
}

/// A direction, seen from the pod.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DirectionForm {
    /// What reaches the pod.
    Ingress,
    /// What the pod reaches.
    Egress,
}

/// A rule in a step.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RuleForm {
    /// The other end: an address block, or a group by name.
    pub(crate) peer: String,
    /// What it lets through.
    pub(crate) service: String,
}

/// Sizes and lower bounds.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Counts {
    /// Pods that policies see.
    pub(crate) pods: usize,
    /// Policies.
    pub(crate) policies: usize,
    /// Classes of pods that no policy can tell apart.
    pub(crate) classes: usize,
    /// Groups of ours.
    pub(crate) groups: usize,
    /// Their rules.
    pub(crate) rules: usize,
    /// Rules that name an address block, but for copied ones.
    pub(crate) prefix_rules: usize,
    /// Rules copied from groups of others that gave way, in directions that no policy governs.
    pub(crate) copied_rules: usize,
    /// Rules that name a group.
    pub(crate) reference_rules: usize,
    /// The fewest rules that name an address block any exact translation has.
    pub(crate) minimum_prefix_rules: usize,
    /// Rules of the largest group in one direction and family.
    pub(crate) largest_group: usize,
    /// Entries of network ACLs that deny what groups leave to them.
    pub(crate) entries: usize,
    /// The fewest entries that can deny as much.
    pub(crate) minimum_entries: usize,
    /// The steps of the plan: calls to the cloud.
    pub(crate) steps: usize,
    /// The findings.
    pub(crate) findings: usize,
}
