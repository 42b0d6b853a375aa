//! Clusters in a few lines, for tests.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::firewall::{Acl, AclName, EntryKey, EntryNumber, ForeignAclId, ForeignGroupId};
use crate::flow::{Endpoint, Flow};
use crate::inventory::{
    Attachment, Interface, InterfaceId, Inventory, NamedPort, Node, Pod, PodIndex, Subnet, SubnetId,
};
use crate::net::{AddressSet, Family, Prefix, Service, Transport};
use crate::policy::{
    Action, Direction, Kind, Labels, Namespaces, ObjectRef, Peer, Peers, PodSelector, Policy,
    Requirement, Rule, Selector, ServiceMatch, Services, Subject, Tier,
};
use crate::semantics::{Decision, Semantics};
use crate::settings::Settings;

/// A cluster under test: change its parts, then ask for flows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster {
    pub(crate) inventory: Inventory,
    pub(crate) policies: Vec<Policy>,
    pub(crate) settings: Settings,
}

impl Cluster {
    /// Namespaces x, y and z, each labelled `ns=<name>`, with pods a, b and c, labelled `pod=<name>`: the cluster of
    /// Kubernetes' own e2e tests. x/a is 10.0.0.1, x/b is 10.0.0.2, … z/c is 10.0.2.3. Each pod serves the ports 80
    /// and 81 by the name `serve-80-tcp` and the like, in all three transports.
    pub(crate) fn xyz() -> Self {
        let serve = |number, transport, word| NamedPort {
            name: format!("serve-{number}-{word}").into(),
            transport,
            number,
        };
        let ports: Vec<NamedPort> = [80, 81]
            .into_iter()
            .flat_map(|number| {
                [
                    serve(number, Transport::Tcp, "tcp"),
                    serve(number, Transport::Udp, "udp"),
                    serve(number, Transport::Sctp, "sctp"),
                ]
            })
            .collect();
        let mut cluster = Self::default();
        for (third, namespace) in ["x", "y", "z"].into_iter().enumerate() {
            cluster = cluster.namespace(namespace, &format!("ns={namespace}"));
            for (last, name) in ["a", "b", "c"].into_iter().enumerate() {
                let address = format!("10.0.{third}.{}", last + 1);
                let it = pod(&format!("{namespace}/{name}")).label("pod", name).at(&address);
                cluster = cluster.pod(Pod { ports: ports.clone().into(), ..it });
            }
        }
        cluster
    }

    /// With a namespace, or other labels for one that is there: `key=value,key=value`.
    pub(crate) fn namespace(mut self, name: &str, pairs: &str) -> Self {
        let name_label = format!("kubernetes.io/metadata.name={name}");
        let all = labels(&[pairs, &name_label].join(","));
        self.inventory.namespaces.insert(name.into(), Arc::new(all));
        self
    }

    /// With a pod more; the pods stay sorted.
    pub(crate) fn pod(mut self, pod: Pod) -> Self {
        self.inventory.pods.push(pod);
        self.inventory.pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        self
    }

    /// With a node: labels and addresses.
    pub(crate) fn node(mut self, name: &str, pairs: &str, addresses: &[&str]) -> Self {
        self.inventory.nodes.push(Node {
            name: name.into(),
            labels: Arc::new(labels(pairs)),
            addresses: addresses.iter().map(|it| address(it)).collect(),
        });
        self
    }

    /// With the interfaces of all pods known to the cloud: each pod alone on its own, which wears these groups of others.
    pub(crate) fn wired(mut self, groups: &[&str]) -> Self {
        let pods = self.inventory.pods.clone();
        for pod in pods.iter().filter(|pod| !pod.host_network) {
            self = self.interface(pod, Attachment::Exclusive, groups);
        }
        self
    }

    /// With another attachment of the interface of a pod, which wears these groups of others.
    pub(crate) fn attached(self, name: &str, attachment: Attachment, groups: &[&str]) -> Self {
        let PodIndex(index) = self.index(name).unwrap();
        let pod = self.inventory.pods[index].clone();
        self.interface(&pod, attachment, groups)
    }

    fn interface(mut self, pod: &Pod, attachment: Attachment, groups: &[&str]) -> Self {
        let prior = groups.iter().map(|id| ForeignGroupId((*id).into())).collect();
        if let Some(id) = pod.interface.clone() {
            self.inventory.interfaces.insert(id, Interface { attachment, prior });
        }
        self
    }

    /// With a group of others and its rules.
    pub(crate) fn foreign(mut self, id: &str, rules: &[&str]) -> Self {
        let rules = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        self.inventory.foreign.insert(ForeignGroupId(id.into()), rules);
        self
    }

    /// In a VPC of these blocks.
    pub(crate) fn vpc(mut self, blocks: &[&str]) -> Self {
        self.inventory.vpc = blocks.iter().map(|block| block.parse().unwrap()).collect();
        self
    }

    /// Where the ACL of a subnet of these blocks is handed over as `pods`; the one before it has these entries both ways.
    pub(crate) fn guarded(mut self, name: &str, blocks: &[&str], prior: &[&str]) -> Self {
        let subnet = Subnet {
            blocks: blocks.iter().map(|block| block.parse().unwrap()).collect(),
            acl: AclName("pods".into()),
            prior: ForeignAclId("acl-prior".into()),
            has_others: false,
        };
        self.inventory.subnets.insert(SubnetId(name.into()), subnet);
        let numbered = |direction| {
            let entries = (1..).zip(prior).map(move |(number, entry)| {
                let number = EntryNumber::try_from(number * 100).unwrap();
                (EntryKey { direction, number }, entry.parse().unwrap())
            });
            entries.collect::<Vec<_>>()
        };
        let prior = Direction::BOTH.into_iter().flat_map(numbered).collect();
        self.inventory.acls.insert(ForeignAclId("acl-prior".into()), Acl(prior));
        self
    }

    /// With a policy more.
    pub(crate) fn policy(mut self, policy: Policy) -> Self {
        self.policies.push(policy);
        self
    }

    /// Without the policies of this name.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.policies.retain(|policy| &*policy.object.name != name);
        self
    }

    /// With other settings.
    pub(crate) fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// A pod to change.
    pub(crate) fn pod_mut(&mut self, name: &str) -> &mut Pod {
        let PodIndex(index) = self.index(name).unwrap();
        &mut self.inventory.pods[index]
    }

    /// The place of `namespace/name`.
    pub(crate) fn index(&self, name: &str) -> Option<PodIndex> {
        let is_it = |pod: &Pod| format!("{}/{}", pod.namespace, pod.name) == name;
        self.inventory.pods.iter().position(is_it).map(PodIndex)
    }

    /// A flow between `namespace/name` or addresses, in the only family that fits, else in IPv4. An address that a pod
    /// bears is that pod, and a pod on its node's network is its address.
    pub(crate) fn flow(&self, from: &str, to: &str, asked: &str) -> Flow {
        let service = service(asked);
        let ends = [from, to].map(|end| match end.parse::<IpAddr>() {
            Ok(address) => self.bearer(address).unwrap_or(Endpoint::Address(address)),
            Err(_) => Endpoint::Pod(self.index(end).unwrap_or_else(|| panic!("no pod {end}"))),
        });
        let fits = |family: &Family| {
            let addressed = |end: Endpoint| end.address(&self.inventory, *family).is_some();
            service.exists_in(*family) && ends.into_iter().all(addressed)
        };
        let family = Family::BOTH.into_iter().find(fits).expect("a family that fits");
        let [source, destination] = ends.map(|end| match end {
            Endpoint::Pod(PodIndex(index)) if self.inventory.pods[index].host_network => {
                Endpoint::Address(end.address(&self.inventory, family).unwrap())
            }
            Endpoint::Pod(_) | Endpoint::Address(_) => end,
        });
        Flow { source, destination, family, service }
    }

    fn bearer(&self, address: IpAddr) -> Option<Endpoint> {
        let mut pods = self.inventory.pods_of_policies();
        pods.find(|(_, pod)| pod.addresses.contains(&address)).map(|(it, _)| Endpoint::Pod(it))
    }

    /// Their meaning.
    pub(crate) fn semantics(&self) -> Semantics<'_> {
        Semantics::new(&self.policies, &self.inventory, &self.settings)
    }

    /// Whether policies and settings let a flow through.
    pub(crate) fn allows(&self, from: &str, to: &str, service: &str) -> bool {
        self.semantics().allows(&self.flow(from, to, service))
    }

    /// The decision at the source.
    pub(crate) fn egress(&self, from: &str, to: &str, service: &str) -> Decision<'_> {
        self.semantics().verdict(&self.flow(from, to, service)).egress
    }

    /// The decision at the destination.
    pub(crate) fn ingress(&self, from: &str, to: &str, service: &str) -> Decision<'_> {
        self.semantics().verdict(&self.flow(from, to, service)).ingress
    }

    /// Which of these flows pass: `.` for yes, `x` for no; a word for each source, a letter for each destination.
    pub(crate) fn table(&self, sources: &str, destinations: &str, asked: &str) -> String {
        let semantics = self.semantics();
        let row = |from: &str| -> String {
            let cell = |to| match semantics.allows(&self.flow(from, to, asked)) {
                true => '.',
                false => 'x',
            };
            destinations.split(' ').map(cell).collect()
        };
        sources.split(' ').map(row).collect::<Vec<_>>().join(" ")
    }

    /// The 81 cells of [`Cluster::xyz`]: a row for each source, a column for each destination, x/a to z/c.
    pub(crate) fn cells(&self, asked: &str) -> [String; 9] {
        PODS.map(|from| {
            let columns = ["x/a x/b x/c", "y/a y/b y/c", "z/a z/b z/c"];
            columns.map(|to| self.table(from, to, asked)).join(" ")
        })
    }
}

/// The pods of [`Cluster::xyz`].
pub(crate) const PODS: [&str; 9] = ["x/a", "x/b", "x/c", "y/a", "y/b", "y/c", "z/a", "z/b", "z/c"];

// -------------------------------------------------------------------------------------------------- Pods

/// A pod of a name like `x/a`, without labels, addresses or ports, on an interface of its own.
pub(crate) fn pod(name: &str) -> Pod {
    let (namespace, short) = name.split_once('/').expect("namespace/name");
    Pod {
        namespace: namespace.into(),
        name: short.into(),
        uid: name.into(),
        labels: Arc::default(),
        addresses: Vec::new(),
        node: None,
        ports: Arc::default(),
        probes: Arc::default(),
        host_network: false,
        interface: Some(InterfaceId(format!("eni-{namespace}-{short}").into())),
    }
}

impl Pod {
    /// With a label more.
    pub(crate) fn label(mut self, key: &str, value: &str) -> Self {
        Arc::make_mut(&mut self.labels).0.insert(key.into(), value.into());
        self
    }

    /// With an address more.
    pub(crate) fn at(mut self, text: &str) -> Self {
        self.addresses.push(address(text));
        self
    }

    /// With a named container port more.
    pub(crate) fn port(mut self, name: &str, transport: Transport, number: u16) -> Self {
        let port = NamedPort { name: name.into(), transport, number };
        self.ports = self.ports.iter().cloned().chain([port]).collect();
        self
    }

    /// With a probe port more.
    pub(crate) fn probe(mut self, number: u16) -> Self {
        self.probes = self.probes.iter().copied().chain([number]).collect();
        self
    }

    /// On its node's network.
    pub(crate) fn on_host_network(mut self) -> Self {
        self.host_network = true;
        self
    }
}

// ----------------------------------------------------------------------------------------------- Policies

/// A NetworkPolicy of a name like `x/web`, about pods of its namespace, that touches no direction yet.
pub(crate) fn network_policy(name: &str, subject: &str) -> Policy {
    let (namespace, short) = name.split_once('/').expect("namespace/name");
    Policy {
        object: ObjectRef {
            kind: Kind::NetworkPolicy,
            namespace: Some(namespace.into()),
            name: short.into(),
        },
        tier: Tier::NetworkPolicy,
        subject: Subject::Pods(pods(namespace, subject)),
        ingress: None,
        egress: None,
    }
}

/// A ClusterNetworkPolicy of the Admin tier.
pub(crate) fn admin(name: &str, priority: u16, subject: PodSelector) -> Policy {
    cluster_policy(name, Tier::Admin { priority }, subject)
}

/// A ClusterNetworkPolicy of the Baseline tier.
pub(crate) fn baseline(name: &str, priority: u16, subject: PodSelector) -> Policy {
    cluster_policy(name, Tier::Baseline { priority }, subject)
}

fn cluster_policy(name: &str, tier: Tier, subject: PodSelector) -> Policy {
    Policy {
        object: ObjectRef { kind: Kind::ClusterNetworkPolicy, namespace: None, name: name.into() },
        tier,
        subject: Subject::Pods(subject),
        ingress: None,
        egress: None,
    }
}

impl Policy {
    /// With these ingress rules.
    pub(crate) fn ingress<const N: usize>(mut self, rules: [Rule; N]) -> Self {
        self.ingress = Some(placed("ingress", rules));
        self
    }

    /// With these egress rules.
    pub(crate) fn egress<const N: usize>(mut self, rules: [Rule; N]) -> Self {
        self.egress = Some(placed("egress", rules));
        self
    }
}

fn placed<const N: usize>(direction: &str, rules: [Rule; N]) -> Vec<Rule> {
    let place = |(index, rule)| Rule { path: format!("spec.{direction}[{index}]").into(), ..rule };
    rules.into_iter().enumerate().map(place).collect()
}

/// A rule that accepts everything from and to everyone.
pub(crate) fn accept() -> Rule {
    Rule {
        path: "".into(),
        name: None,
        action: Action::Accept,
        peers: Peers::Anyone,
        services: Services::Every,
        failed_closed: false,
    }
}

/// A rule that denies everything from and to everyone.
pub(crate) fn deny() -> Rule {
    Rule { action: Action::Deny, ..accept() }
}

/// A rule that passes everything on.
pub(crate) fn pass() -> Rule {
    Rule { action: Action::Pass, ..accept() }
}

impl Rule {
    /// For these peers only.
    pub(crate) fn peers<const N: usize>(self, peers: [Peer; N]) -> Self {
        Self { peers: Peers::AnyOf(peers.into()), ..self }
    }

    /// For these services only.
    pub(crate) fn services<const N: usize>(self, services: [ServiceMatch; N]) -> Self {
        Self { services: Services::AnyOf(services.into()), ..self }
    }
}

/// The pods of a label selector in a namespace by name (`x`), in those of a label selector (`ns=x`), or in all (empty).
pub(crate) fn pods(namespaces: &str, labels: &str) -> PodSelector {
    let by_name = !namespaces.is_empty() && !namespaces.contains(['=', '!', ' ']);
    let namespaces = match by_name {
        true => Namespaces::Named(namespaces.into()),
        false => Namespaces::Matching(selector(namespaces)),
    };
    PodSelector { namespaces, pods: selector(labels) }
}

/// A label selector: `a=b,c!=d,e in f|g,h notin i|j,k,!l`, everything if empty.
pub(crate) fn selector(text: &str) -> Selector {
    let values = |text: &str| -> BTreeSet<Arc<str>> { text.split('|').map(Arc::from).collect() };
    let requirement = |text: &str| {
        if let Some((key, value)) = text.split_once("!=") {
            Requirement::NotIn(key.into(), values(value))
        } else if let Some((key, value)) = text.split_once('=') {
            Requirement::In(key.into(), values(value))
        } else if let Some((key, value)) = text.split_once(" notin ") {
            Requirement::NotIn(key.into(), values(value))
        } else if let Some((key, value)) = text.split_once(" in ") {
            Requirement::In(key.into(), values(value))
        } else if let Some(key) = text.strip_prefix('!') {
            Requirement::DoesNotExist(key.into())
        } else {
            Requirement::Exists(text.into())
        }
    };
    text.split(',').filter(|part| !part.is_empty()).map(requirement).collect()
}

/// Labels: `key=value,key=value`.
pub(crate) fn labels(pairs: &str) -> Labels {
    pairs.split(',').filter_map(|pair| pair.split_once('=')).collect()
}

// ------------------------------------------------------------------------------------------------ Network

/// An address.
pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The addresses of some blocks.
pub(crate) fn addresses(blocks: &[&str]) -> AddressSet {
    blocks.iter().map(|block| block.parse::<Prefix>().unwrap()).collect()
}

/// A peer by address blocks.
pub(crate) fn blocks(blocks: &[&str]) -> Peer {
    Peer::Addresses(addresses(blocks))
}

/// A peer like NetworkPolicy's `ipBlock`.
pub(crate) fn block_except(block: &str, except: &[&str]) -> Peer {
    Peer::Addresses(addresses(&[block]).difference(&addresses(except)))
}

/// Ports or protocols by number, in the notation of [`crate::net::ServiceSet`].
pub(crate) fn set(text: &str) -> ServiceMatch {
    ServiceMatch::Set(text.parse().unwrap())
}

/// A named port of one transport.
pub(crate) fn named(transport: Transport, name: &str) -> ServiceMatch {
    ServiceMatch::Named { transport: Some(transport), name: name.into() }
}

/// A named port of any transport.
pub(crate) fn named_any(name: &str) -> ServiceMatch {
    ServiceMatch::Named { transport: None, name: name.into() }
}

/// One service: `tcp/80`, `icmp/3/4`, `proto/47`.
pub(crate) fn service(text: &str) -> Service {
    text.parse().unwrap()
}
