//! Cost of one run of a command: time on the clock, CPU time, peak memory.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wait4::Wait4 as _;

use crate::error::Result;

/// The cost of one run, children of the command included.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    /// The most memory that one process of it had resident, in bytes.
    pub(crate) peak: u64,
}

/// Runs a command to its end; one that fails has no cost worth knowing.
pub(crate) fn measure(command: &mut Command) -> Result<Cost> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let began = Instant::now();
    let done = command.spawn()?.wait4()?;
    let wall = began.elapsed();
    if !done.status.success() {
        return Err(format!("{command:?} ended with {}", done.status).into());
    }
    Ok(Cost {
        wall,
        cpu: done.rusage.utime + done.rusage.stime,
        peak: done.rusage.maxrss,
    })
}

/// The middle of some figures; of two middle ones the lower.
pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => f64::NAN,
        some => figures[(some - 1) / 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_figure() {
        assert!(median([]).is_nan());
        assert_eq!(median([3.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
        assert_eq!(median([4.0, 1.0]).to_bits(), 1.0_f64.to_bits());
    }

    #[test]
    fn a_command_that_fails_is_not_measured() {
        assert!(measure(&mut Command::new("false")).is_err());
        let cost = measure(&mut Command::new("true")).expect("true is true");
        assert!(cost.peak > 0);
    }
}
