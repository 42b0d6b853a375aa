//! What EC2 answers, read without a line of Moat's: by `localstack/show`, Python with boto3, and the few lines below.
#![expect(clippy::unwrap_used, reason = "what is no answer of EC2 fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex};

use moat_core::firewall::{
    Acl, AclKey, AclName, Entry, EntryAction, EntryKey, ForeignAclId, ForeignGroupId, GroupKey,
    GroupNumber, Peer, Rule, State,
};
use moat_core::inventory::{InterfaceId, SubnetId};
use moat_core::net::{Interval, Message, Messages, Protocol, Shape};
use moat_core::policy::Direction;
use moat_test_cluster::cloud;
use serde_json::Value;

/// A process that reads, a line for each question. It ends when its standard input does.
#[derive(Debug)]
pub struct Reader(Mutex<(Child, BufReader<ChildStdout>)>);

impl Reader {
    /// One that reads from the LocalStack of an environment, that of [`cloud`].
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn of(variables: &BTreeMap<String, String>) -> Self {
        let show = Path::new(env!("CARGO_MANIFEST_DIR")).join("../localstack/show");
        let mut child = Command::new(show)
            .args(["--json", "-"])
            .envs(variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self(Mutex::new((child, answers)))
    }

    /// The groups, rules, interfaces and network ACLs of a VPC of an account, as `localstack/README.md` describes them.
    ///
    /// # Panics
    /// LocalStack does not answer.
    #[must_use]
    pub fn read(&self, account: &str, vpc: &str) -> Value {
        let mut reader = self.0.lock().unwrap();
        let (child, answers) = &mut *reader;
        let questions = child.stdin.as_mut().unwrap();
        writeln!(questions, "{account}/{vpc}").unwrap();
        questions.flush().unwrap();
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("`localstack/show`: {error}: {line}"))
    }
}

/// What the [`Reader`] of all tests of a binary reads.
///
/// # Panics
/// LocalStack does not answer.
#[must_use]
pub fn read(account: &str, vpc: &str) -> Value {
    static READER: LazyLock<Reader> = LazyLock::new(|| Reader::of(&cloud("000000000000")));
    READER.read(account, vpc)
}

/// The state that an answer of [`read`] is. Ours is what bears both tags of a cluster.
///
/// # Panics
/// It is no such answer.
#[must_use]
pub fn state(answer: &Value, cluster: &str) -> State {
    let key = |group: &Value| key(group, cluster);
    let groups = answer["groups"].as_array().unwrap();
    let keys: BTreeMap<&str, GroupKey> =
        groups.iter().map(|group| (text(&group["id"]), key(group))).collect();
    let rules = |group: &Value| {
        let rows = group["rules"].as_array().unwrap().iter();
        rows.map(|row| rule(row, &keys)).collect::<BTreeSet<_>>()
    };
    let interfaces = answer["interfaces"].as_array().unwrap().iter().map(|interface| {
        let worn = interface["groups"].as_array().unwrap().iter();
        let worn = worn.map(|id| keys[text(id)].clone()).collect();
        (InterfaceId(text(&interface["id"]).into()), worn)
    });
    let acls: Vec<(AclKey, &Value)> =
        answer["acls"].as_array().unwrap().iter().map(|acl| (acl_key(acl, cluster), acl)).collect();
    let subnets = acls.iter().flat_map(|(key, acl)| {
        let guarded = acl["subnets"].as_array().unwrap().iter();
        guarded.map(move |subnet| (SubnetId(text(subnet).into()), key.clone()))
    });
    let entries = |acl: &Value| Acl(acl["entries"].as_array().unwrap().iter().map(entry).collect());
    State {
        groups: groups.iter().map(|group| (key(group), rules(group))).collect(),
        interfaces: interfaces.collect(),
        acls: acls.iter().map(|(key, acl)| (key.clone(), entries(acl))).collect(),
        subnets: subnets.collect(),
    }
}

fn acl_key(acl: &Value, cluster: &str) -> AclKey {
    let tags = &acl["tags"];
    let name = tags["moat.dev/acl"].as_str().filter(|_| tags["moat.dev/cluster"] == cluster);
    name.map_or_else(
        || AclKey::Foreign(ForeignAclId(text(&acl["id"]).into())),
        |name| AclKey::Ours(AclName(name.into())),
    )
}

fn entry(row: &Value) -> (EntryKey, Entry) {
    let number = u16::try_from(row["number"].as_u64().unwrap()).unwrap();
    let key = EntryKey { direction: direction(row), number: number.try_into().unwrap() };
    let action = match text(&row["action"]) {
        "allow" => EntryAction::Allow,
        "deny" => EntryAction::Deny,
        other => panic!("{other}"),
    };
    // Entries number the protocols that rules name.
    let protocol = match text(&row["protocol"]) {
        "6" => "tcp",
        "17" => "udp",
        "1" => "icmp",
        "58" => "icmpv6",
        other => other,
    };
    let prefix = text(&row["block"]).parse().unwrap();
    (key, Entry { action, prefix, shape: shape(protocol, row) })
}

fn key(group: &Value, cluster: &str) -> GroupKey {
    let tags = &group["tags"];
    let number = tags["moat.dev/number"].as_str().filter(|_| tags["moat.dev/cluster"] == cluster);
    number.map_or_else(
        || GroupKey::Foreign(ForeignGroupId(text(&group["id"]).into())),
        |number| GroupKey::Ours(GroupNumber(number.parse().unwrap())),
    )
}

fn rule(row: &Value, keys: &BTreeMap<&str, GroupKey>) -> Rule {
    let peer = text(&row["peer"]);
    Rule {
        direction: direction(row),
        peer: keys.get(peer).map_or_else(
            || Peer::Prefix(peer.parse().unwrap()),
            |group| Peer::Group(group.clone()),
        ),
        shape: shape(text(&row["protocol"]), row),
    }
}

fn direction(row: &Value) -> Direction {
    match text(&row["direction"]) {
        "ingress" => Direction::Ingress,
        "egress" => Direction::Egress,
        other => panic!("{other}"),
    }
}

fn shape(protocol: &str, row: &Value) -> Shape {
    let (from, to) = (row["from"].as_i64().unwrap(), row["to"].as_i64().unwrap());
    let port = |port: i64| u16::try_from(port).unwrap();
    let ports = || Interval::new(port(from), port(to)).unwrap();
    let byte = |number: i64| u8::try_from(number).unwrap();
    let messages = || match (from, to) {
        (-1, -1) => Messages::All,
        (kind, -1) => Messages::Type(byte(kind)),
        (kind, code) => Messages::One(Message { kind: byte(kind), code: byte(code) }),
    };
    match protocol {
        "-1" => Shape::All,
        "tcp" => Shape::Tcp(ports()),
        "udp" => Shape::Udp(ports()),
        "icmp" => Shape::Icmp(messages()),
        "icmpv6" => Shape::Icmpv6(messages()),
        "132" => Shape::Sctp,
        number => Shape::Other(Protocol::new(number.parse().unwrap()).unwrap()),
    }
}

/// A string of an answer.
///
/// # Panics
/// It is no string.
#[must_use]
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}
