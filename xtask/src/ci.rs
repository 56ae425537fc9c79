//! `cargo xtask ci`: the gate, which is every check that a change has to pass, in the order in which a fault shows soonest.
//! `.ci/run` installs the tools that a fresh machine lacks and then runs this.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::packaging;
use crate::process::succeed;
use crate::reference;
use crate::workspace::cargo;

/// What `cargo xtask ci` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run this step alone; may be given several times
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// Print the steps' names and run nothing
    #[arg(long)]
    list: bool,
}

/// One check, with the name by which it is asked for and reported.
struct Step {
    name: &'static str,
    check: Check,
}

enum Check {
    /// A cargo command, with a variable in its environment.
    Cargo(&'static str, Option<(&'static str, &'static str)>),
    Reference,
    Packaging,
}

const fn step(name: &'static str, check: Check) -> Step {
    Step { name, check }
}

/// A step that is a cargo command, as a person would type it.
const fn cargo_step(name: &'static str, command: &'static str) -> Step {
    step(name, Check::Cargo(command, None))
}

const STEPS: &[Step] = &[
    cargo_step("format", "fmt --all --check"),
    cargo_step(
        "lint",
        "clippy --workspace --all-targets --locked -- -D warnings",
    ),
    step(
        "docs",
        Check::Cargo(
            "doc --workspace --no-deps --locked",
            Some(("RUSTDOCFLAGS", "-D warnings")),
        ),
    ),
    // The advisories are left out: their database is fetched from another host than the package
    // registry, and a new advisory must not fail a change that has nothing to do with it.
    cargo_step("dependencies", "deny --locked check bans licenses sources"),
    step("reference", Check::Reference),
    step("packaging", Check::Packaging),
    // The two commands that the README tells a newcomer to run, as it tells them.
    cargo_step("demo", "xtask demo"),
    cargo_step("test", "test --workspace"),
    cargo_step("oauth", "xtask oauth-provider"),
    cargo_step("status-page", "xtask status-page"),
    cargo_step("install", "xtask install-test"),
    cargo_step("outputs", "xtask outputs"),
    cargo_step("torture", "xtask torture --short"),
];

/// Runs the steps that were asked for, by default all, up to the first that fails.
pub(crate) fn run(args: &Args) -> Result {
    if args.list {
        for step in STEPS {
            println!("{}", step.name);
        }
        return Ok(());
    }
    let mut timings = Vec::new();
    let mut failed = None;
    for step in chosen(&args.only)? {
        println!("==> {}", step.name);
        let start = Instant::now();
        let done = step.check.run();
        let spent = start.elapsed();
        println!(
            "<== {}: {} in {:.1} s",
            step.name,
            verdict(&done),
            spent.as_secs_f64()
        );
        timings.push((step.name, verdict(&done), spent));
        if let Err(error) = done {
            failed = Some(format!("step {}: {error}", step.name));
            break;
        }
    }
    report(&timings);
    failed.map_or(Ok(()), |why| Err(why.into()))
}

fn chosen(only: &[String]) -> Result<Vec<&'static Step>> {
    if only.is_empty() {
        return Ok(STEPS.iter().collect());
    }
    only.iter()
        .map(|name| {
            STEPS.iter().find(|step| step.name == name).ok_or_else(|| {
                format!("no step is called {name}; see `cargo xtask ci --list`").into()
            })
        })
        .collect()
}

fn verdict(done: &Result) -> &'static str {
    if done.is_ok() { "ok" } else { "FAILED" }
}

fn report(timings: &[(&str, &str, Duration)]) {
    println!();
    for (name, verdict, spent) in timings {
        println!("{name:<14}{verdict:<8}{:>8.1} s", spent.as_secs_f64());
    }
}

impl Check {
    fn run(&self) -> Result {
        match self {
            Self::Cargo(arguments, environment) => {
                let mut command = cargo();
                command.args(arguments.split(' ')).stdin(Stdio::null());
                if let Some((name, value)) = environment {
                    command.env(name, value);
                }
                println!("    {}", command_line(arguments, *environment));
                succeed(&mut command)
            }
            Self::Packaging => packaging::run(),
            Self::Reference => reference::run(&reference::Args { check: true }),
        }
    }
}

/// The command as a person would type it to see the failure again.
fn command_line(arguments: &str, environment: Option<(&str, &str)>) -> String {
    let setting =
        environment.map_or_else(String::new, |(name, value)| format!("{name}='{value}' "));
    format!("{setting}cargo {arguments}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_its_own_name() {
        let names: std::collections::HashSet<_> = STEPS.iter().map(|step| step.name).collect();
        assert_eq!(names.len(), STEPS.len());
    }

    #[test]
    fn a_step_can_be_run_alone() {
        let steps = chosen(&["docs".to_owned()]).expect("docs is a step");
        assert_eq!(steps.len(), 1);
        assert_eq!(steps[0].name, "docs");
    }

    #[test]
    fn an_unknown_step_is_named() {
        let error = chosen(&["dosc".to_owned()]).err().expect("no such step");
        assert!(error.to_string().contains("dosc"));
    }

    #[test]
    fn a_command_is_shown_as_it_is_typed() {
        assert_eq!(
            command_line("doc", Some(("RUSTDOCFLAGS", "-D warnings"))),
            "RUSTDOCFLAGS='-D warnings' cargo doc"
        );
    }
}
