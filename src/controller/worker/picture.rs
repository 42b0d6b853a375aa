//! The picture of the cloud that a worker keeps.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use moat_core::drift;
use moat_core::drive;
use moat_core::inventory::InterfaceId;
use moat_core::provider::{Observed, Provider, ProviderError, Scope, Touched};
use tokio::time::Instant;

use super::Worker;
use crate::telemetry::Phase;

/// A picture of the cloud, and what it shows.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) observed: Arc<Observed>,
    pub(super) scope: Scope,
    /// When it was taken as a whole. Parts of it may be newer.
    pub(super) taken: Instant,
}

/// How long a picture counts while nothing changes: what others do to the cloud shows no later.
pub(super) const FRESH: Duration = Duration::from_secs(60);

impl<P: Provider + Send> Worker<P> {
    /// The picture, read anew if it is old; interfaces that it does not show are read by themselves: they are new, or the cloud
    /// did not know them yet.
    pub(super) async fn look(&mut self, scope: &Scope) -> Result<Arc<Observed>, ProviderError> {
        let began = Instant::now();
        let covers = |picture: &Picture| {
            picture.taken.elapsed() < FRESH
                && picture.scope.addresses.is_superset(&scope.addresses)
                && picture.scope.defaults == scope.defaults
                && picture.scope.acls == scope.acls
        };
        let (observed, taken) = match self.picture.take() {
            Some(known) if covers(&known) => {
                let is_shown = |id: &&InterfaceId| known.observed.interfaces.contains_key(*id);
                let unseen = scope.interfaces.iter().filter(|id| !is_shown(id));
                let interfaces: BTreeSet<InterfaceId> = unseen.cloned().collect();
                if interfaces.is_empty() {
                    let observed = Arc::clone(&known.observed);
                    self.picture = Some(known);
                    return Ok(observed);
                }
                // Let go of, so that the provider changes it in place.
                drop(known.observed);
                let touched = Touched { interfaces, ..Touched::default() };
                let read = drive::observe_again(&mut self.cloud, scope, &touched);
                (self.links.wait_for(read).await?, known.taken)
            }
            before => {
                self.repaired.clear();
                let read = drive::observe(&mut self.cloud, scope);
                let observed = self.links.wait_for(read).await?;
                if let Some(before) = before {
                    self.meanwhile = drift::of_acls(&before.observed, &observed);
                }
                (observed, Instant::now())
            }
        };
        self.links.telemetry.took(Phase::Observe, began.elapsed());
        let shown = Arc::clone(&observed);
        self.picture = Some(Picture { observed: shown, scope: scope.clone(), taken });
        Ok(observed)
    }
}
