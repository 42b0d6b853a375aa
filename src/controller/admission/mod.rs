//! Warnings at admission: whoever applies a policy is told what will become of it, in a dry run, too.
//!
//! ```text
//! API server ─▶ port: TLS ─▶ review: what is asked ─▶ opinion: the candidate among the others, compiled ─▶ lines
//!                  ▲
//! Secret ◀─▶ keeper: certificates ─▶ caBundle of the ValidatingWebhookConfiguration
//! ```
//!
//! It never denies, and the API server does not wait for it long. Every replica answers, from the index: also while the worker
//! is within a stage.

mod certificate;
mod keeper;
mod lines;
mod opinion;
mod port;
mod review;

use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use certificate::Terms;
use keeper::Keeper;

use crate::index::Live;
use crate::reload::Decision;
use crate::round::Round;

/// An open port for the API server's questions.
#[derive(Debug)]
pub struct Webhook {
    /// The port.
    pub port: TcpListener,
    /// How long certificates last.
    pub terms: Terms,
}

impl Webhook {
    /// Answers until the future is dropped.
    pub(crate) async fn answer(
        self,
        client: Client,
        decision: watch::Receiver<Decision>,
        index: Live,
        rounds: watch::Receiver<Option<Round>>,
    ) {
        let Self { port, terms } = self;
        let (serve, served) = watch::channel(None);
        let name = decision.borrow().configuration.admission.name.as_str().to_owned();
        let keeper = Keeper::new(client, name, terms, serve);
        let router = review::router(review::Desk::new(decision, index, rounds));
        tokio::join!(keeper.run(), port::answer(port, served, router));
    }
}
