//! The webhook's port by itself: calls that are wrong, and certificates that change.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use moat_controller::Terms;
use moat_test_cluster::until;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::admission::{call, network_policy, warnings, webhook};
use crate::world::World;

/// The certificates of the Secret: authorities, and when each was made.
async fn kept(world: &World) -> Option<(String, Vec<String>)> {
    let secrets: Api<Secret> = Api::default_namespaced(world.client.clone());
    let data = secrets.get_opt("moat-admission").await.ok()??.data?;
    let text = |key: &str| data.get(key).map(|it| String::from_utf8_lossy(&it.0).into_owned());
    let authorities = ["ca.crt", "next-ca.crt"].into_iter().filter_map(text).collect();
    let made = ["made", "next-made"].into_iter().filter_map(text).collect();
    Some((authorities, made))
}

/// The authorities that the API server trusts.
async fn trusted(world: &World) -> Option<String> {
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(world.client.clone());
    let webhooks = configurations.get("moat-admission").await.ok()?.webhooks?;
    let bundle = webhooks.into_iter().next()?.client_config.ca_bundle?;
    String::from_utf8(bundle.0).ok()
}

/// A connection to a port, with what it presents, trusting these authorities.
async fn connect(
    port: u16,
    authorities: &str,
) -> Option<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
        roots.add(authority.expect("PEM")).expect("an authority");
    }
    let config = ClientConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()
}

async fn presented(port: u16, authorities: &str) -> Option<Vec<u8>> {
    let stream = connect(port, authorities).await?;
    Some(stream.get_ref().1.peer_certificates()?.first()?.to_vec())
}

/// What a port answers: the status and the body.
async fn ask(port: u16, authorities: &str, method: &str, path: &str, body: &[u8]) -> (u16, String) {
    let mut stream = connect(port, authorities).await.expect("a connection");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("it reads");
    // Who is told that it is too much need not listen to the end.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").expect("HTTP");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.expect("a status"), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_wrong_are_answered_and_do_no_harm() {
    let world = World::new().await;
    let (webhook, port) = webhook(Terms::default()).await;
    call(&world, port).await;
    let _controller = world.controller_with("one", webhook, None);
    let authorities = until("there is a certificate", async || {
        let (authorities, _) = kept(&world).await?;
        presented(port, &authorities).await.map(|_| authorities)
    })
    .await;
    let ask = async |method, path, body: &[u8]| ask(port, &authorities, method, path, body).await;
    let review = |object: Value| {
        json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {"uid": "1", "operation": "CREATE", "object": object},
        })
        .to_string()
        .into_bytes()
    };
    let of_old = json!({"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview", "request": null});
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let cases: [(&str, &str, &[u8], u16); 8] = [
        ("GET", "/admission", b"", 405),
        ("POST", "/", b"", 404),
        ("POST", "/admission", b"", 400),
        ("POST", "/admission", b"\xff\xfe{", 400),
        ("POST", "/admission", b"{\"apiVersion\": 1}", 400),
        ("POST", "/admission", &of_old.to_string().into_bytes(), 400),
        ("POST", "/admission", &deep, 400),
        ("POST", "/admission", &vec![b' '; 5_000_000], 413),
    ];
    for (method, path, body, status) in cases {
        assert_eq!(ask(method, path, body).await.0, status, "{method} {path} {}", body.len());
    }
    let pod =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "b"}});
    for (object, count) in [(pod, 1), (json!(null), 1), (json!([1]), 1), (json!({"kind": 7}), 1)] {
        let (status, body) = ask("POST", "/admission", &review(object)).await;
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        let response = &answer["response"];
        assert_eq!(
            (status, &response["uid"], &response["allowed"]),
            (200, &json!("1"), &json!(true)),
            "{body}"
        );
        assert_eq!(response["warnings"].as_array().map(Vec::len), Some(count), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_change_their_certificate_together_and_no_call_fails() {
    let world = World::new().await;
    let terms = Terms {
        lasts: Duration::from_secs(600),
        renewed: Duration::from_secs(596),
        settles: Duration::from_secs(8),
        looks: Duration::from_millis(200),
    };
    let ((first, port), (second, other)) = (webhook(terms).await, webhook(terms).await);
    call(&world, port).await;
    let _controllers =
        [world.controller_with("one", first, None), world.controller_with("two", second, None)];
    let nobody = network_policy("web", "nobody", &json!({}));
    world.pods("shop", &[]).await;
    until("the webhook answers", async || {
        (!warnings(&world, Method::POST, &nobody).await.is_empty()).then_some(())
    })
    .await;
    let (authorities, made) = kept(&world).await.expect("certificates");
    assert_eq!(made.len(), 1, "two that race end with one");
    let before = presented(port, &authorities).await.expect("a certificate");
    until("the other one serves it, too", async || {
        (presented(other, &authorities).await? == before).then_some(())
    })
    .await;
    until("the certificate changes", async || {
        let said = warnings(&world, Method::POST, &nobody).await;
        assert_eq!(said.len(), 1, "a call failed");
        // The API server keeps connections: what it would see on a new one.
        let authorities = trusted(&world).await.expect("authorities");
        let now = [presented(port, &authorities).await, presented(other, &authorities).await];
        let now = now.map(|now| now.expect("it is trusted"));
        now.iter().all(|now| *now != before).then_some(())
    })
    .await;
    until("the former one is no longer trusted", async || {
        let said = warnings(&world, Method::POST, &nobody).await;
        assert_eq!(said.len(), 1, "a call failed");
        let (authorities, _) = kept(&world).await?;
        let all = CertificateDer::pem_slice_iter(authorities.as_bytes());
        let former = made.first().expect("one");
        let (_, now) = kept(&world).await?;
        (all.count() <= 2 && !now.contains(former)).then_some(())
    })
    .await;
}
