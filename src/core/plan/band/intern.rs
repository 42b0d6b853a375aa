//! Values by number, so that comparing two is comparing numbers.

use std::collections::HashMap;
use std::hash::Hash;

/// Values that are given numbers, from 0.
#[derive(Debug)]
pub(super) struct Interner<T> {
    ids: HashMap<T, u32>,
    values: Vec<T>,
}

impl<T: Clone + Eq + Hash> Interner<T> {
    pub(super) fn new() -> Self {
        Self { ids: HashMap::new(), values: Vec::new() }
    }

    /// The number of a value, and whether it is a first one.
    pub(super) fn intern(&mut self, value: T) -> (u32, bool) {
        let next = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        let Self { ids, values } = self;
        let mut first = false;
        let id = ids.entry(value).or_insert_with_key(|value| {
            values.push(value.clone());
            first = true;
            next
        });
        (*id, first)
    }

    #[expect(clippy::indexing_slicing, reason = "numbers come from this interner alone")]
    pub(super) fn get(&self, id: u32) -> &T {
        &self.values[id as usize]
    }
}
