//! The forms that machines read. Each names its version in `apiVersion`; within a version fields are only ever added.
//!
//! `docs/json.md` describes them, `docs/schemas/` holds their schemas, and a test holds both to what the commands print.

mod convert;
mod plan;
mod status;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

pub(crate) use plan::{
    Acl, Counts, DirectionForm, Entry, Group, Held, Plan, Rule, RuleForm, Stage, StepForm,
};
pub(crate) use status::{Installation, PodStatus, Status};
pub(crate) use writer::Writer;

/// `moat check`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Check {
    /// The form and its version.
    #[schemars(extend("const" = "moat.dev/check/v1"))]
    pub(crate) api_version: &'static str,
    /// What the cloud cannot say, and what was not understood.
    pub(crate) findings: Vec<Finding>,
    /// The expectations, in the order of the files.
    pub(crate) expectations: Vec<Expectation>,
}

/// An expectation, and what came of it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Expectation {
    /// Its name.
    pub(crate) name: String,
    /// The verdict that its author wants.
    pub(crate) expect: Verdict,
    /// Where it stands.
    pub(crate) location: Location,
    /// What policies and cloud say; none where the flow cannot be made.
    pub(crate) flow: Option<FlowVerdict>,
    /// Whether both say what its author wants.
    pub(crate) met: bool,
    /// Why it is not met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
}

/// `moat explain --flows`: one line for each flow, in order.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FlowVerdict {
    /// As it was asked.
    pub(crate) from: String,
    /// As it was asked.
    pub(crate) to: String,
    /// As it was asked.
    pub(crate) service: String,
    /// As it was asked: 4 or 6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) family: Option<u8>,
    /// What the policies say.
    pub(crate) policies: Verdict,
    /// What the cloud does.
    pub(crate) cloud: Verdict,
    /// Why the two differ; never empty then, but where a network ACL of someone else stops the flow.
    pub(crate) findings: Vec<Finding>,
}

/// `moat explain --flows`: in place of the verdict of a flow that cannot be answered.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FlowError {
    /// The line, from 1.
    pub(crate) line: usize,
    /// What is wrong, and what to do.
    pub(crate) error: String,
}

/// `moat explain`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Explain {
    /// The form and its version.
    #[schemars(extend("const" = "moat.dev/explain/v1"))]
    pub(crate) api_version: &'static str,
    /// The flow, as it is understood.
    pub(crate) flow: Flow,
    /// What the policies say.
    pub(crate) policies: Verdict,
    /// What the cloud does.
    pub(crate) cloud: Verdict,
    /// The source's end.
    pub(crate) egress: End,
    /// The destination's end.
    pub(crate) ingress: End,
    /// What network ACLs say on the way, where subnets are handed over: of the first packet, then of the first reply that one
    /// stops.
    pub(crate) crossings: Vec<Crossing>,
    /// Why the two differ; never empty then, but where `crossings` name an entry of someone else that stops the flow.
    pub(crate) findings: Vec<Finding>,
}

/// What decides at one end of a flow.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct End {
    /// What the policies say at this end.
    pub(crate) policies: Verdict,
    /// What decides it, in words.
    pub(crate) decision: String,
    /// The rule or the policies that decide; none where a setting does, or nothing.
    pub(crate) decided_by: Vec<Construct>,
    /// What the cloud does at this end.
    pub(crate) cloud: Verdict,
    /// How, in words.
    pub(crate) filtered: String,
    /// The policies that the group rule serves which lets it through.
    pub(crate) serves: Vec<Object>,
}

/// What a network ACL says of a packet that leaves or enters a subnet.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Crossing {
    /// What a reply bears, such as `tcp/32768`; none: it is the first packet of the flow.
    pub(crate) reply: Option<String>,
    /// The subnet.
    pub(crate) subnet: String,
    /// `egress` if the packet leaves it, `ingress` if it enters it.
    pub(crate) direction: DirectionForm,
    /// What becomes of it.
    pub(crate) cloud: Verdict,
    /// By which entry of which ACL, in words.
    pub(crate) guarded: String,
    /// The policies that the entry serves; none if it is someone else's.
    pub(crate) serves: Vec<Object>,
}

/// A construct in a policy.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Construct {
    /// The object.
    pub(crate) object: Object,
    /// The field; empty for the whole object.
    pub(crate) path: Arc<str>,
    /// Where it stands.
    pub(crate) location: Option<Location>,
}

/// `moat diff`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Diff {
    /// The form and its version.
    #[schemars(extend("const" = "moat.dev/diff/v1"))]
    pub(crate) api_version: &'static str,
    /// The flows that one set lets through and the other does not, as boxes without overlap.
    pub(crate) differences: Vec<Difference>,
}

/// A box of flows that one set of policies lets through and the other does not.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Difference {
    /// Whether the new policies let them through or the old ones do.
    pub(crate) change: Change,
    /// The flows: any of the sources to any of the destinations by any of the services. A pod never means itself.
    pub(crate) flows: FlowSet,
    /// One of them.
    pub(crate) witness: Flow,
}

/// Which policies let the flows through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Change {
    /// The new ones alone.
    Opened,
    /// The old ones alone.
    Closed,
}

/// Whether a flow passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// It does.
    Allow,
    /// It does not.
    Deny,
}

/// A construct and its fate.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Finding {
    /// The object.
    pub(crate) object: Object,
    /// The field; empty for the whole object.
    pub(crate) path: Arc<str>,
    /// What it is, in one word.
    pub(crate) reason: &'static str,
    /// What becomes of it: `Narrower`, `NotEnforced` or `Ignored`.
    pub(crate) effect: EffectForm,
    /// What happened and what to do.
    pub(crate) message: String,
    /// The flows that policies and cloud treat differently because of it.
    pub(crate) flows: Vec<FlowSet>,
    /// One of them.
    pub(crate) witness: Option<Flow>,
    /// Where it stands.
    pub(crate) location: Option<Location>,
}

/// What becomes of a construct.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(crate) enum EffectForm {
    /// The cloud lets through less than the policies say.
    Narrower,
    /// The cloud lets through what the policies deny.
    NotEnforced,
    /// No effect on any flow.
    Ignored,
}

/// Names one object.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Object {
    /// Its kind.
    pub(crate) kind: &'static str,
    /// Its namespace; none for cluster-scoped kinds.
    pub(crate) namespace: Option<Arc<str>>,
    /// Its name.
    pub(crate) name: Arc<str>,
}

/// A place in a file.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Location {
    /// The file as it was named; `-` for standard input.
    pub(crate) file: Arc<str>,
    /// The line, from 1.
    pub(crate) line: usize,
    /// The column in characters, from 1.
    pub(crate) column: usize,
}

/// One flow; `moat explain --flows` reads the same form.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Flow {
    /// `namespace/pod`, or an address.
    pub(crate) from: String,
    /// `namespace/pod`, or an address.
    pub(crate) to: String,
    /// Such as `tcp/443`.
    pub(crate) service: String,
    /// 4 or 6.
    pub(crate) family: u8,
}

/// A box of flows.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FlowSet {
    /// Where they come from: pods and address blocks.
    pub(crate) from: Vec<String>,
    /// Where they go.
    pub(crate) to: Vec<String>,
    /// What they ask for.
    pub(crate) services: String,
    /// The family of their addresses, 4 or 6; none: both.
    pub(crate) family: Option<u8>,
}

/// The schema of each form (JSON Schema 2020-12), by the name of its file in `docs/schemas/`.
pub(crate) fn schemas() -> BTreeMap<&'static str, schemars::Schema> {
    BTreeMap::from([
        ("plan.v1.json", schemars::schema_for!(Plan)),
        ("check.v1.json", schemars::schema_for!(Check)),
        ("explain.v1.json", schemars::schema_for!(Explain)),
        ("flow-verdict.v1.json", schemars::schema_for!(FlowVerdict)),
        ("flow-error.v1.json", schemars::schema_for!(FlowError)),
        ("diff.v1.json", schemars::schema_for!(Diff)),
        ("status.v1.json", schemars::schema_for!(Status)),
    ])
}
