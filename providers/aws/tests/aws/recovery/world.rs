//! Four pods with an interface each, what is desired of them, and `moat apply` for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use moat_aws::Aws;
use moat_core::compile::Desired;
use moat_core::drive::{drive, observe};
use moat_core::firewall::{ForeignGroupId, GroupKey, Peer, Rule, State};
use moat_core::inventory::{Attachment, InterfaceId, Inventory, Pod};
use moat_core::plan::{Held, plan};
use moat_core::provider::{Capabilities, Meter, Observed, Provider, ProviderError, Scope, Step};
use moat_core::settings::Quotas;
use moat_tests::contract::Fixture;
use moat_tests::reading;
use serde_json::{Value, json};

use crate::contract::Cloud;
use crate::localstack::ask;

/// Four pods, each with an interface that wears one group of others.
pub(crate) struct World {
    pub(crate) cloud: Cloud,
    pub(crate) base: ForeignGroupId,
    pub(crate) interfaces: Vec<InterfaceId>,
    pub(crate) inventory: Inventory,
}

impl World {
    pub(crate) async fn new() -> Self {
        let mut cloud = Cloud::make(1_000).await;
        let open = ["ingress 10.0.0.0/8 all", "egress 0.0.0.0/0 all", "egress ::/0 all"];
        let open: BTreeSet<Rule> = open.map(|text| text.parse().unwrap()).into();
        let base = cloud.make_group(open.clone()).await;
        let mut interfaces = Vec::new();
        for _ in 0..4 {
            let worn = BTreeSet::from([base.clone()]);
            interfaces.push(cloud.make_interface(Attachment::Exclusive, worn).await);
        }
        let pods = (1_u8..).zip(&interfaces).map(|(index, interface)| pod(index, interface));
        let foreign = [(base.clone(), open)].into();
        let inventory = Inventory { pods: pods.collect(), foreign, ..Inventory::default() };
        Self { cloud, base, interfaces, inventory }
    }

    fn scope(&self) -> Scope {
        let interfaces = self.interfaces.iter().cloned().collect();
        Scope { interfaces, ..Scope::default() }
    }

    /// What is desired, from the rules of each group and the groups that each interface wears; none is what others gave it.
    fn desired(&self, groups: &[&[&str]], worn: [&[usize]; 4]) -> Desired {
        let rules = |rules: &&[&str]| rules.iter().map(|text| text.parse().unwrap()).collect();
        let base = GroupKey::Foreign(self.base.clone());
        let keys = |worn: &[usize]| match worn {
            [] => [base.clone()].into(),
            _ => worn.iter().map(|group| ours(*group)).collect(),
        };
        let groups = (1..).map(ours).zip(groups.iter().map(rules));
        let interfaces = self.interfaces.iter().cloned().zip(worn.map(keys));
        let theirs = self.inventory.foreign.iter();
        let theirs = theirs.map(|(id, rules)| (GroupKey::Foreign(id.clone()), rules.clone()));
        let groups = groups.chain(theirs).collect();
        let state = State { groups, interfaces: interfaces.collect(), ..State::default() };
        Desired { state, ..Desired::default() }
    }

    /// A cycle of references, ICMP by type and code, both families; one interface is left alone.
    pub(crate) fn before(&self) -> Desired {
        let groups: [&[&str]; 3] = [
            &[
                "ingress moat.2 tcp/80",
                "ingress 10.0.0.0/8 icmp/8/0",
                "ingress 10.0.0.0/8 tcp/443",
                "egress moat.2 tcp/81",
            ],
            &["ingress moat.1 tcp/81", "egress moat.1 tcp/80", "ingress ::/0 icmpv6/128/0"],
            &["ingress 0.0.0.0/0 tcp/443", "egress 0.0.0.0/0 udp/53"],
        ];
        self.desired(&groups, [&[1], &[2], &[3], &[]])
    }

    /// One group less, one more, one edited both ways; one interface moves to another's group.
    pub(crate) fn after(&self) -> Desired {
        let groups: [&[&str]; 3] = [
            &[
                "ingress moat.2 tcp/80",
                "ingress 10.0.0.0/8 icmp/3/4",
                "ingress 10.0.0.0/8 tcp/443",
                "egress 0.0.0.0/0 tcp/443",
            ],
            &["ingress 10.0.0.0/8 tcp/22", "egress moat.1 tcp/80", "ingress ::/0 icmpv6/2/0"],
            &["ingress 0.0.0.0/0 tcp/443", "egress moat.1 all"],
        ];
        self.desired(&groups, [&[1], &[3], &[3], &[2]])
    }

    /// Sets faults for the calls of the provider; others never meet them.
    pub(crate) fn set(&self, rules: &[Value]) {
        let path = format!("/_faults/{}", self.cloud.account);
        ask("PUT", &path, &json!({"rules": rules}).to_string());
    }

    /// The names of the calls made so far.
    pub(crate) fn calls(&self) -> Vec<String> {
        let answer = ask("GET", &format!("/_calls/{}", self.cloud.account), "");
        let calls = answer["calls"].as_array().unwrap().iter();
        calls.map(|call| call["op"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn read(&self) -> State {
        reading::state(&reading::read(&self.cloud.account, &self.cloud.aws.config().vpc), "test")
    }

    /// One pass of `moat apply`; whether there was nothing to do. `look` sees the state after each step.
    pub(crate) async fn pass(
        &mut self,
        desired: &Desired,
        look: Option<&Look<'_>>,
    ) -> Option<bool> {
        let (scope, quotas) = (self.scope(), Quotas::default());
        let observed = observe(&mut self.cloud.aws, &scope).await.ok()?;
        let plan = plan(desired, &observed, &self.inventory, &quotas);
        assert_eq!(plan.held, Held::default());
        let nothing = plan.stages.is_empty();
        match look {
            None => drop(drive(&mut self.cloud.aws, &plan, &scope).await),
            Some(look) => {
                let mut watched = Watched { aws: &mut self.cloud.aws, look };
                drive(&mut watched, &plan, &scope).await;
            }
        }
        Some(nothing)
    }
}

fn ours(number: usize) -> GroupKey {
    GroupKey::Ours(moat_core::firewall::GroupNumber::nth(number - 1))
}

fn pod(index: u8, interface: &InterfaceId) -> Pod {
    Pod {
        namespace: "shop".into(),
        name: interface.0.clone(),
        uid: interface.0.clone(),
        labels: Arc::default(),
        addresses: vec![
            [10, 0, 1, index].into(),
            [0x2001, 0xdb8, 0, 0, 0, 0, 0, index.into()].into(),
        ],
        node: None,
        ports: [].into(),
        probes: [].into(),
        host_network: false,
        interface: Some(interface.clone()),
    }
}

/// Looks at the state after each step.
pub(crate) type Look<'a> = dyn Fn(&Step) + Sync + 'a;

/// The provider, with a look after each step.
struct Watched<'a> {
    aws: &'a mut Aws,
    look: &'a Look<'a>,
}

impl Provider for Watched<'_> {
    async fn capabilities(&mut self) -> Result<Capabilities, ProviderError> {
        self.aws.capabilities().await
    }

    async fn observe(&mut self, scope: &Scope) -> Result<Arc<Observed>, ProviderError> {
        self.aws.observe(scope).await
    }

    async fn execute(&mut self, steps: &[&Step]) -> Vec<Result<(), ProviderError>> {
        let mut answers = Vec::new();
        for step in steps {
            answers.extend(self.aws.execute(&[step]).await);
            (self.look)(step);
        }
        answers
    }

    async fn wait(&mut self, duration: Duration) {
        self.aws.wait(duration).await;
    }

    fn meter(&mut self, meter: Arc<dyn Meter>) {
        self.aws.meter(meter);
    }
}

/// A state without names: a group is what it lets through, and who wears it by the interface's place, and the groups that it
/// refers to in the same way. Two rounds tell the groups of these tests apart.
pub(crate) fn shape(state: &State, interfaces: &[InterfaceId]) -> Vec<String> {
    let wearers = |key: &GroupKey| -> Vec<usize> {
        let places = interfaces.iter().enumerate();
        places
            .filter(|(_, id)| state.interfaces[*id].contains(key))
            .map(|(place, _)| place)
            .collect()
    };
    let mut names: BTreeMap<&GroupKey, String> =
        state.groups.keys().map(|key| (key, format!("{:?}", wearers(key)))).collect();
    for _ in 0..2 {
        let text = |rule: &Rule| match &rule.peer {
            Peer::Group(key) => format!("{:?} {:?} {:?}", rule.direction, names[key], rule.shape),
            Peer::Prefix(prefix) => format!("{:?} {prefix} {:?}", rule.direction, rule.shape),
        };
        let renamed = state.groups.iter().map(|(key, rules)| {
            let rules: BTreeSet<String> = rules.iter().map(text).collect();
            let owner = matches!(key, GroupKey::Ours(_));
            (key, format!("{owner} {:?} {rules:?}", wearers(key)))
        });
        names = renamed.collect();
    }
    let mut shape: Vec<String> = names.into_values().collect();
    shape.sort();
    shape
}
