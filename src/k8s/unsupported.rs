//! What cannot be enforced, or was not meant, for people to read: `docs/unsupported.md` is made here.

use std::fmt::{self, Write};

use moat_core::finding::{Effect, Reason};

/// What people need to know of a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Who is told.
    pub told: Told,
    /// What can become of it. Objects other than policies are told of nothing but [`Effect::Ignored`] where the policies about
    /// them have the flows.
    pub effects: &'static [Effect],
    /// What somebody wrote, or has.
    pub construct: &'static str,
    /// What Moat does.
    pub fate: &'static str,
    /// What somebody can do.
    pub remedy: &'static str,
}

/// Who is told of a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Told {
    /// The policy, and who applies it; pods, too, where the reason lies in one.
    Policy,
    /// The pod.
    Pod,
    /// The MoatInstallation: it is about the cloud, or what ties the cluster to it.
    Installation,
    /// Who runs a command: it cannot happen in a cluster.
    Command,
}

const NARROWER: &[Effect] = &[Effect::Narrower];
const NOT_ENFORCED: &[Effect] = &[Effect::NotEnforced];
const IGNORED: &[Effect] = &[Effect::Ignored];
const MISREAD: &[Effect] = &[Effect::Narrower, Effect::NotEnforced];
const NARROWER_OR_IGNORED: &[Effect] = &[Effect::Narrower, Effect::Ignored];
const NOT_ENFORCED_OR_IGNORED: &[Effect] = &[Effect::NotEnforced, Effect::Ignored];
const ANY: &[Effect] = &[Effect::Narrower, Effect::NotEnforced, Effect::Ignored];

/// What becomes of a rule that is not understood.
const CLOSED_RULE: &str =
    "an Accept with it matches nothing, a Deny or Pass denies everything in its place";

/// The same where a subject may not be, either.
const CLOSED: &str = "an Accept with it matches nothing, a Deny or Pass denies everything in its place; a subject with it selects nobody";

/// What people need to know of a reason.
#[must_use]
pub const fn row(reason: Reason) -> Row {
    use Told::{Command, Installation, Pod, Policy};
    let (told, effects, construct, fate, remedy) = match reason {
        Reason::Malformed => (
            Command,
            IGNORED,
            "a file that is not YAML or JSON, or holds something that is no object",
            "leaves out the rest of the document",
            "mend the text; an API server refuses it",
        ),
        Reason::InvalidField => (
            Policy,
            ANY,
            "a value of the wrong type or outside its range, in a file or under a lenient custom resource definition; a name that \
             is too long; a field of a pod, node or Service that is left out, such as a `vpc.amazonaws.com/pod-eni` that names no interface",
            CLOSED,
            "write what the message asks for, and install the definition of the kind as it is published",
        ),
        Reason::UnknownField => (
            Policy,
            MISREAD,
            "a field that this version of Moat does not know",
            CLOSED,
            "correct its spelling, or say it in fields that the MoatInstallation's `supportedFeatures` list",
        ),
        Reason::UnsupportedField => (
            Policy,
            NARROWER,
            "`domainNames` of a ClusterNetworkPolicy",
            CLOSED_RULE,
            "write `networks`",
        ),
        Reason::InvalidSelector => (
            Policy,
            MISREAD,
            "a label selector that the API would refuse, such as an unknown operator",
            CLOSED,
            "correct the selector",
        ),
        Reason::InvalidCidr => (
            Policy,
            NARROWER,
            "an address block that cannot be read, an IPv6 one that wraps IPv4, or an `except` outside of its block",
            CLOSED_RULE,
            "write a block such as `10.0.0.0/8`",
        ),
        Reason::SloppyCidr => (
            Policy,
            IGNORED,
            "an address block with host bits set, such as `10.0.0.1/8`, or with leading zeros",
            "reads it as the block that holds the address, as the API server does",
            "write the block as the message spells it",
        ),
        Reason::UnknownKind => (
            Command,
            IGNORED,
            "an object of a kind that Moat does not read, in a file",
            "leaves it out, once for each kind and file",
            "as the message says; the controller watches the kinds that it reads",
        ),
        Reason::DuplicateObject => (
            Command,
            IGNORED,
            "two objects of one kind, namespace and name, in files",
            "takes the first one",
            "keep one of the two; a cluster cannot hold both",
        ),
        Reason::DuplicateAddress => (
            Policy,
            NARROWER_OR_IGNORED,
            "several pods that claim one address, as while one of them ends",
            "where rules name the address, what only some of the pods may stays closed; each pod stays isolated as its own \
             policies say",
            "delete the pod that is gone",
        ),
        Reason::NotRunning => (
            Pod,
            IGNORED,
            "a pod without an address, or one that has finished or failed",
            "policies do not see it",
            "nothing: it passes",
        ),
        Reason::EqualPriority => (
            Policy,
            IGNORED,
            "two policies of one tier and priority that select the same pod",
            "asks them in the order of their names; the later one is told",
            "give one of them another priority",
        ),
        Reason::SctpPort => (
            Policy,
            NARROWER,
            "a port of sctp",
            "security groups have no ports for sctp: an Accept opens none, a Deny closes all of them",
            "allow sctp as a whole, or use tcp or udp",
        ),
        Reason::UnresolvedPort => (
            Policy,
            IGNORED,
            "a named port that no pod of the rule has",
            "matches nothing by this name, as it means",
            "name a container port of these pods, or write a number",
        ),
        Reason::NamedPortOfAddress => (
            Policy,
            IGNORED,
            "egress to a named port at an address block, at nodes, or anywhere",
            "matches nothing there, since nobody can resolve it",
            "write the port's number",
        ),
        Reason::ServiceAddress => (
            Policy,
            IGNORED,
            "a rule that names the address of a Service",
            "makes the rule, which no packet meets: in a VPC packets carry pods' addresses",
            "name the pods behind the Service",
        ),
        Reason::DnsClosed => (
            Policy,
            IGNORED,
            "isolation of egress without a way to any DNS server",
            "closes it as written; the VPC's own resolver is never filtered",
            "allow udp/53 and tcp/53 to the cluster's DNS pods, if the pods look up names",
        ),
        Reason::PathMtu => (
            Policy,
            IGNORED,
            "a Deny of ICMP 3/4 or ICMPv6 2/0, which path MTU discovery needs",
            "closes them as written: large packets may hang",
            "let these messages through",
        ),
        Reason::UntrackedProtocol => (
            Policy,
            IGNORED,
            "an Accept of a protocol other than tcp, udp and ICMP, or of sctp as a whole",
            "opens it; the cloud tracks it by address and number only, so that the way back is open for 600 s, whoever begins",
            "nothing, if both ends are trusted; else use tcp or udp",
        ),
        Reason::ProbesFromAllNodes => (
            Policy,
            IGNORED,
            "isolation of ingress of pods with probes, under `nodeTraffic: Probes`",
            "opens the probe ports to every node, since a group cannot name one",
            "nothing; or `nodeTraffic: None` in the configuration, and rules of your own",
        ),
        Reason::SharedInterface => (
            Policy,
            NOT_ENFORCED_OR_IGNORED,
            "a pod on an interface that carries several pods: its node's",
            "leaves the interface's groups alone: what the policy denies passes",
            "give the pod an interface of its own, by a SecurityGroupPolicy; a pod that one selects is told why it has none",
        ),
        Reason::FixedInterface => (
            Policy,
            NOT_ENFORCED,
            "a pod whose interface's groups cannot be changed",
            "leaves the groups alone: what the policy denies passes",
            "make the pod anew where it can have an interface of its own",
        ),
        Reason::Released => (
            Policy,
            NOT_ENFORCED,
            "a pod that bears `moat.dev/release: \"true\"`",
            "gives back the groups from before Moat: what the policy denies passes",
            "take the annotation off: `moat release NAMESPACE/POD --undo`",
        ),
        Reason::NoInterface => (
            Policy,
            NOT_ENFORCED_OR_IGNORED,
            "a pod whose interface is not in the VPC",
            "nothing filters the pod: what the policy denies passes",
            "nothing if the pod is ending; else look whether it is the right VPC and region, or make the pod anew",
        ),
        Reason::GroupReplaced => (
            Installation,
            IGNORED,
            "an isolated pod that wears a group of others which lets through more than the policies do",
            "takes the group off, records it, and puts it back when the policies go",
            "nothing; or list the group in `keepGroups`",
        ),
        Reason::PriorGroups => (
            Installation,
            NARROWER,
            "a pod of a policy that wears a group of others which lets through less than everything in a direction that no policy \
             governs",
            "does not widen it: what the group closes stays closed",
            "write a policy for the direction, or widen the group",
        ),
        Reason::PriorAcl => (
            Installation,
            NARROWER,
            "a subnet of `networkAcls` whose network ACL drops packets by itself",
            "copies its entries: what it drops, no policy opens",
            "let the ACL pass what policies are to decide",
        ),
        Reason::GroupKept => (
            Policy,
            NOT_ENFORCED,
            "an isolated pod that wears a group of `keepGroups` which lets through more than the policy",
            "leaves the group on the pod",
            "take it out of `keepGroups`, or narrow the group",
        ),
        Reason::UndeclaredPodSubnets => (
            Policy,
            NARROWER,
            "a wide address block that holds pods which must stay out, without `podSubnets` in the configuration",
            "takes the VPC's blocks out of the wide one: their addresses that no pod or node bears stay closed",
            "declare `podSubnets`",
        ),
        Reason::FamilyMismatch => (
            Policy,
            NARROWER,
            "address blocks that tell the IPv4 and the IPv6 address of a pod apart, where the pod can only be named by its group",
            "opens what both addresses may",
            "let the blocks say the same of both addresses",
        ),
        Reason::QuotaExceeded => (
            Policy,
            NARROWER,
            "rules that do not fit the quotas of security groups, and pods that need more groups than `quotas.groupsPerNamespace` \
             lets their namespace have",
            "closes what does not fit, least first; with `onQuota: Hold`, what was in force stays whole: `Programmed=False`, \
             `Stalled`; what is beyond the budget of a namespace is closed at once",
            "ask for less, or raise the quotas or the budget",
        ),
        Reason::NotApplied => (
            Command,
            NOT_ENFORCED,
            "a cloud that does not hold yet what the policies ask for, asked by `explain`",
            "tells both",
            "`moat apply`; a controller says `Programmed=False`, `Pending`",
        ),
        Reason::ForeignRule => (
            Installation,
            NOT_ENFORCED,
            "a rule that the AWS load balancer controller keeps in a group of Moat's",
            "leaves it there; a policy whose pods it opens to more than Moat's rules do tells so, too",
            "let a policy allow what the load balancer needs; the rule goes with the Ingress or Service behind it",
        ),
        Reason::NameTaken => (
            Installation,
            IGNORED,
            "a group that bears a name of Moat's without its tags",
            "leaves it alone, and passes over its number",
            "put the tags back, or delete the group",
        ),
        Reason::Drift => (
            Installation,
            IGNORED,
            "a rule that someone added to a group of Moat's, or groups that someone changed on an interface of Moat's; the pod is \
             told of the latter",
            "puts it right, and tells of it until the cloud is next read as a whole, every 60 s",
            "nothing; CloudTrail tells who it was",
        ),
        Reason::NeverFiltered => (
            Installation,
            NOT_ENFORCED,
            "an isolated pod that reaches the platform's resolver, metadata, time or licence addresses",
            "nothing: no security group filters them",
            "nothing here; network ACLs do not filter them either",
        ),
        Reason::GroupsJoined => (
            Installation,
            IGNORED,
            "two SecurityGroupPolicies that select the same pod",
            "the interface of a new pod starts with the groups of both, and wears what policies ask for some moments later; the \
             SecurityGroupPolicy whose name is the later one is told",
            "let one of the two select each pod",
        ),
        Reason::NoTrunk => (
            Installation,
            IGNORED,
            "nodes whose pods cannot have interfaces of their own, in a cluster with SecurityGroupPolicies",
            "pods there are `SharedInterface`",
            "choose instance types that can trunk, and set `ENABLE_POD_ENI` of the VPC CNI",
        ),
        Reason::TrunkFull => (
            Installation,
            IGNORED,
            "nodes whose pods have all the branch interfaces that there can be",
            "further pods that a SecurityGroupPolicy selects wait for another node",
            "nothing while others have room; else more or larger nodes",
        ),
        Reason::StandardMode => (
            Installation,
            NOT_ENFORCED,
            "`POD_SECURITY_GROUP_ENFORCING_MODE: standard` of the VPC CNI",
            "nothing filters what pods and the kubelet of one node send each other; what leaves the VPC passes the node's groups, \
             unless `AWS_VPC_K8S_CNI_EXTERNALSNAT` is `true`",
            "set the mode to `strict`, and make the pods anew",
        ),
        Reason::StartsOpen => (
            Installation,
            NOT_ENFORCED,
            "a new pod, before Moat has seen its interface; where `quarantine` is on, a namespace that cannot be quarantined",
            "the interface wears the groups that SecurityGroupPolicies or the node gave it, and what policies ask for moments later",
            "`quarantine: true` in the configuration; what the message says stands in the way",
        ),
        Reason::LeavesByNode => (
            Installation,
            NOT_ENFORCED,
            "a pod without an interface of its own in a subnet of `networkAcls`, while the VPC CNI translates addresses",
            "the subnet's network ACL sees neither what it sends out of the VPC over IPv4, which policies' findings say, too, nor what it \
             and its node send each other",
            "interfaces of their own; or `AWS_VPC_K8S_CNI_EXTERNALSNAT: true` of `aws-node` and a NAT gateway, for the former",
        ),
        Reason::CheaperWithAcl => (
            Command,
            IGNORED,
            "a policy whose exceptions take many rules of groups, or more than quotas allow, and take few entries of a network ACL",
            "says it by rules all the same; `moat check` tells the entries",
            "hand the pods' subnets over in `networkAcls`, if they hold pods alone",
        ),
        Reason::SubnetLeftAlone => (
            Installation,
            IGNORED,
            "a subnet of `networkAcls` that is not there, that another account shares, that holds more than pods, or whose own network \
             ACL differs from that of another subnet of the same name",
            "leaves its network ACL alone; groups say there what they can",
            "as the message says",
        ),
    };
    Row { told, effects, construct, fate, remedy }
}

const HEAD: &str = "\
# What cannot be enforced

Security groups cannot say everything that policies can, and not every policy says what was meant. Moat opens nothing then that the
policies do not open, goes on with everything else, and tells by one word: the same word in conditions, findings, events, warnings,
metrics, and what the commands print. This page is made from the list of these words; `MOAT_UPDATE=1 cargo test -p moat-k8s
unsupported` writes it.

What becomes of it is one of three:

| effect | what it means | conditions | event | warning | metric |
|---|---|---|---|---|---|
| Narrower | the cloud lets through less than the policy says | `Exact=False`; `Accepted=False`, too, if it was not understood | Warning | yes | `moat_findings{reason,effect}` |
| NotEnforced | the cloud lets through what the policy denies; Moat opened none of it | likewise | Warning | yes | likewise |
| Ignored | no flow is different | as before | Normal | yes | likewise |

Each finding is a row of `status.findings`, with its field, what to do, and a flow as an example; all of it is gone when it is mended.
A fact that *stands*, which no edit of a policy changes, is a row and a metric, and neither an event nor a warning, nor is it a
reason for `Exact=False`.
";

/// The whole page.
#[must_use]
pub fn page() -> String {
    let sections = [
        (
            Told::Policy,
            "Policies",
            "The conditions and rows are those of the PolicyEnforcement or ClusterPolicyEnforcement, and of the policy itself where its \
             kind has a status. The event is on the policy. The webhook warns whoever applies it. A pod in which the reason lies gets \
             an event of its own.",
        ),
        (
            Told::Pod,
            "Pods",
            "The metric counts it. There is neither an event nor a row: the pod's own status tells.",
        ),
        (
            Told::Installation,
            "The cloud and its nodes",
            "Rows and the condition `Exact` are those of the MoatInstallation, and so are events, unless they are about an object of \
             the cluster.",
        ),
        (
            Told::Command,
            "Commands only",
            "A cluster cannot come to it, or tells it in another way.",
        ),
    ];
    let mut text = HEAD.to_owned();
    for (told, title, says) in sections {
        // Writing to a string does not fail.
        let _ = section(&mut text, told, title, says);
    }
    text
}

fn section(text: &mut String, told: Told, title: &str, says: &str) -> fmt::Result {
    writeln!(text, "\n## {title}\n\n{says}\n")?;
    writeln!(text, "| reason | what it is about | effect | what Moat does | what to do |")?;
    writeln!(text, "|---|---|---|---|---|")?;
    for reason in Reason::ALL {
        let row = row(*reason);
        if row.told != told {
            continue;
        }
        let effects: Vec<&str> = row.effects.iter().map(|effect| effect.as_str()).collect();
        let stands = if reason.is_standing() { "; stands" } else { "" };
        let (effects, Row { construct, fate, remedy, .. }) = (effects.join(", "), row);
        writeln!(text, "| `{reason}` | {construct} | {effects}{stands} | {fate} | {remedy} |")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// `MOAT_UPDATE=1 cargo test -p moat-k8s unsupported` writes the file that this compares.
    #[test]
    fn the_committed_page_is_what_the_reasons_say() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/unsupported.md");
        let text = page();
        if std::env::var_os("MOAT_UPDATE").is_some() {
            std::fs::write(&path, &text).expect("writable");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == text, "{} is stale: run with MOAT_UPDATE=1", path.display());
    }

    #[test]
    fn every_reason_has_one_row_that_fits_a_table() {
        for reason in Reason::ALL {
            let Row { effects, construct, fate, remedy, .. } = row(*reason);
            assert!(!effects.is_empty(), "{reason}");
            for cell in [construct, fate, remedy] {
                assert!(!cell.is_empty() && !cell.contains(['|', '\n']), "{reason}: {cell}");
            }
            let rows = page().matches(&format!("\n| `{reason}` |")).count();
            assert_eq!(rows, 1, "{reason}");
        }
    }
}
