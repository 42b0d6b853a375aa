//! Network ACLs of an account: handed over by ENIConfigs, edited and moved by others, and given back.

use std::collections::BTreeSet;

use moat_core::firewall::{Acl, AclKey, AclName, State};
use moat_core::inventory::SubnetId;
use moat_test_cluster::until;
use serde_json::{Value, json};

use crate::world::World;

/// Prints the ids of the pods' subnets.
const SUBNETS: &str = r#"
import sys, boto3
own = [{"Name": "vpc-id", "Values": [sys.argv[1]]}, {"Name": "tag:pods", "Values": ["yes"]}]
print(" ".join(sorted(each["SubnetId"] for each in boto3.client("ec2").describe_subnets(Filters=own)["Subnets"])))
"#;

/// Takes an entry of Moat's out, and lets one in that opens what Moat closes.
const EDIT: &str = r#"
import sys, boto3
ec2 = boto3.client("ec2")
own = [{"Name": "vpc-id", "Values": [sys.argv[1]]}, {"Name": "tag:moat.dev/acl", "Values": ["pods"]}]
acl = ec2.describe_network_acls(Filters=own)["NetworkAcls"][0]["NetworkAclId"]
ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=1, Egress=True)
ec2.create_network_acl_entry(NetworkAclId=acl, RuleNumber=9, Egress=True, Protocol="-1", RuleAction="allow", CidrBlock="203.0.113.0/24")
"#;

/// Lets an ACL that closes one more block guard the first of the subnets.
const MOVE: &str = r#"
import sys, boto3
ec2 = boto3.client("ec2")
vpc = {"Name": "vpc-id", "Values": [sys.argv[1]]}
subnet = sorted(each["SubnetId"] for each in ec2.describe_subnets(Filters=[vpc, {"Name": "tag:pods", "Values": ["yes"]}])["Subnets"])[0]
acl = ec2.create_network_acl(VpcId=sys.argv[1])["NetworkAcl"]["NetworkAclId"]
for egress in (False, True):
    ec2.create_network_acl_entry(NetworkAclId=acl, RuleNumber=90, Egress=egress, Protocol="-1", RuleAction="deny", CidrBlock="192.0.2.0/24")
    ec2.create_network_acl_entry(NetworkAclId=acl, RuleNumber=100, Egress=egress, Protocol="-1", RuleAction="allow", CidrBlock="0.0.0.0/0")
    ec2.create_network_acl_entry(NetworkAclId=acl, RuleNumber=101, Egress=egress, Protocol="-1", RuleAction="allow", Ipv6CidrBlock="::/0")
[guard] = ec2.describe_network_acls(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])["NetworkAcls"]
[association] = [each["NetworkAclAssociationId"] for each in guard["Associations"] if each["SubnetId"] == subnet]
ec2.replace_network_acl_association(AssociationId=association, NetworkAclId=acl)
print(acl)
"#;

/// What pods of the shop may reach: everything but these blocks.
fn policy(except: &[&str]) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": "shop", "name": "out"},
        "spec": {
            "podSelector": {},
            "policyTypes": ["Ingress", "Egress"],
            "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": except}}]}],
        },
    })
}

fn ours() -> AclKey {
    AclKey::Ours(AclName("pods".into()))
}

/// The subnets that an ACL guards.
fn guarded(state: &State, by: &AclKey) -> BTreeSet<SubnetId> {
    let subnets = state.subnets.iter().filter(|(_, acl)| *acl == by);
    subnets.map(|(subnet, _)| subnet.clone()).collect()
}

/// What our ACL denies.
fn denies(state: &State) -> BTreeSet<String> {
    let own = state.acls.get(&ours()).into_iter().flat_map(Acl::own);
    own.map(|(key, entry)| format!("{} {entry}", key.direction)).collect()
}

fn denies_all(blocks: &[&str]) -> BTreeSet<String> {
    blocks.iter().map(|block| format!("egress deny {block} all")).collect()
}

/// Looks at the cloud until it is so.
async fn becomes(world: &World, what: &str, is_so: impl Fn(&State) -> bool) -> State {
    until(what, async || {
        let state = world.read();
        is_so(&state).then_some(state)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn network_acls_follow_policies_and_what_others_do_and_are_given_back() {
    let world = World::new().await;
    world.pods("shop", &["web", "cart", "database", "search", "mail", "queue"]).await;
    let printed = world.python(SUBNETS);
    let subnets: BTreeSet<SubnetId> = printed.split(' ').map(|id| SubnetId(id.into())).collect();
    for (name, subnet) in ["zone-a", "zone-b"].iter().zip(&subnets) {
        world
            .apply(&json!({
                "apiVersion": "crd.k8s.amazonaws.com/v1alpha1",
                "kind": "ENIConfig",
                "metadata": {"name": name},
                "spec": {"subnet": subnet.0, "securityGroups": []},
            }))
            .await;
    }
    let before = world.read();
    let first = policy(&["198.51.100.0/24", "203.0.113.0/24"]);
    world.apply(&first).await;
    let handed_over = "networkAcls: [{name: pods, subnets: {eniConfigs: [zone-a, zone-b]}}]\nclientPorts: 1024-65535";
    world.free_lease().await;
    let controller = world.with_settings(handed_over);
    world.programmed(std::slice::from_ref(&first)).await;
    let blocks = ["198.51.100.0/24", "203.0.113.0/24"];
    let state = world.read();
    assert_eq!(denies(&state), denies_all(&blocks));
    assert_eq!(guarded(&state, &ours()), subnets);

    // An edit is one entry.
    let (_, from) = world.calls(0);
    let blocks = ["192.0.2.0/24", blocks[0], blocks[1]];
    let second = policy(&blocks);
    world.apply(&second).await;
    world.programmed(std::slice::from_ref(&second)).await;
    let (calls, _) = world.calls(from);
    let made: Vec<&str> = calls.iter().filter_map(|call| call["op"].as_str()).collect();
    assert_eq!(made, ["CreateNetworkAclEntry"]);
    let state = world.read();
    assert_eq!(denies(&state), denies_all(&blocks));

    // Others edit it, and who comes to lead looks at the whole cloud.
    world.python(EDIT);
    assert_ne!(world.read().acls, state.acls);
    world.depose(3).await;
    becomes(&world, "it is put right", |now| now.acls == state.acls).await;

    // The configuration takes them back, and hands them over again.
    world.configured("clientPorts: 1024-65535");
    becomes(&world, "they are given back", |now| {
        now.acls == before.acls && now.subnets == before.subnets
    })
    .await;
    world.configured(handed_over);
    becomes(&world, "they are handed over", |now| {
        denies(now) == denies_all(&blocks) && guarded(now, &ours()) == subnets
    })
    .await;

    // Others let theirs guard one of the subnets: it is the one to follow there, and the other one is left alone.
    let theirs = world.python(MOVE);
    world.depose(3).await;
    let told = async || {
        let installation = json!({"apiVersion": "moat.dev/v1alpha1", "kind": "MoatInstallation", "metadata": {"name": "default"}});
        let findings = world.get(&installation).await?["status"]["findings"].as_array()?.clone();
        let finding = findings.iter().find(|it| it["reason"] == "SubnetLeftAlone")?;
        finding["message"].as_str().map(str::to_owned)
    };
    let told = until("it is told", told).await;
    assert!(subnets.iter().all(|subnet| told.contains(&*subnet.0)), "{told}");
    let moved = subnets.first().expect("there are two").clone();
    let now = world.read();
    assert!(guarded(&now, &ours()).len() <= 1, "{:?}", now.subnets);
    assert_ne!(now.subnets[&moved], before.subnets[&moved]);

    controller.kill();
    let (code, text) = world.moat(&["uninstall", "--yes", "--no-controller"]);
    assert_eq!(code, Some(0), "{text}");
    let mut end = world.read();
    let theirs = AclKey::Foreign(moat_core::firewall::ForeignAclId(theirs.as_str().into()));
    let mut before = before;
    before.subnets.insert(moved, theirs.clone());
    end.acls.remove(&theirs);
    assert_eq!(end, before);
}
