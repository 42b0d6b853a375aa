//! What both kinds share: the richer list of protocols, and the status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What a rule matches: exactly one of these. The members of a list are joined by OR.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub struct Protocol {
    /// TCP, at one port, a range of ports, or all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<Ports>,
    /// UDP, at one port, a range of ports, or all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp: Option<Ports>,
    /// SCTP. Security groups know SCTP only as a whole: a rule with a port is reported, and an Accept of it opens nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sctp: Option<Ports>,
    /// ICMP, over IPv4 only. `{}` is every type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<Icmp>,
    /// ICMPv6, over IPv6 only. `{}` is every type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmpv6: Option<Icmp>,
    /// The name of a container port of the destination pod; it stands for that port's protocol and number. Towards
    /// addresses it matches nothing, since nobody can resolve it there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub destination_named_port: Option<String>,
}

/// The ports of a protocol that has them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ports {
    /// The destination port or ports. Every port if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_port: Option<DestinationPort>,
}

/// One port or a range of ports: exactly one of these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub struct DestinationPort {
    /// One port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub number: Option<i32>,
    /// Every port from `start` to `end`, both included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<PortRange>,
}

/// A range of ports, both ends included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("self.start < self.end").message("start must be less than end; for one port write number"))]
pub struct PortRange {
    /// The first port.
    #[schemars(range(min = 1, max = 65535))]
    pub start: i32,
    /// The last port.
    #[schemars(range(min = 1, max = 65535))]
    pub end: i32,
}

/// Messages of ICMP or ICMPv6.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.code) || has(self.type)").message("a code needs a type: it means something else for each"))]
pub struct Icmp {
    /// The message type: a number from 0 to 255, or a well-known name such as `echo-request`, `destination-unreachable` or
    /// `packet-too-big`. The same name has another number in the other family. Every type if absent.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 0, "maximum" = 255, "pattern" = "^[a-z][a-z0-9-]*$"))]
    pub kind: Option<IntOrString>,
    /// The code within the type, a number from 0 to 255; it needs a type. Every code if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 255))]
    pub code: Option<i32>,
}

/// What Moat says of the policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
pub struct PolicyStatus {
    /// `Accepted`: every field was understood. `Programmed`: the cloud was read back and holds the policy. `Exact`: the
    /// cloud lets through what the policy says and nothing else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_string()]))]
    pub conditions: Vec<Condition>,
}
