//! What to give up when the exact rules do not fit the quotas (DESIGN §6.6): a fixed ladder, never wider.

use super::class::Classes;
use super::cohort::Concessions;
use super::layout::Layout;
use super::meaning::Meaning;

/// The concessions with one more rung for whoever does not fit; none if everybody fits.
pub(crate) fn climb(
    _meaning: &Meaning<'_>,
    _classes: &Classes,
    _layout: &Layout,
) -> Option<Concessions> {
    None
}
