//! Hash-consing: equal values of a pool are one, so that comparing and hashing them looks at their place alone.

use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use super::HashMap;
use super::effective::ByAddress;
use crate::net::ServiceSet;

/// A value of a [`Pool`]. Only values of one pool are ever compared.
#[derive(Debug)]
pub(crate) struct Shared<T>(Arc<T>);

/// Values, each there once.
#[derive(Debug)]
pub(crate) struct Pool<T>(HashMap<Arc<T>, Shared<T>>);

/// The sets that a compile comes across again and again.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    /// What passes for a remote.
    pub(crate) services: Pool<ServiceSet>,
    /// What passes for every address.
    pub(crate) addresses: Pool<ByAddress>,
}

impl<T: Hash + Eq> Pool<T> {
    /// The one that equals `value`.
    pub(crate) fn share(&mut self, value: T) -> Shared<T> {
        if let Some(known) = self.0.get(&value) {
            return known.clone();
        }
        let value = Arc::new(value);
        self.0.entry(value.clone()).or_insert(Shared(value)).clone()
    }
}

impl Pools {
    /// How many sets there are.
    pub(crate) fn len(&self) -> usize {
        self.services.0.len() + self.addresses.0.len()
    }

    /// Throws out the sets that nobody else has.
    pub(crate) fn sweep(&mut self) {
        self.services.sweep();
        self.addresses.sweep();
    }
}

impl<T: Hash + Eq> Pool<T> {
    fn sweep(&mut self) {
        /// The key and the value of a pool.
        const OWN: usize = 2;
        self.0.retain(|_, shared| Arc::strong_count(&shared.0) > OWN);
    }
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> From<Shared<T>> for Arc<T> {
    fn from(value: Shared<T>) -> Self {
        value.0
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Eq for Shared<T> {}

impl<T> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}
