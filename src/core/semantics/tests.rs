//! The API texts as cases.
