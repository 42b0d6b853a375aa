//! Values under numbers that last as long as they do.

/// Values, each at a place of its own; places of values that went are taken again.
#[derive(Clone, Debug)]
pub(super) struct Slab<T> {
    places: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Keeps a value; where.
    pub(super) fn insert(&mut self, value: T) -> usize {
        let free = self.free.pop();
        match free.and_then(|place| Some((place, self.places.get_mut(place)?))) {
            Some((place, slot)) => {
                *slot = Some(value);
                place
            }
            None => {
                self.places.push(Some(value));
                self.places.len() - 1
            }
        }
    }

    pub(super) fn get(&self, place: usize) -> Option<&T> {
        self.places.get(place)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.places.get_mut(place)?.as_mut()
    }

    pub(super) fn remove(&mut self, place: usize) -> Option<T> {
        let value = self.places.get_mut(place)?.take()?;
        self.free.push(place);
        Some(value)
    }

    /// The values with their places, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &T)> + '_ {
        self.places.iter().enumerate().filter_map(|(place, value)| Some((place, value.as_ref()?)))
    }
}
