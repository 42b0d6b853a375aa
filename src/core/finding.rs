//! What the cloud cannot say, or a policy did not mean: where, why, and which flows it costs.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::flow::{Flow, FlowSet};
use crate::policy::ObjectRef;

/// A construct and its fate (DESIGN §4, §9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The object it is about.
    pub object: ObjectRef,
    /// The field, such as `spec.ingress[0].ports[1].port`; empty for the whole object.
    pub path: Arc<str>,
    /// What it is.
    pub reason: Reason,
    /// What becomes of it. There is no "wider".
    pub effect: Effect,
    /// What happened and what to do next, in one line: lower case, user input in backticks.
    pub message: Cow<'static, str>,
    /// The flows that policies and cloud treat differently because of it, as boxes. For `Narrower`, those flows of
    /// the boxes whose other end is allowed by the policies; for `NotEnforced`, those whose other end the cloud lets
    /// through. Empty where no flow differs. Shared, since many policies can lose the same.
    pub flows: Arc<[FlowSet]>,
    /// One real flow out of `flows`; always there when `flows` has a real one.
    pub witness: Option<Flow>,
    /// Where the object was read, if it came from a file.
    pub location: Option<Location>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Location {
    /// The file as it was named; `-` for standard input.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// What becomes of a construct.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Effect {
    /// The cloud lets through less than the policies say.
    Narrower,
    /// The cloud lets through what the policies deny; Moat opened nothing of it.
    NotEnforced,
    /// It has no effect on any flow.
    Ignored,
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident,)*) => {
        /// What a finding is about, in one word that is also a condition's reason, an event's and a metric's label.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub enum Reason { $($(#[doc = $doc])+ $name,)* }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// What the reason means, in one sentence.
            #[must_use]
            pub const fn describe(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)* }
            }
        }
    };
}

reasons! {
    /// The text is not YAML or JSON, or not an object.
    Malformed,
    /// A field has the wrong type or a value outside its range.
    InvalidField,
    /// A field that this version does not know; the rule that holds it fails closed.
    UnknownField,
    /// A field that is known and not supported; the rule that holds it fails closed.
    UnsupportedField,
    /// A label selector that the API would refuse.
    InvalidSelector,
    /// An address block that cannot be read, or an except outside of its block.
    InvalidCidr,
    /// An address block with host bits set, which are ignored.
    SloppyCidr,
    /// An object of a kind that Moat does not read.
    UnknownKind,
    /// Two objects of one kind, namespace and name; the later one is ignored.
    DuplicateObject,
    /// An address that several pods claim: only one can bear it, so what only some of them may stays closed there.
    DuplicateAddress,
    /// A pod without an address, or finished, or failed; it is not there for policies.
    NotRunning,
    /// Two policies of one tier and priority that select the same pod; their names decide.
    EqualPriority,
    /// A port of sctp: security groups know sctp only as a whole.
    SctpPort,
    /// A named port that no matching pod has.
    UnresolvedPort,
    /// A named port towards addresses, where nobody can resolve it.
    NamedPortOfAddress,
    /// A rule that names Service addresses, which never appear in a VPC.
    ServiceAddress,
    /// Egress isolation without a way to any DNS server.
    DnsClosed,
    /// A Deny that closes the messages path MTU discovery needs.
    PathMtu,
    /// A protocol that the cloud tracks by address and number only: allowing one way opens the other for 600 s.
    UntrackedProtocol,
    /// Probe ports are open to every node, since a group cannot name one.
    ProbesFromAllNodes,
    /// A pod on an interface that carries several pods; its groups are left alone.
    SharedInterface,
    /// A pod on an interface whose groups cannot be changed.
    FixedInterface,
    /// A pod that Moat was asked to let go of: it wears what it wore before.
    Released,
    /// A pod for which the cloud has no interface: nothing filters it.
    NoInterface,
    /// An isolated pod's own groups were replaced.
    GroupReplaced,
    /// Where no policy governs a direction, an interface's own groups let through less than everything.
    PriorGroups,
    /// The network ACL that guarded a subnet before it was handed over drops something whatever policies say.
    PriorAcl,
    /// A group of others stays on an isolated pod because `keepGroups` lists it.
    GroupKept,
    /// Pod addresses taken out of a wide rule without declared pod subnets: other addresses of the VPC go with them.
    UndeclaredPodSubnets,
    /// A pod with two families whose peers differ by family in a way that one reference cannot say.
    FamilyMismatch,
    /// The exact rules do not fit the quotas.
    QuotaExceeded,
    /// The provider does not hold what the policies ask for yet.
    NotApplied,
    /// A rule that someone else keeps in a group of ours.
    ForeignRule,
    /// A group that bears a name of ours without our tags; its number is passed over.
    NameTaken,
    /// Something of ours that someone else changed; it is put right.
    Drift,
    /// A packet that the cloud never filters.
    NeverFiltered,
    /// Two SecurityGroupPolicies that select the same pod, whose interface starts with the groups of both.
    GroupsJoined,
    /// Nodes whose pods cannot have interfaces of their own.
    NoTrunk,
    /// Nodes whose pods have all the interfaces of their own that there can be.
    TrunkFull,
    /// The VPC CNI does not let groups filter everything that pods send.
    StandardMode,
    /// A subnet that the configuration hands over and that no network ACL of Moat's guards: groups alone say there what they can.
    SubnetLeftAlone,
    /// Pods in a subnet that is handed over whose packets do not all meet its network ACL: some leave by the node's own interface.
    LeavesByNode,
    /// A policy that a network ACL around its pods would say with fewer rules, or whole where quotas hold it back.
    CheaperWithAcl,
    /// New pods that wear other groups until their own are read back.
    StartsOpen,
}

impl Finding {
    /// A finding about an object as a whole, with which no flow is lost.
    #[must_use]
    pub fn without_flows(
        object: ObjectRef,
        reason: Reason,
        effect: Effect,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            object,
            path: "".into(),
            reason,
            effect,
            message: message.into(),
            flows: Arc::default(),
            witness: None,
            location: None,
        }
    }
}

impl Reason {
    /// Whether it is a standing fact about the VPC or the settings, which no edit of a policy changes: worth knowing, and no
    /// reason to call a set of policies unclean.
    #[must_use]
    pub const fn is_standing(self) -> bool {
        matches!(
            self,
            Self::NeverFiltered
                | Self::GroupReplaced
                | Self::PriorGroups
                | Self::PriorAcl
                | Self::ProbesFromAllNodes
                | Self::NoTrunk
                | Self::TrunkFull
                | Self::StartsOpen
                | Self::SubnetLeftAlone
                | Self::LeavesByNode
                | Self::CheaperWithAcl
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Effect {
    /// The word, as objects of the API spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Narrower => "Narrower",
            Self::NotEnforced => "NotEnforced",
            Self::Ignored => "Ignored",
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Narrower => "narrower",
            Self::NotEnforced => "not enforced",
            Self::Ignored => "ignored",
        })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}
