//! Locking that a panicked thread does not spoil.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after another thread panicked: a test that fails should fail with its own message.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
