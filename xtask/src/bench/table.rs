//! Table of the benchmark: medians of each case, and the median of its pairs' ratios.

use std::fmt::Write as _;
use std::fs;

use super::measure::{Cost, median};

/// What is compared, and what the ratio may be at most.
#[derive(Clone, Copy)]
pub(crate) struct Figure {
    name: &'static str,
    target: f64,
    of: fn(&Cost) -> f64,
    unit: fn(f64) -> String,
}

impl Figure {
    pub(crate) const fn wall(target: f64) -> Self {
        Self {
            name: "wall",
            target,
            of: |cost| cost.wall.as_secs_f64(),
            unit: seconds,
        }
    }

    pub(crate) const fn cpu(target: f64) -> Self {
        Self {
            name: "CPU",
            target,
            of: |cost| cost.cpu.as_secs_f64(),
            unit: seconds,
        }
    }

    pub(crate) const fn peak(target: f64) -> Self {
        Self {
            name: "peak memory",
            target,
            of: |cost| cost.peak as f64,
            unit: megabytes,
        }
    }
}

fn seconds(figure: f64) -> String {
    format!("{figure:.3} s")
}

fn megabytes(figure: f64) -> String {
    format!("{:.1} MB", figure / 1e6)
}

/// The pairs of one case.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) ours: String,
    pub(crate) theirs: String,
    pub(crate) figures: Vec<Figure>,
    pub(crate) pairs: Vec<(Cost, Cost)>,
}

/// The medians of each case, and the median of the pairs' ratios.
pub(crate) fn of(rows: &[Row]) -> String {
    let mut text = String::from(
        "| case | against | figure | ours | theirs | ratio | at most | CPU | peak |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let ours = |of: fn(&Cost) -> f64| median(row.pairs.iter().map(|(ours, _)| of(ours)));
        let cpu = seconds(ours(|cost| cost.cpu.as_secs_f64()));
        let peak = megabytes(ours(|cost| cost.peak as f64));
        for figure in &row.figures {
            let of = figure.of;
            let theirs = median(row.pairs.iter().map(|(_, theirs)| of(theirs)));
            let ratios = row.pairs.iter().map(|(ours, theirs)| of(ours) / of(theirs));
            // Writing to memory does not fail.
            let _ = writeln!(
                text,
                "| {} ({}) | {} | {} | {} | {} | {:.3} | {:.3} | {cpu} | {peak} |",
                row.ours,
                row.name,
                row.theirs,
                figure.name,
                (figure.unit)(ours(of)),
                (figure.unit)(theirs),
                median(ratios),
                figure.target,
            );
        }
    }
    text
}

/// What the figures were measured on.
pub(crate) fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cpu = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".to_owned());
    let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_else(|| "unknown".to_owned());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "Measured on {cores} cores ({cpu}), memory {memory}; medians, and the median of the ratios."
    )
}
