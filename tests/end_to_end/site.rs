//! A simulated site and a place to collect it in.

use std::fs;
use std::ops::Deref;
use std::process::Command;

use confluence_audit_sim::{API_TOKEN, EMAIL, Sim, SimConfig};

use crate::lines::{self, Same};
use crate::program::RunOutput;
use crate::sandbox::Sandbox;

/// The file that `fetch` appends to by default.
pub(crate) const OUTPUT: &str = "flattened.json";

pub(crate) struct Site {
    pub(crate) sim: Sim,
    sandbox: Sandbox,
    token: String,
}

impl Deref for Site {
    type Target = Sandbox;

    fn deref(&self) -> &Sandbox {
        &self.sandbox
    }
}

impl Site {
    pub(crate) fn start(config: SimConfig) -> Self {
        let sandbox = Sandbox::new();
        let token = sandbox.secret("token", API_TOKEN);
        Self {
            sim: Sim::start(config).unwrap(),
            sandbox,
            token,
        }
    }

    /// The flags that name this site, its credentials and the state, behind `args`.
    pub(crate) fn args<'a>(&'a self, args: &[&'a str]) -> Vec<&'a str> {
        let url = self.sim.url();
        let flags = [
            ["--site-url", url],
            ["--api-url", url],
            ["--email", EMAIL],
            ["--api-token-file", &self.token],
            ["--state-dir", "state"],
        ];
        [args, flags.as_flattened()].concat()
    }

    pub(crate) fn site_command(&self, args: &[&str]) -> Command {
        self.command(&self.args(args))
    }

    /// Runs the program for this site.
    pub(crate) fn ask(&self, args: &[&str]) -> RunOutput {
        self.finish(self.site_command(args))
    }

    pub(crate) fn fetch(&self) -> RunOutput {
        self.ask(&["fetch"])
    }

    /// What the default output holds.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(self.path(OUTPUT)).unwrap()
    }

    /// Every record of the site, as `raw` writes it, oldest first.
    pub(crate) fn truth(&self) -> Vec<String> {
        self.sim.truth().map(|line| lines::raw(&line)).collect()
    }

    #[track_caller]
    pub(crate) fn assert_output_is_the_truth(&self, context: &str, same: Same) {
        let output = self.output();
        assert!(
            output.is_empty() || output.ends_with('\n'),
            "{context}: the last line is torn"
        );
        lines::assert_same(context, self.truth(), output.lines(), same);
    }
}
