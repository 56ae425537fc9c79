//! A share or probability in the configuration file: a number from 0 to 1.

use serde::de::{Deserialize, Deserializer, Error, Unexpected};

/// Reads it; for `deserialize_with`.
pub(crate) fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(deserializer)?;
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        let found = Unexpected::Float(share);
        Err(Error::invalid_value(found, &"a number from 0 to 1"))
    }
}
