//! Command line and environment.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use confluence_audit_core::Origin;

use crate::redirect::Redirect;

/// The environment's variable that holds the client secret itself.
pub(crate) const SECRET_VARIABLE: &str = "CONFLUENCE_AUDIT_OAUTH_CLIENT_SECRET";

/// Obtains a person's consent to read the audit log of their site, and keeps it in a file that
/// confluence-audit lives on.
///
/// Make an app at <https://developer.atlassian.com/console/myapps> (OAuth 2.0 integration), add
/// the granular scope `read:audit-log:confluence` of the Confluence API under Permissions, and a
/// callback URL under Authorization. With a callback URL on this host the answer is taken by this
/// program; with any other, and over SSH, paste the address that the browser shows in the end.
///
/// The configuration to use goes to standard output, all else to standard error.
#[derive(Debug, Parser)]
#[command(name = "confluence-audit-oauth-setup", version, max_term_width = 100)]
pub(crate) struct Args {
    /// The app's client id (developer console, your app, Settings)
    #[arg(long, value_name = "ID", env = "CONFLUENCE_AUDIT_OAUTH_CLIENT_ID")]
    #[arg(hide_env_values = true)]
    pub(crate) client_id: String,
    /// The file that holds the app's secret, or a credential of the systemd unit, or `-` for
    /// standard input. The secret itself can be given in `CONFLUENCE_AUDIT_OAUTH_CLIENT_SECRET`
    #[arg(
        long,
        value_name = "F",
        env = "CONFLUENCE_AUDIT_OAUTH_CLIENT_SECRET_FILE"
    )]
    #[arg(hide_env_values = true)]
    pub(crate) client_secret_file: Option<PathBuf>,
    /// The callback URL, as it is registered with the app
    #[arg(
        long,
        value_name = "URI",
        default_value = "http://localhost:9320/callback"
    )]
    pub(crate) redirect_uri: Redirect,
    /// The file to write [default: NAME.oauth.json in `$STATE_DIRECTORY`, else in
    /// `$XDG_STATE_HOME/confluence-audit`]
    #[arg(long, value_name = "F", env = "CONFLUENCE_AUDIT_OAUTH_TOKEN_FILE")]
    #[arg(hide_env_values = true)]
    pub(crate) token_file: Option<PathBuf>,
    /// The site, when the consent reaches several: its address, its cloud id or its name
    #[arg(long, value_name = "URL|ID")]
    pub(crate) site: Option<String>,
    /// Open no browser; print the address only
    #[arg(long)]
    pub(crate) no_browser: bool,
    /// The address that the browser showed in the end, when this program was run before without
    /// taking it; within five minutes
    #[arg(long, value_name = "U")]
    pub(crate) callback_url: Option<String>,
    /// The API, in place of <https://api.atlassian.com>
    #[arg(long, value_name = "URL", env = "CONFLUENCE_AUDIT_API_URL", value_parser = origin)]
    #[arg(hide_env_values = true)]
    pub(crate) api_url: Option<Origin>,
    /// The host of consent and tokens, in place of <https://auth.atlassian.com>
    #[arg(long, value_name = "URL", env = "CONFLUENCE_AUDIT_AUTH_URL", value_parser = origin)]
    #[arg(hide_env_values = true)]
    pub(crate) auth_url: Option<Origin>,
}

impl Args {
    /// Reads them; what `--help`, `--version` and mistakes print has been printed when it fails.
    pub(crate) fn read() -> Result<Self, ExitCode> {
        Self::try_parse().map_err(|error| {
            // A closed pipe is no failure.
            let _ = error.print();
            // clap's own code for a mistake is 2; the interface promises 64.
            if error.use_stderr() {
                ExitCode::from(64)
            } else {
                ExitCode::SUCCESS
            }
        })
    }
}

fn origin(text: &str) -> Result<Origin, String> {
    Origin::parse(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn no_flag_takes_a_secret_itself() {
        for argument in Args::command().get_arguments() {
            let name = argument.get_id().as_str();
            let secret = name.contains("token") || name.contains("secret");
            assert!(!secret || name.ends_with("_file"), "{name}");
        }
    }
}
