use std::collections::BTreeSet;
use std::net::IpAddr;

use super::*;
use crate::firewall::{Border, Cloud, State};
use crate::flow::{Endpoint, Flow};
use crate::inventory::{Attachment, Interface, InterfaceId, Inventory, PodIndex, Subnet, SubnetId};
use crate::net::Family;
use crate::testing::{Cluster, address, pod, service};

const WEB: Endpoint = Endpoint::Pod(PodIndex(0));
const NEIGHBOUR: Endpoint = Endpoint::Pod(PodIndex(1));
const FAR: Endpoint = Endpoint::Pod(PodIndex(2));

fn acl(entries: &[(u16, Direction, &str)]) -> Acl {
    let numbered = |(number, direction, entry): &(u16, Direction, &str)| {
        let number = EntryNumber::try_from(*number).unwrap();
        (EntryKey { direction: *direction, number }, entry.parse().unwrap())
    };
    Acl(entries.iter().map(numbered).collect())
}

/// Two pods in one subnet, one in another; no interface, so that groups have no say.
fn inventory() -> Inventory {
    let mut inventory = Cluster::default()
        .pod(pod("a/web").at("10.0.1.1").at("2001:db8::1:1"))
        .pod(pod("b/neighbour").at("10.0.1.2"))
        .pod(pod("c/far").at("10.0.2.1"))
        .vpc(&["10.0.0.0/16"])
        .inventory;
    inventory.pods.iter_mut().for_each(|pod| pod.interface = None);
    for (name, blocks) in [
        ("subnet-1", &["10.0.1.0/24", "2001:db8::1:0/112"][..]),
        ("subnet-2", &["10.0.2.0/24"][..]),
    ] {
        let subnet = Subnet {
            blocks: blocks.iter().map(|block| block.parse().unwrap()).collect(),
            acl: AclName(name.into()),
            prior: ForeignAclId("acl-prior".into()),
            has_others: false,
        };
        inventory.subnets.insert(SubnetId(name.into()), subnet);
    }
    inventory.acls.insert(ForeignAclId("acl-prior".into()), open());
    inventory
}

fn open() -> Acl {
    acl(&[
        (100, Direction::Egress, "allow 0.0.0.0/0 all"),
        (101, Direction::Egress, "allow ::/0 all"),
        (100, Direction::Ingress, "allow 0.0.0.0/0 all"),
        (101, Direction::Ingress, "allow ::/0 all"),
    ])
}

/// The first subnet behind an ACL of ours.
fn guarded(acl: Acl) -> State {
    let ours = AclKey::Ours(AclName("subnet-1".into()));
    let mut state = State::default();
    state.subnets.insert(SubnetId("subnet-1".into()), ours.clone());
    state.acls.insert(ours, acl);
    state
}

fn outside(text: &str) -> Endpoint {
    Endpoint::Address(address(text))
}

fn flow(source: Endpoint, destination: Endpoint, asked: &str) -> Flow {
    let family = match (source, destination) {
        (Endpoint::Address(address), _) | (_, Endpoint::Address(address)) => Family::of(address),
        (Endpoint::Pod(_), Endpoint::Pod(_)) => Family::V4,
    };
    Flow { source, destination, family, service: service(asked) }
}

#[test]
fn the_first_entry_that_names_a_packet_decides_and_what_none_names_is_denied() {
    use Direction::{Egress, Ingress};
    let acl = acl(&[
        (10, Egress, "allow 10.0.0.0/16 tcp/443"),
        (20, Egress, "deny 10.0.0.0/8 tcp"),
        (30, Egress, "allow 0.0.0.0/0 all"),
        (15, Ingress, "deny ::/0 icmpv6/128"),
    ]);
    let decides = |direction, to: &str, asked: &str| {
        let to: IpAddr = address(to);
        let decided = acl.decides(direction, to, service(asked));
        decided.map(|(number, action)| (number.get(), action))
    };
    assert_eq!(decides(Egress, "10.0.9.9", "tcp/443"), Some((10, EntryAction::Allow)));
    assert_eq!(decides(Egress, "10.9.9.9", "tcp/443"), Some((20, EntryAction::Deny)));
    assert_eq!(decides(Egress, "10.9.9.9", "udp/443"), Some((30, EntryAction::Allow)));
    assert_eq!(decides(Egress, "2001:db8::9", "tcp/443"), None);
    assert_eq!(decides(Ingress, "2001:db8::9", "icmpv6/128/1"), Some((15, EntryAction::Deny)));
    assert_eq!(decides(Ingress, "10.0.9.9", "icmp/8/0"), None);
}

#[test]
fn what_a_pod_sends_out_of_the_vpc_by_its_node_passes_by_the_acl_of_its_subnet() {
    let mut inventory = Inventory { source_nat: true, ..inventory() };
    let attached = [(1, Attachment::Shared), (2, Attachment::Fixed)];
    for (place, attachment) in attached {
        let pod = inventory.pods.get_mut(place).unwrap();
        let id = InterfaceId(pod.name.clone());
        pod.interface = Some(id.clone());
        inventory.interfaces.insert(id, Interface { attachment, prior: BTreeSet::new() });
    }
    let closed = AclKey::Foreign(ForeignAclId("acl-closed".into()));
    let state = State {
        subnets: inventory.subnets.keys().map(|id| (id.clone(), closed.clone())).collect(),
        acls: [(closed.clone(), Acl::default())].into(),
        ..State::default()
    };
    let mut host = inventory.clone();
    host.pods[0].host_network = true;
    let plain = Inventory { source_nat: false, ..inventory.clone() };
    let [near, far] = ["subnet-1", "subnet-2"].map(|name| SubnetId(name.into()));
    let denied = |subnet| Border::Denied { subnet, acl: &closed, number: None };
    let table = [
        (&inventory, WEB, outside("8.8.8.8"), Border::ByNode(&near)),
        (&inventory, NEIGHBOUR, outside("8.8.8.8"), Border::ByNode(&near)),
        (&inventory, FAR, outside("8.8.8.8"), denied(&far)),
        (&inventory, WEB, outside("2001:db9::1"), denied(&near)),
        (&inventory, WEB, outside("10.0.9.9"), denied(&near)),
        (&inventory, WEB, FAR, denied(&near)),
        (&inventory, WEB, NEIGHBOUR, Border::Within(&near)),
        (&inventory, WEB, outside("169.254.169.254"), Border::Platform),
        (&inventory, outside("8.8.8.8"), WEB, Border::Unknown),
        (&host, WEB, outside("8.8.8.8"), denied(&near)),
        (&plain, WEB, outside("8.8.8.8"), denied(&near)),
    ];
    for (inventory, source, destination, leaves) in table {
        let cloud = Cloud::new(&state, inventory);
        let verdict = cloud.verdict(&flow(source, destination, "tcp/443"));
        assert_eq!(verdict.leaves, leaves, "{source:?} {destination:?}");
    }
    let cloud = Cloud::new(&state, &inventory);
    let answered = cloud.answers(&flow(outside("8.8.8.8"), WEB, "tcp/443"), 1_024);
    assert!(!answered, "a reply bears the address that was asked");
}

#[test]
fn an_acl_is_asked_at_the_edge_of_its_subnets_only() {
    let inventory = inventory();
    let state = guarded(Acl::default());
    let cloud = Cloud::new(&state, &inventory);
    let ours = AclKey::Ours(AclName("subnet-1".into()));
    let prior = AclKey::Foreign(ForeignAclId("acl-prior".into()));
    let [near, far] = ["subnet-1", "subnet-2"].map(|name| SubnetId(name.into()));
    let denied = Border::Denied { subnet: &near, acl: &ours, number: None };
    let number = EntryNumber::try_from(100).unwrap();
    let passed = Border::Passed { subnet: &far, acl: &prior, number };
    let within = Border::Within(&near);
    let table = [
        (WEB, outside("8.8.8.8"), denied, Border::Unknown),
        (outside("8.8.8.8"), WEB, Border::Unknown, denied),
        (WEB, FAR, denied, passed),
        (FAR, WEB, passed, denied),
        (WEB, NEIGHBOUR, within, within),
        (WEB, WEB, within, within),
        (WEB, outside("10.0.0.2"), Border::Platform, Border::Unknown),
        (outside("169.254.169.254"), WEB, Border::Unknown, Border::Platform),
    ];
    for (source, destination, leaves, enters) in table {
        let verdict = cloud.verdict(&flow(source, destination, "tcp/443"));
        assert_eq!(
            (verdict.leaves, verdict.enters),
            (leaves, enters),
            "{source:?} {destination:?}"
        );
    }
}

#[test]
fn replies_pass_only_where_entries_let_them() {
    let inventory = inventory();
    let with = |direction, entry: &str| {
        let mut acl = open();
        let number = EntryNumber::try_from(1).unwrap();
        acl.0.insert(EntryKey { direction, number }, entry.parse().unwrap());
        guarded(acl)
    };
    let answers = |state: &State, source, destination, asked: &str, port| {
        Cloud::new(state, &inventory).answers(&flow(source, destination, asked), port)
    };
    let (client, server) = (outside("8.8.8.8"), WEB);
    // Trap 26: udp has replies, too.
    let no_dns_out = with(Direction::Egress, "deny 0.0.0.0/0 udp/53");
    assert!(answers(&no_dns_out, client, server, "udp/8080", 40_000));
    assert!(!answers(&no_dns_out, client, server, "udp/8080", 53));
    let no_high_ports_in = with(Direction::Ingress, "deny 8.0.0.0/8 tcp/32768-65535");
    assert!(answers(&no_high_ports_in, server, client, "tcp/443", 1_024));
    assert!(!answers(&no_high_ports_in, server, client, "tcp/443", 40_000));
    assert!(answers(&no_high_ports_in, server, client, "udp/443", 40_000));
    // Trap 27: an echo is answered by another type, with a code of its own.
    let no_echo_replies_in = with(Direction::Ingress, "deny 0.0.0.0/0 icmp/0/0");
    assert!(!answers(&no_echo_replies_in, server, client, "icmp/8/3", 0));
    let no_requests_in = with(Direction::Ingress, "deny 0.0.0.0/0 icmp/8");
    assert!(answers(&no_requests_in, server, client, "icmp/8/0", 0));
    assert!(answers(&no_requests_in, server, client, "icmp/3/4", 0), "nothing answers an error");
    let v6 = outside("2001:db8::9");
    let no_echo_replies_in = with(Direction::Ingress, "deny ::/0 icmpv6/129");
    assert!(!answers(&no_echo_replies_in, server, v6, "icmpv6/128/0", 0));
    assert!(answers(&no_echo_replies_in, server, v6, "icmpv6/2/0", 0));
}

#[test]
fn every_message_of_icmp_has_the_replies_of_its_registry_and_nothing_panics() {
    // Trap 28.
    let mut answered = Vec::new();
    for kind in 0..=u8::MAX {
        for code in 0..=u8::MAX {
            let message = Message { kind, code };
            for (asked, family) in [(Service::Icmp(message), 4), (Service::Icmpv6(message), 6)] {
                let replies = replies(asked, 0);
                if code == 0 && !replies.is_empty() {
                    answered.push((family, kind, replies.len()));
                }
            }
        }
    }
    answered.sort_unstable();
    assert_eq!(
        answered,
        [
            (4, 8, 1),
            (4, 13, 1),
            (4, 15, 1),
            (4, 17, 1),
            (4, 42, 5),
            (6, 128, 1),
            (6, 139, 3),
            (6, 144, 1),
            (6, 146, 1),
            (6, 160, 5),
        ]
    );
}

#[test]
fn an_entry_reads_as_it_is_written_and_its_numbers_are_those_of_the_cloud() {
    for text in ["deny 10.0.0.0/8 tcp/443", "allow ::/0 all", "deny 0.0.0.0/0 icmp/3/4"] {
        assert_eq!(text.parse::<Entry>().unwrap().to_string(), text);
    }
    let refused = |text: &str| text.parse::<Entry>().unwrap_err().to_string();
    assert_eq!(
        refused("forbid 10.0.0.0/8 all"),
        "`forbid 10.0.0.0/8 all` is not an entry such as `deny 10.0.0.0/8 tcp/443`: write `allow` or `deny`, the other end and \
         what is meant"
    );
    for number in [0, 32_767, u16::MAX] {
        assert_eq!(EntryNumber::try_from(number), Err(NoEntryNumber(number)));
    }
    assert_eq!(EntryNumber::try_from(32_766).map(EntryNumber::get), Ok(32_766));
}
