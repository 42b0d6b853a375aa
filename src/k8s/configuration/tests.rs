//! What a configuration says, and what a mistake in it gets.

use std::num::NonZeroUsize;

use moat_core::firewall::{AclName, ForeignGroupId};
use moat_core::inventory::SubnetId;
use moat_core::provider::HandedOver;
use moat_core::settings::ClientPorts;

use super::*;

const HEAD: &str = "apiVersion: moat.dev/v1alpha1\nkind: Configuration\n";

fn read(body: &str) -> Result<Configuration, ConfigurationError> {
    format!("{HEAD}{body}").parse()
}

#[test]
fn nothing_but_the_head_is_the_default() {
    assert_eq!(read(""), Ok(Configuration::default()));
}

#[test]
fn every_field_is_read() {
    let body = "cluster: blue\nvpc: vpc-0a\naws: {region: us-gov-west-1, roleArn: 'arn:aws-us-gov:iam::123456789012:role/a/moat'}\n\
        podSubnets: [10.0.0.0/8, '2001:db8::/64']\nnodes: [10.9.0.1/32]\n\
        networkAcls: [{name: pods, subnets: {ids: [subnet-0d], tags: {pods: 'yes'}, eniConfigs: [a, b]}}]\nclientPorts: 1024-65535\n\
        quotas: {rulesPerGroup: 100, groupsPerNamespace: 30, entriesPerAcl: 40}\nicmp: Open\nnodeTraffic: All\nonQuota: Narrow\nkeepGroups: [sg-0b]\n\
        quarantine: true\ndefaultGroups: [sg-0c]\nmode: Observe\nnamespaceSelector: {matchLabels: {a: b}}\n\
        maxChange: 5%\nserve: {address: '[::]:8080'}\nlog: {level: debug, address: '[::1]:8081'}\n\
        admission: {address: '[::]:9443', name: warns}\n";
    let configuration = read(body).unwrap();
    let settings = Settings {
        icmp: IcmpMode::Open,
        node_traffic: NodeTraffic::All,
        on_quota: OnQuota::Narrow,
        pod_subnets: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/64".parse().unwrap()],
        nodes: vec!["10.9.0.1/32".parse().unwrap()],
        keep_groups: vec![ForeignGroupId("sg-0b".into())],
        quotas: Quotas { rules_per_group: 100, entries_per_acl: 40, ..Quotas::default() },
        client_ports: ClientPorts("1024-65535".parse().unwrap()),
        quarantine: true,
        groups_per_namespace: NonZeroUsize::new(30),
    };
    assert_eq!(configuration.settings(Quotas::default()), settings);
    let subnet = |id: &str| SubnetId(id.into());
    let inventory = Inventory {
        eni_configs: [("a".into(), subnet("subnet-0e"))].into(),
        ..Inventory::default()
    };
    let ids = ["subnet-0d", "subnet-0e"].map(subnet).into();
    let handed_over = HandedOver { ids, tags: [("pods".into(), "yes".into())].into() };
    let scope = Scope {
        defaults: [ForeignGroupId("sg-0c".into())].into(),
        acls: [(AclName("pods".into()), handed_over)].into(),
        ..Scope::default()
    };
    assert_eq!(configuration.scope(&inventory), scope);
    assert_eq!(configuration.cluster.as_str(), "blue");
    assert_eq!(configuration.vpc.as_ref().map(VpcId::as_str), Some("vpc-0a"));
    let AwsAccess { region, role_arn } = &configuration.aws;
    assert_eq!(region.as_ref().map(Region::as_str), Some("us-gov-west-1"));
    let role = "arn:aws-us-gov:iam::123456789012:role/a/moat";
    assert_eq!(role_arn.as_ref().map(RoleArn::as_str), Some(role));
    assert_eq!(configuration.default_groups, [GroupId("sg-0c".into())]);
    assert_eq!(configuration.mode, Mode::Observe);
    assert_eq!(configuration.namespace_selector.0, Selector::label("a", "b"));
    assert_eq!(configuration.max_change.of(41), 3);
    assert_eq!(configuration.serve.address, "[::]:8080".parse().ok());
    assert_eq!(configuration.admission.address, "[::]:9443".parse().ok());
    assert_eq!(configuration.admission.name.as_str(), "warns");
    assert_eq!(configuration.log.level, Level("debug".to_owned()));
    assert_eq!(configuration.log.address.map(|it| it.0), "[::1]:8081".parse().ok());
}

#[test]
fn every_mistake_is_named_where_it_stands() {
    type Case = (&'static str, Option<(usize, usize)>, &'static str);
    let cases: &[Case] = &[
        ("podSubnet: []", Some((3, 1)), "unknown field `podSubnet`, expected one of"),
        ("podSubnets: [10.0.0.1/8]", Some((3, 14)), "has host bits set: write `10.0.0.0/8`"),
        ("nodes: ['::ffff:10.0.0.1/128']", Some((3, 9)), "wraps IPv4 addresses"),
        ("nodes: [10.0.0.0/+8]", Some((3, 9)), "is not an address block"),
        ("nodes: [x]", Some((3, 9)), "`x` is not an address block"),
        ("icmp: Strange", Some((3, 7)), "unknown variant `Strange`, expected one of Strict,"),
        ("admission: {address: 9443}", Some((3, 22)), "a string belongs here, in quotes"),
        ("admission: {address: '[::]'}", Some((3, 22)), "invalid socket address"),
        ("admission: {name: Moat}", Some((3, 19)), "`Moat` is not the name of a webhook: use"),
        ("quotas: {rulesPerGroup: 600}", None, "600 rules for a group times 5 groups"),
        ("quotas: {rulesPerGroup: 0}", None, "are at least 1"),
        ("quotas: {groups: -1}", Some((3, 18)), "not a whole number from 0 up"),
        ("quotas: {groupsPerNamespace: 0}", Some((3, 10)), "expected a whole number from 1 up"),
        ("cluster: A", Some((3, 10)), "`A` is not a cluster name"),
        ("cluster: a\ncluster: b", Some((4, 1)), "duplicate mapping key `cluster`"),
        ("vpc: vpc_1", Some((3, 6)), "`vpc_1` is not the id of a VPC"),
        ("aws: {region: Frankfurt}", Some((3, 15)), "`Frankfurt` is not the code of a region"),
        ("aws: {region: eu-central-1a}", Some((3, 15)), "`eu-central-1a` is not the code"),
        (
            "aws: {role: moat}",
            Some((3, 7)),
            "unknown field `role`, expected one of region, roleArn",
        ),
        ("aws: {roleArn: moat}", Some((3, 16)), "`moat` is not the ARN of a role, such as"),
        (
            "aws: {roleArn: 'arn:aws:sts::123456789012:assumed-role/moat/me'}",
            Some((3, 16)),
            "assumed-role/moat/me` is not the ARN of a role",
        ),
        ("aws: {roleArn: 'arn:aws:iam::123456789012:role/'}", Some((3, 16)), "is not the ARN"),
        ("keepGroups: [web]", Some((3, 14)), "`web` is not the id of a security group"),
        ("maxChange: 120%", Some((3, 12)), "not a share between `0%` and `100%`"),
        ("maxChange: '+5%'", Some((3, 12)), "not a share between `0%` and `100%`"),
        ("serve: {address: 8080}", Some((3, 18)), "a string belongs here, in quotes"),
        ("serve: {address: ':8080'}", Some((3, 18)), "invalid socket address"),
        ("log: {address: '0.0.0.0:8081'}", Some((3, 16)), "say `127.0.0.1:8081`"),
        ("quotas: {entriesPerAcl: 41}", None, "`entriesPerAcl` is from 1 to 40"),
        ("clientPorts: 9-1", Some((3, 14)), "`9-1` is no range of ports, such as `1024-65535`"),
        ("networkAcls: [{name: a, subnets: {}}]", None, "`a` names no subnet: give `ids`, `tags`"),
        (
            "networkAcls: [{name: a+1, subnets: {ids: [subnet-0a]}}]",
            Some((3, 22)),
            "`a+1` is not the name of a network ACL",
        ),
        (
            "networkAcls: [{name: a, subnets: {ids: [sg-0a]}}]",
            Some((3, 41)),
            "`sg-0a` is not the id of a subnet",
        ),
        (
            "networkAcls: [{name: a, subnets: {ids: [subnet-0a]}}, {name: a, subnets: {ids: [subnet-0b]}}]",
            None,
            "two are called `a`",
        ),
        (
            "networkAcls: [{name: a, subnets: {ids: [subnet-0a]}}, {name: b, subnets: {ids: [subnet-0a]}}]",
            None,
            "two name `subnet-0a`: one ACL guards a subnet",
        ),
        ("networkAcls: [{name: a}]", Some((3, 16)), "missing field `subnets`"),
        ("quarantine: true", None, "`quarantine` needs `defaultGroups`"),
        (
            "namespaceSelector: {matchExpressions: [{key: a, operator: In}]}",
            Some((3, 20)),
            "`matchExpressions[0].operator`: `In` needs at least one of `values`",
        ),
        (
            "namespaceSelector: {matchLabels: {no key: x}}",
            Some((3, 20)),
            "`no key` is not a label key",
        ),
        ("namespaceSelector: {matchLabels: {a: 5}}", Some((3, 20)), "a string in quotes"),
        ("cluster: 5", Some((3, 10)), "a string belongs here, in quotes"),
    ];
    for (body, place, message) in cases {
        let error = read(body).unwrap_err();
        assert_eq!(error.place, *place, "{body}: {error}");
        assert!(error.message.contains(message), "{body}: {error}");
    }
    assert!("kind: Configuration".parse::<Configuration>().is_err());
    assert!("apiVersion: v1\nkind: Configuration".parse::<Configuration>().is_err());
}
