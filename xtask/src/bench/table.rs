//! What came out, as a table for people.

use std::fmt::Write as _;
use std::fs;

use super::Programs;
use super::measure::{Cost, median};
use crate::error::Result;

/// What is compared, and what the ratio may be at most.
#[derive(Clone, Copy)]
pub(crate) struct Figure {
    what: What,
    target: f64,
}

#[derive(Clone, Copy)]
enum What {
    Wall,
    Cpu,
    Peak,
}

impl Figure {
    pub(crate) const fn wall(target: f64) -> Self {
        Self {
            what: What::Wall,
            target,
        }
    }

    pub(crate) const fn cpu(target: f64) -> Self {
        Self {
            what: What::Cpu,
            target,
        }
    }

    pub(crate) const fn peak(target: f64) -> Self {
        Self {
            what: What::Peak,
            target,
        }
    }

    fn name(self) -> &'static str {
        match self.what {
            What::Wall => "wall",
            What::Cpu => "CPU",
            What::Peak => "peak memory",
        }
    }

    fn of(self, cost: &Cost) -> f64 {
        match self.what {
            What::Wall => cost.wall.as_secs_f64(),
            What::Cpu => cost.cpu.as_secs_f64(),
            What::Peak => cost.peak as f64,
        }
    }

    fn shown(self, figure: f64) -> String {
        match self.what {
            What::Wall | What::Cpu => format!("{figure:.3} s"),
            What::Peak => format!("{:.1} MB", figure / 1e6),
        }
    }
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
        for figure in &row.figures {
            let ours = median(row.pairs.iter().map(|(ours, _)| figure.of(ours)));
            let theirs = median(row.pairs.iter().map(|(_, theirs)| figure.of(theirs)));
            let ratio = median(
                row.pairs
                    .iter()
                    .map(|(ours, theirs)| figure.of(ours) / figure.of(theirs)),
            );
            let cpu = median(row.pairs.iter().map(|(ours, _)| ours.cpu.as_secs_f64()));
            let peak = median(row.pairs.iter().map(|(ours, _)| ours.peak as f64));
            // Writing to memory does not fail.
            let _ = writeln!(
                text,
                "| {} ({}) | {} | {} | {} | {} | {ratio:.3} | {:.3} | {cpu:.3} s | {:.1} MB |",
                row.ours,
                row.name,
                row.theirs,
                figure.name(),
                figure.shown(ours),
                figure.shown(theirs),
                figure.target,
                peak / 1e6,
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

/// How large the programs are.
pub(crate) fn sizes(programs: &Programs) -> Result<String> {
    let mut text = String::from("\nThe programs, stripped:");
    for program in [&programs.collector, &programs.daemon, &programs.setup] {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let size = fs::metadata(program)?.len() as f64 / 1e6;
        let _ = write!(text, " `{name}` {size:.1} MB,");
    }
    text.pop();
    text.push_str("; less than 10 MB each is wanted.\n");
    Ok(text)
}
