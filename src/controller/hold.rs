//! The lease in the hands of a command that changes the cloud: no controller changes it meanwhile.

use std::collections::BTreeMap;

use k8s_openapi::api::coordination::v1::Lease;
use kube::core::ApiResource;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::lease::{self, Candidate, Tenure};
use crate::look::{Cluster, Tenancy};

/// What came of asking for a lease.
#[derive(Debug)]
pub enum Taking {
    /// It is ours.
    Ours(Hold),
    /// Somebody else holds it, as the lease names him.
    Of(String),
}

/// The leases of an installation, renewed until they are given back. Who ends without that is followed once they run out.
#[derive(Debug, Default)]
pub struct Hold(Vec<Kept>);

/// A lease that is renewed.
#[derive(Debug)]
struct Kept {
    tenure: Tenure,
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Cluster {
    /// Takes the lease of an installation, unless somebody keeps it alive: in each namespace that has one, since a controller
    /// keeps its own where it runs; where none has, that of the context's namespace. `me` is unlike any other process's. What
    /// is ours is renewed by this runtime's other threads.
    ///
    /// # Errors
    /// Why the lease cannot be read or written, and what to do.
    pub async fn take(&self, installation: &str, me: &str) -> Result<Taking, String> {
        let (since, leases) = match self.tenancy(installation).await? {
            Tenancy::Led(holder) => return Ok(Taking::Of(holder)),
            Tenancy::Free { since, leases } => (since, leases),
        };
        let mut hold = Hold::default();
        for mut candidate in self.candidates(installation, me, since, leases) {
            match self.patiently(candidate.attempt()).await {
                Ok(true) => hold.keep(candidate),
                Ok(false) => {
                    hold.give_back().await;
                    return Ok(Taking::Of("of another process that was faster".to_owned()));
                }
                Err(error) => {
                    hold.give_back().await;
                    let resource = ApiResource::erase::<Lease>(&());
                    return Err(self.why("update", &resource, error).await.into_text());
                }
            }
        }
        Ok(Taking::Ours(hold))
    }

    fn candidates(
        &self,
        installation: &str,
        me: &str,
        since: Instant,
        leases: BTreeMap<String, Lease>,
    ) -> Vec<Candidate> {
        let candidate = |namespace: Option<&str>| {
            let name = lease::name(installation);
            Candidate::new(self.client.clone(), namespace, name, me.to_owned())
        };
        if leases.is_empty() {
            return vec![candidate(None)];
        }
        let watched = |(namespace, lease): (String, Lease)| {
            candidate(Some(&namespace)).having_watched(lease, since)
        };
        leases.into_iter().map(watched).collect()
    }
}

impl Hold {
    fn keep(&mut self, mut candidate: Candidate) {
        let tenure = candidate.tenure();
        let (end, ended) = oneshot::channel();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = candidate.run() => {}
                _ = ended => {}
            }
            candidate.release().await;
        });
        self.0.push(Kept { tenure, end, task });
    }

    /// Whether all of it is ours at this moment.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.0.iter().all(|kept| kept.tenure.is_held())
    }

    /// Gives it up, so that nobody has to wait for it.
    pub async fn give_back(self) {
        for Kept { end, task, .. } in self.0 {
            // Who does not hear it any more has ended.
            end.send(()).ok();
            task.await.ok();
        }
    }
}
