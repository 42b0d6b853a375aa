//! Commands on an account: a VPC in memory stands for it, whose pods' interfaces the annotation of EKS names.

#![expect(clippy::unwrap_used, reason = "a test")]

mod fixture;

use std::ffi::OsString;
use std::fs;
use std::time::Duration;

use fixture::{Fixture, held};
use moat_cli::{Exit, Io, Target, Terminal};
use moat_core::inventory::{Attachment, InterfaceId};
use moat_core::provider::ProviderError;
use moat_sim::{Call, Fault, Injection, NetworkInterface, base_group};

#[test]
fn an_account_is_changed_only_after_a_yes() {
    let fixture = Fixture::new();
    let before = held(&fixture);
    let (exit, text) = fixture.run(&["apply", "FOLDER"], "no\n");
    assert_eq!(exit, Exit::Failed, "{text}");
    assert!(text.contains("to do)"), "{text}");
    assert!(text.contains("in vpc-0a1? [y/N] error: not applied: nobody said yes"), "{text}");
    assert_eq!(held(&fixture), before);

    let (exit, text) = fixture.run(&["apply", "FOLDER", "--output", "json"], "");
    assert_eq!(exit, Exit::Failed, "{text}");
    assert!(text.contains("give `--yes`"), "{text}");

    let (exit, text) = fixture.run(&["apply", "FOLDER"], "y\n");
    assert_ne!(exit, Exit::Failed, "{text}");
    assert!(text.contains("done)"), "{text}");
    assert_ne!(held(&fixture), before);
}

#[test]
fn a_missing_permission_is_told_before_anything_is_done() {
    let fixture = Fixture::new();
    let before = held(&fixture);
    fixture.vpc.2.borrow_mut().push("ec2:CreateTags".to_owned());
    let (exit, text) = fixture.run(&["plan", "FOLDER"], "");
    assert_ne!(exit, Exit::Failed, "{text}");
    let (exit, text) = fixture.run(&["apply", "FOLDER", "--yes"], "");
    assert_eq!(exit, Exit::Failed, "{text}");
    let told = "not applied: nothing is done, since the role may not call `ec2:CreateTags`: give it this permission";
    assert!(text.contains(told), "{text}");
    assert_eq!(held(&fixture), before);
}

#[test]
fn a_command_looks_at_an_account_once_and_goes_on_from_what_was_read_back() {
    for command in [&["plan", "FOLDER"][..], &["apply", "FOLDER", "--yes"]] {
        let fixture = Fixture::new();
        fixture.run(command, "");
        assert_eq!(fixture.vpc.1.get(), 1, "{command:?}");
    }
}

#[test]
fn nobody_is_asked_about_what_the_configuration_forbids() {
    let fixture = Fixture::new();
    let observe = fixture.folder.path().join("observe.yaml");
    fs::write(&observe, "apiVersion: moat.dev/v1alpha1\nkind: Configuration\nmode: Observe\n")
        .unwrap();
    for command in [&["apply", "FOLDER"][..], &["uninstall"]] {
        let configured = [command, &["--config", observe.to_str().unwrap()]].concat();
        let (exit, text) = fixture.run(&configured, "y\n");
        assert_eq!(exit, Exit::Failed, "{text}");
        assert!(text.contains("`mode: Observe`") && !text.contains("[y/N]"), "{text}");
    }
}

#[test]
fn region_and_role_come_from_the_configuration_if_they_are_there() {
    let fixture = Fixture::new();
    let path = fixture.folder.path().join("configuration.yaml");
    let head = "apiVersion: moat.dev/v1alpha1\nkind: Configuration\n";
    let role = "arn:aws:iam::123456789012:role/moat";
    let cases = [
        (String::new(), (None, None)),
        (
            format!("aws: {{region: eu-north-1, roleArn: '{role}'}}\n"),
            (Some("eu-north-1"), Some(role)),
        ),
    ];
    for (body, wanted) in cases {
        fs::write(&path, format!("{head}{body}")).unwrap();
        fixture.run(&["plan", "FOLDER", "--config", path.to_str().unwrap()], "");
        let Target { region, role, .. } = fixture.reached.take().unwrap();
        assert_eq!((region.as_deref(), role.as_deref()), wanted);
    }
}

#[test]
fn a_pod_without_an_address_is_reported_and_not_there() {
    let (_, text) = Fixture::new().run(&["plan", "FOLDER"], "");
    assert!(text.contains("NotRunning"), "{text}");
    assert!(text.contains("shop/starting"), "{text}");
}

#[test]
fn a_pod_without_the_annotation_is_told_to_share_the_interface_that_bears_its_address() {
    let fixture = Fixture::new();
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: old, namespace: shop, labels: {app: db}}, status: {podIP: 10.0.3.20}}";
    fs::write(fixture.folder.path().join("old.yaml"), pod).unwrap();
    let (_, text) = fixture.run(&["plan", "FOLDER"], "");
    assert!(text.contains("NoInterface"), "nobody bears its address: {text}");

    let node = NetworkInterface {
        attachment: Attachment::Shared,
        description: String::new(),
        addresses: ["10.0.0.200/32", "10.0.3.16/28"].map(|block| block.parse().unwrap()).into(),
        groups: [base_group()].into(),
        record: [].into(),
    };
    fixture.vpc.0.borrow_mut().as_someone_else(|vpc| {
        vpc.put_interface(InterfaceId("eni-0c".into()), node);
    });
    let (_, text) = fixture.run(&["check", "FOLDER"], "");
    assert!(!text.contains("NoInterface"), "{text}");
    assert!(text.contains("not enforced[SharedInterface]") && text.contains("`eni-0c`"), "{text}");
    let denied = ["explain", "shop/web", "shop/old", "tcp/22", "FOLDER"];
    let (_, text) = fixture.run(&denied, "");
    assert!(text.contains("allow, by sg-0ba5e000000000000"), "{text}");
    assert!(text.contains("SharedInterface"), "{text}");
    let (_, text) = fixture.run(&["apply", "FOLDER", "--yes"], "");
    assert!(!text.contains("eni-0c"), "it keeps its groups: {text}");
}

#[test]
fn a_pod_whose_interface_is_not_there_is_told_and_nothing_is_tried() {
    let fixture = Fixture::new();
    fixture.remove_interface("eni-0b");
    let (exit, text) = fixture.run(&["check", "FOLDER"], "");
    assert_eq!(exit, Exit::Findings, "{text}");
    assert!(text.contains("ignored[NoInterface]: `eni-0b` is not in the VPC"), "{text}");
    assert!(text.contains("shop.yaml:4:"), "where the annotation names it: {text}");
    let (exit, text) = fixture.run(&["apply", "FOLDER", "--yes"], "");
    assert_eq!(exit, Exit::Findings, "{text}");
    assert!(!text.contains("let eni-0b wear"), "{text}");
}

#[test]
fn an_interface_that_goes_while_a_plan_is_carried_out_costs_nothing() {
    let fixture = Fixture::new();
    *fixture.vpc.3.borrow_mut() = Some(InterfaceId("eni-0b".into()));
    let (exit, text) = fixture.run(&["apply", "FOLDER", "--yes"], "");
    assert_eq!(exit, Exit::Findings, "{text}");
    assert_eq!(fixture.vpc.0.borrow().now(), Duration::ZERO);
}

/// The cloud goes on showing it, and goes on refusing.
#[test]
fn what_the_cloud_refuses_again_and_again_is_given_up_in_half_a_minute() {
    let fixture = Fixture::new();
    let gone = ProviderError::NotFound { subject: "eni-0b".to_owned(), code: None };
    fixture.vpc.0.borrow_mut().inject(Injection {
        call: Some(Call::ModifyNetworkInterfaceAttribute),
        after: 0,
        times: usize::MAX,
        fault: Fault::Refuse(gone),
    });
    let (exit, text) = fixture.run(&["apply", "FOLDER", "--yes"], "");
    assert_eq!(exit, Exit::Failed, "{text}");
    let told = "error: not applied: the cloud still differs after 4 plans; let eni-0a wear";
    assert!(text.contains(told) && text.contains("`eni-0b` does not exist"), "{text}");
    assert!(fixture.vpc.0.borrow().now() <= Duration::from_secs(30));

    fixture.vpc.0.borrow_mut().heal();
    let (exit, text) = fixture.run(&["apply", "FOLDER", "--yes"], "");
    assert_ne!(exit, Exit::Failed, "{text}");
}

#[test]
fn no_pod_is_assumed_in_an_account() {
    for command in [&["plan", "FOLDER"][..], &["apply", "FOLDER", "--yes"], &["check", "FOLDER"]] {
        let fixture = Fixture::new();
        let (exit, text) = fixture.run(&[command, &["--assume-pods"]].concat(), "");
        assert_eq!(exit, Exit::Failed, "{text}");
        assert!(text.contains("`--assume-pods` puts pods into the VPC in memory"), "{text}");
        assert_eq!(fixture.reached.take(), None, "nothing is asked");
    }
}

#[test]
fn explain_answers_from_what_the_account_holds() {
    let fixture = Fixture::new();
    let flow = ["explain", "shop/db", "shop/web", "tcp/5432", "FOLDER"];
    let denied = ["explain", "shop/web", "shop/db", "tcp/22", "FOLDER"];
    let (exit, text) = fixture.run(&denied, "");
    assert_eq!(exit, Exit::Findings, "{text}");
    assert!(text.contains("NotApplied"), "{text}");
    fixture.run(&["apply", "FOLDER", "--yes"], "");
    for command in [flow, denied] {
        let (exit, text) = fixture.run(&command, "");
        assert_eq!(exit, Exit::Clean, "{text}");
    }
}

#[test]
fn rules_that_the_load_balancer_controller_keeps_are_reported_wherever_a_command_looks() {
    let fixture = Fixture::new();
    fixture.run(&["apply", "FOLDER", "--yes"], "");
    let rule = fixture.add_rule("tcp/22", "elbv2.k8s.aws/targetGroupBinding=shared");
    let told = format!("keeps `{rule}` in `moat.default.");
    let flow = ["explain", "shop/web", "shop/db", "tcp/22", "FOLDER"];
    for command in [&["check", "FOLDER"][..], &["plan", "FOLDER", "--output", "json"], &flow] {
        let (exit, text) = fixture.run(command, "");
        assert_eq!(exit, Exit::Findings, "{text}");
        assert!(text.contains("ForeignRule") && text.contains(&told), "{text}");
    }
    let (_, text) = fixture.run(&flow, "");
    assert!(text.contains("which the AWS load balancer controller keeps"), "{text}");
    let (_, text) = fixture.run(&["plan", "FOLDER"], "");
    assert!(text.contains("nothing to do"), "{text}");
}

#[test]
fn what_others_changed_is_told_when_it_is_put_right_and_then_no_more() {
    let fixture = Fixture::new();
    fixture.run(&["apply", "FOLDER", "--yes"], "");
    let rule = fixture.add_rule("tcp/22", "by hand");
    fixture.vpc.0.borrow_mut().as_someone_else(|vpc| {
        let (web, db) = (InterfaceId("eni-0a".into()), InterfaceId("eni-0b".into()));
        let open = vpc.create_group("open", None).unwrap();
        vpc.authorize(&open, &[(rule.clone(), String::new())].into(), None).unwrap();
        let mut more = vpc.interfaces().find(|(id, _)| **id == db).unwrap().1.groups.clone();
        more.insert(open.clone());
        vpc.set_groups(&db, more).unwrap();
        vpc.set_groups(&web, [open].into()).unwrap();
    });
    let drift = [
        format!("holds `{rule}`, which does not bear Moat's tag"),
        "someone took Moat's groups off `eni-0a`".to_owned(),
        "someone let `eni-0b` wear `sg-".to_owned(),
    ];
    for command in [&["plan", "FOLDER"][..], &["apply", "FOLDER", "--yes"]] {
        let (exit, text) = fixture.run(command, "");
        assert_eq!(exit, Exit::Findings, "{text}");
        for told in &drift {
            assert!(text.contains("drift: ") && text.contains(told), "{told}: {text}");
        }
    }
    let (_, text) = fixture.run(&["plan", "FOLDER"], "");
    assert!(text.contains("nothing to do") && !text.contains("Drift"), "{text}");
}

/// Nothing lacks our tags and is adopted, and nothing is half done: the plan takes other numbers, and says why.
#[test]
fn a_group_whose_tags_someone_took_off_is_told_and_its_pods_get_another() {
    let fixture = Fixture::new();
    fixture.run(&["apply", "FOLDER", "--yes"], "");
    let worn = |id: &str| {
        let mut sim = fixture.vpc.0.borrow_mut();
        sim.as_someone_else(|vpc| vpc.interfaces().find(|(it, _)| &*it.0 == id).unwrap().1.clone())
    };
    let bereft = worn("eni-0b").groups.first().unwrap().clone();
    fixture.vpc.0.borrow_mut().as_someone_else(|vpc| vpc.disown(&bereft).unwrap());
    let told = format!("`{}` bears the name `moat.default.", bereft.0);
    for (command, calls) in
        [(&["plan", "FOLDER"][..], "to do)"), (&["apply", "FOLDER", "--yes"], "done)")]
    {
        let (exit, text) = fixture.run(command, "");
        assert_eq!(exit, Exit::Findings, "{text}");
        assert!(
            text.contains("NameTaken")
                && text.contains(&format!("name taken: {told}"))
                && text.contains(calls),
            "{text}"
        );
    }
    assert!(!worn("eni-0b").groups.contains(&bereft), "the pod has a group of ours again");
    assert_eq!(worn("eni-0b").record, [base_group()].into());
    let (_, text) = fixture.run(&["plan", "FOLDER"], "");
    assert!(text.contains("nothing to do") && text.contains(&told), "{text}");
    let (exit, text) = fixture.run(&["uninstall", "--yes"], "");
    assert!(
        exit == Exit::Failed && text.contains("is in use"),
        "its own rules stay with it: {text}"
    );
    fixture.vpc.0.borrow_mut().as_someone_else(|vpc| vpc.delete_group(&bereft).unwrap());
    let (exit, text) = fixture.run(&["uninstall", "--yes"], "");
    assert_eq!(exit, Exit::Clean, "{text}");
    assert_eq!(worn("eni-0b").groups, [base_group()].into());
}

#[test]
fn uninstalling_gives_back_what_was_found_even_when_the_manifests_are_gone() {
    let fixture = Fixture::new();
    let found = held(&fixture);
    fixture.run(&["apply", "FOLDER", "--yes"], "");
    fixture.add_rule("tcp/22", "elbv2.k8s.aws/targetGroupBinding=shared");
    assert_ne!(held(&fixture), found);
    let (exit, text) = fixture.run(&["uninstall", "--yes"], "");
    assert_eq!(exit, Exit::Clean, "{text}");
    assert_eq!(held(&fixture), found);
    let (exit, text) = fixture.run(&["uninstall"], "");
    assert_eq!(exit, Exit::Clean, "{text}");
    assert!(!text.contains("[y/N]"), "nothing is left to do: {text}");
}

#[test]
fn an_account_is_left_alone_while_a_controller_keeps_it_or_may_keep_it() {
    let fixture = Fixture::new();
    let found = held(&fixture);
    let run = |command: &[&str], leader: Result<Option<&str>, &str>| {
        *fixture.leader.borrow_mut() =
            leader.map(|it| it.map(str::to_owned)).map_err(str::to_owned);
        fixture.run_beside(&[command, &["--yes", "--context", "production"]].concat(), "")
    };
    for command in [&["apply", "FOLDER"][..], &["uninstall"]] {
        let keeps = "the controller `moat-7` keeps the groups of `default` in vpc-0a1";
        let unknown = "is not known: no rights; or give `--no-controller`";
        for (leader, said) in [(Ok(Some("moat-7")), keeps), (Err("no rights"), unknown)] {
            let (exit, text) = run(command, leader);
            assert!(exit == Exit::Failed && text.contains(said), "{text}");
        }
        let (exit, text) = fixture.run_beside(&[command, &["--yes"]].concat(), "");
        assert!(exit == Exit::Failed && text.contains("give the cluster's `--context`"), "{text}");
    }
    assert_eq!(held(&fixture), found, "nothing is changed");
    let (exit, text) = run(&["apply", "FOLDER"], Ok(None));
    assert_ne!(exit, Exit::Failed, "{text}");
    assert_ne!(held(&fixture), found);
    let (exit, text) = run(&["uninstall", "--no-controller"], Ok(Some("moat-7")));
    assert_eq!(exit, Exit::Clean, "{text}");
    assert_eq!(held(&fixture), found);
}

#[test]
fn a_command_that_loses_the_lease_stops_where_it_is_and_another_one_goes_on() {
    let fixture = Fixture::new();
    let found = held(&fixture);
    let apply = ["apply", "FOLDER", "--yes", "--context", "production"];
    fixture.lasting.set(0);
    let (exit, text) = fixture.run_beside(&apply, "");
    assert!(exit == Exit::Failed && text.contains("the lease of `default` is lost"), "{text}");
    assert_eq!(held(&fixture), found, "nothing is done without it");
    fixture.lasting.set(1);
    let (exit, text) = fixture.run_beside(&apply, "");
    assert!(exit == Exit::Failed && text.contains("the lease of `default` is lost"), "{text}");
    let begun = held(&fixture);
    assert_ne!(begun, found, "groups are made");
    assert_eq!(begun.interfaces, found.interfaces, "and nobody wears them");
    fixture.lasting.set(usize::MAX);
    let (exit, text) = fixture.run_beside(&apply, "");
    assert_ne!(exit, Exit::Failed, "{text}");
    let (_, text) = fixture.run(&["plan", "FOLDER"], "");
    assert!(text.contains("nothing to do"), "{text}");
}

#[test]
fn status_shows_the_groups_that_interfaces_wear_in_the_account() {
    let fixture = Fixture::new();
    let (_, text) = fixture.run(&["status"], "");
    let base = format!("{}\n", base_group().0);
    assert!(text.contains("GROUPS\n") && text.contains(&base), "{text}");
    fixture.run(&["apply", "FOLDER", "--yes"], "");
    let (_, text) = fixture.run(&["status"], "");
    let line = text.lines().find(|line| line.starts_with("shop ")).unwrap();
    assert!(line.ends_with("moat.default.2") || line.ends_with("moat.default.1"), "{text}");
    let (_, text) = fixture.run(&["status", "--output", "json"], "");
    assert!(text.contains("\"groups\": [") && text.contains("\"moat.default."), "{text}");
}

#[test]
fn a_program_without_the_account_says_so() {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut io = Io {
        stdin: &mut std::io::empty(),
        stdout: &mut stdout,
        stderr: &mut stderr,
        terminal: Terminal::default(),
        connect: &moat_cli::unreachable,
        reach: &moat_cli::clusterless,
        follow: &moat_cli::unfollowable,
    };
    let words = ["moat", "uninstall", "--provider", "aws", "--vpc-id", "vpc-0a1"];
    assert_eq!(moat_cli::run(words.map(OsString::from), &mut io), Exit::Failed);
    assert_eq!(
        String::from_utf8(stderr).unwrap(),
        "error: cannot reach the cloud: this program is built without AWS: build it with its default features\n"
    );
}
