//! What a set of policies means for one packet: the first reference.
