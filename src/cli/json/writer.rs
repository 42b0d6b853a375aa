//! Groups and steps as forms.

use std::collections::BTreeMap;

use moat_core::compile::Desired;
use moat_core::firewall::{self, AclKey, GroupKey, GroupNumber, Naming, Peer, State};
use moat_core::flow::Endpoint;
use moat_core::inventory::{InterfaceId, Inventory, PodIndex};
use moat_core::plan;
use moat_core::policy::Direction;
use moat_core::provider::{AclStep, Step};

use super::{
    Acl, DirectionForm, Entry, Flow, Group, Held, Object, Rule, RuleForm, Stage, StepForm,
};

/// What it takes to write the groups and steps of one cluster.
#[derive(Clone, Debug)]
pub(crate) struct Writer<'a> {
    cluster: &'a str,
    pub(crate) inventory: &'a Inventory,
    carried: BTreeMap<&'a InterfaceId, Vec<PodIndex>>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(cluster: &'a str, inventory: &'a Inventory) -> Self {
        let mut carried: BTreeMap<_, Vec<PodIndex>> = BTreeMap::new();
        for (index, pod) in inventory.pods.iter().enumerate() {
            if let Some(interface) = &pod.interface {
                carried.entry(interface).or_default().push(PodIndex(index));
            }
        }
        Self { cluster, inventory, carried }
    }

    /// What mentions groups, as the cloud names them.
    pub(crate) fn name(&self, it: &impl Naming) -> String {
        it.named(self.cluster)
    }

    fn rule_form(&self, rule: &firewall::Rule) -> RuleForm {
        RuleForm { peer: self.name(&rule.peer), service: rule.shape.to_string() }
    }

    /// The groups at the end of a plan, with the reasons that the compile gave.
    pub(crate) fn groups(&self, desired: &Desired, plan: &plan::Plan) -> Vec<Group> {
        let numbers = plan.numbers.iter().map(|(desired, cloud)| (*cloud, *desired));
        let numbers: BTreeMap<GroupNumber, GroupNumber> = numbers.collect();
        let mut wearers: BTreeMap<&GroupKey, Vec<String>> = BTreeMap::new();
        for (interface, worn) in &plan.target.interfaces {
            for key in worn {
                wearers.entry(key).or_default().extend(self.carried_by(interface));
            }
        }
        let ours = plan.target.groups.iter().filter_map(|(key, rules)| match key {
            GroupKey::Ours(number) => Some((key, *number, rules)),
            GroupKey::Foreign(_) => None,
        });
        ours.map(|(key, number, rules)| {
            let rules_of = |direction: Direction| {
                let rules = rules.iter().filter(|rule| rule.direction == direction);
                rules.map(|rule| self.rule(desired, &numbers, number, rule)).collect()
            };
            let mut pods = wearers.remove(key).unwrap_or_default();
            pods.sort_unstable();
            Group {
                group: self.name(&number),
                pods,
                ingress: rules_of(Direction::Ingress),
                egress: rules_of(Direction::Egress),
            }
        })
        .collect()
    }

    /// A rule in the cloud's numbers; `numbers` leads from these to those of the compile, which has its reason.
    fn rule(
        &self,
        desired: &Desired,
        numbers: &BTreeMap<GroupNumber, GroupNumber>,
        group: GroupNumber,
        rule: &firewall::Rule,
    ) -> Rule {
        let desired_peer = match &rule.peer {
            Peer::Group(GroupKey::Ours(number)) => {
                numbers.get(number).map(|number| Peer::Group(GroupKey::Ours(*number)))
            }
            peer @ (Peer::Group(GroupKey::Foreign(_)) | Peer::Prefix(_)) => Some(peer.clone()),
        };
        let reason = numbers.get(&group).zip(desired_peer).and_then(|(group, peer)| {
            desired.reasons.get(&(*group, firewall::Rule { peer, ..rule.clone() }))
        });
        let RuleForm { peer, service } = self.rule_form(rule);
        Rule {
            peer,
            service,
            serves: reason.iter().flat_map(|it| it.serves.iter()).map(Object::of).collect(),
            witness: reason
                .and_then(|reason| reason.witness.as_ref())
                .map(|flow| Flow::of(flow, self.inventory)),
        }
    }

    /// The network ACLs of ours at the end of a plan, with the policies that the compile gave.
    pub(crate) fn acls(&self, desired: &Desired, plan: &plan::Plan) -> Vec<Acl> {
        let plan::Plan { target, .. } = plan;
        let acls = target.acls.iter().filter_map(|(key, acl)| Some((key, key.ours()?, acl)));
        acls.map(|(key, name, acl)| {
            let guarded = target.subnets.iter().filter(|(_, by)| *by == key);
            let prior =
                |id| self.inventory.subnets.get(id).map(|subnet| subnet.prior.0.to_string());
            let guards = guarded.map(|(id, _)| (id.0.to_string(), prior(id).unwrap_or_default()));
            let entries = |direction| {
                let here = acl.0.iter().filter(|(key, _)| key.direction == direction);
                let entries = here.map(|(key, entry)| Entry {
                    number: key.number.get(),
                    entry: entry.to_string(),
                    serves: desired.asks_for(name, *key, *entry).iter().map(Object::of).collect(),
                });
                entries.collect()
            };
            Acl {
                acl: name.to_string(),
                guards: guards.collect(),
                ingress: entries(Direction::Ingress),
                egress: entries(Direction::Egress),
            }
        })
        .collect()
    }

    pub(crate) fn held(&self, held: &plan::Held) -> Held {
        Held {
            groups: held.groups.iter().map(|group| self.name(group)).collect(),
            pods: held.interfaces.iter().flat_map(|it| self.carried_by(it)).collect(),
            limits: held.breaches.iter().map(|breach| self.name(breach)).collect(),
        }
    }

    pub(crate) fn stages(
        &self,
        desired: &Desired,
        from: &State,
        stages: &[plan::Stage],
    ) -> Vec<Stage> {
        let stage = |stage: &plan::Stage| Stage {
            purpose: format!("{:?}", stage.purpose),
            steps: stage.steps.iter().map(|step| self.step(desired, from, step)).collect(),
        };
        stages.iter().map(stage).collect()
    }

    fn step(&self, desired: &Desired, from: &State, step: &Step) -> StepForm {
        match step {
            Step::CreateGroup(number) => StepForm::CreateGroup { group: self.name(number) },
            Step::Authorize { group, direction, rules } => StepForm::Authorize {
                group: self.name(group),
                direction: DirectionForm::of(*direction),
                rules: rules.keys().map(|rule| self.rule_form(rule)).collect(),
            },
            Step::Revoke { group, direction, rules } => StepForm::Revoke {
                group: self.name(group),
                direction: DirectionForm::of(*direction),
                rules: rules.iter().map(|rule| self.rule_form(rule)).collect(),
            },
            Step::SetGroups { interface, groups, record } => StepForm::SetGroups {
                interface: interface.0.to_string(),
                pods: self.carried_by(interface),
                groups: groups.iter().map(|key| self.name(key)).collect(),
                record: record.iter().map(|id| id.0.to_string()).collect(),
            },
            Step::DeleteGroup(number) => StepForm::DeleteGroup { group: self.name(number) },
            Step::Acl(step) => acl_step(desired, from, step),
        }
    }

    /// The pods that an interface carries.
    pub(crate) fn carried_by(&self, interface: &InterfaceId) -> Vec<String> {
        let pods = self.carried.get(interface).into_iter().flatten();
        pods.map(|index| Endpoint::Pod(*index).named(self.inventory)).collect()
    }
}

fn acl_step(desired: &Desired, from: &State, step: &AclStep) -> StepForm {
    match step {
        AclStep::Create { acl, prior } => {
            StepForm::CreateAcl { acl: acl.to_string(), prior: prior.0.to_string() }
        }
        AclStep::Put { acl, key, entry } => StepForm::PutEntry {
            acl: acl.to_string(),
            direction: DirectionForm::of(key.direction),
            number: key.number.get(),
            entry: entry.to_string(),
            serves: desired.asks_for(acl, *key, *entry).iter().map(Object::of).collect(),
        },
        AclStep::Remove { acl, key } => StepForm::RemoveEntry {
            acl: acl.to_string(),
            direction: DirectionForm::of(key.direction),
            number: key.number.get(),
            entry: from
                .acls
                .get(&AclKey::Ours(acl.clone()))
                .and_then(|acl| acl.0.get(key))
                .map(ToString::to_string),
        },
        AclStep::Guard { subnet, by } => {
            StepForm::Guard { subnet: subnet.0.to_string(), acl: by.to_string() }
        }
        AclStep::Delete(acl) => StepForm::DeleteAcl { acl: acl.to_string() },
    }
}
