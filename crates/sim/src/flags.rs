//! The binary's flags, and the configuration that they make.

use std::time::Duration;

use clap::Parser;
use confluence_audit_sim::{
    Account, Arrival, Burst, FaultRates, KeyOrder, NewRecords, NextForm, OAuthConfig, Order,
    Quirks, RetryHeader, SimConfig, SizeForm, When,
};
use jiff::SignedDuration;

const LOG: &str = "The log";
const PAGES: &str = "How pages look";
const ARRIVALS: &str = "Records that arrive while a client pages";
const FAULTS: &str = "Faults, as probabilities by request";
const ACCESS: &str = "Access";

/// Be a Confluence Cloud site on loopback, until interrupted.
///
/// Shares and probabilities are numbers from 0 to 1; durations are like 200ms, 10m or 2h; times are epoch milliseconds.
#[derive(Debug, Parser)]
#[command(version)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Flags {
    /// Port on 127.0.0.1; 0 lets the system choose
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// What all records, faults and tokens are derived from
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Records at the start
    #[arg(long, default_value_t = 1_000, help_heading = LOG)]
    records: usize,
    /// Time of the oldest record [default: 300 days before the newest]
    #[arg(long, value_name = "MS", help_heading = LOG)]
    oldest: Option<i64>,
    /// Time of the newest record [default: five seconds ago]
    #[arg(long, value_name = "MS", help_heading = LOG)]
    newest: Option<i64>,
    /// Share of records that equal their neighbour to the byte
    #[arg(long, value_name = "SHARE", default_value_t = 0.02, value_parser = share, help_heading = LOG)]
    twins: f64,
    /// Share of records that carry a hostile string
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share, help_heading = LOG)]
    hostile: f64,
    /// Share of records written by System
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = share, help_heading = LOG)]
    system: f64,
    /// Sizes of bursts: that many records in one millisecond, a fifth of them twins
    #[arg(long, value_name = "N,…", value_delimiter = ',', help_heading = LOG)]
    bursts: Vec<usize>,
    /// How far the site's clock is ahead of the host's; negative is behind
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, help_heading = LOG)]
    clock_skew: Option<SignedDuration>,

    /// Order of records
    #[arg(long, value_enum, default_value_t, help_heading = PAGES)]
    order: Order,
    /// Whether startDate itself is in the window
    #[arg(long, value_enum, default_value_t, help_heading = PAGES)]
    start: End,
    /// Whether endDate itself is in the window
    #[arg(long, value_enum, default_value_t, help_heading = PAGES)]
    end: End,
    /// Silent cap on limit
    #[arg(long, value_name = "N", help_heading = PAGES)]
    max_limit: Option<usize>,
    /// Form of the link to the next page
    #[arg(long, value_enum, default_value_t, help_heading = PAGES)]
    next: NextForm,
    /// The link to the next page points at the same page
    #[arg(long, help_heading = PAGES)]
    next_repeats: bool,
    /// What size says
    #[arg(long, value_enum, default_value_t, help_heading = PAGES)]
    size: SizeForm,
    /// Every so many pages one is empty but goes on (2 or more)
    #[arg(long, value_name = "N", help_heading = PAGES)]
    empty_every: Option<usize>,
    /// The first page of every window is empty but goes on
    #[arg(long, help_heading = PAGES)]
    empty_first: bool,
    /// Order of keys in each object
    #[arg(long, value_enum, default_value_t, help_heading = PAGES)]
    key_order: KeyOrder,
    /// Indent the JSON
    #[arg(long, help_heading = PAGES)]
    pretty: bool,
    /// Escape all that is not ASCII, and slashes
    #[arg(long, help_heading = PAGES)]
    ascii_escapes: bool,
    /// Write creationDate as a string
    #[arg(long, help_heading = PAGES)]
    string_dates: bool,
    /// Change the author's volatile fields between requests
    #[arg(long, help_heading = PAGES)]
    volatile_names: bool,
    /// Send no Date header
    #[arg(long, help_heading = PAGES)]
    omit_date: bool,
    /// Announce deprecation in a Warning header
    #[arg(long, help_heading = PAGES)]
    deprecation_warning: bool,
    /// Compress bodies for clients that accept gzip
    #[arg(long, help_heading = PAGES)]
    gzip: bool,

    /// Let records arrive with every so many pages
    #[arg(long, value_name = "PAGES", help_heading = ARRIVALS)]
    insert_every: Option<usize>,
    /// How many arrive each time
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = ARRIVALS)]
    insert_count: usize,
    /// No more than this many in all
    #[arg(long, value_name = "N", help_heading = ARRIVALS)]
    insert_total: Option<usize>,
    /// Give them times up to this far back
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = ARRIVALS)]
    insert_late: Option<Duration>,
    /// Make them twins of records that are there already
    #[arg(long, help_heading = ARRIVALS)]
    insert_twins: bool,
    /// Before a page is read from the log rather than after
    #[arg(long, help_heading = ARRIVALS)]
    insert_before: bool,

    /// 429
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share, help_heading = FAULTS)]
    rate_limit: f64,
    /// Form of its advice [default: each in turn but huge]
    #[arg(long, value_enum, help_heading = FAULTS)]
    retry_header: Option<RetryHeader>,
    /// The wait that it advises
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration, help_heading = FAULTS)]
    retry_after: Duration,
    /// 500, 502, 503 or 504
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share, help_heading = FAULTS)]
    server_error: f64,
    /// A body cut short
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share, help_heading = FAULTS)]
    cut: f64,
    /// A body that stalls
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share, help_heading = FAULTS)]
    stall: f64,
    /// A reset connection
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share, help_heading = FAULTS)]
    reset: f64,
    /// No answer at all
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share, help_heading = FAULTS)]
    hang: f64,
    /// How long a hung or stalled request is held
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration, help_heading = FAULTS)]
    hang_for: Duration,
    /// A sign-in page with status 200
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share, help_heading = FAULTS)]
    sign_in: f64,
    /// Text that is not JSON
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share, help_heading = FAULTS)]
    not_json: f64,
    /// JSON of another shape
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share, help_heading = FAULTS)]
    wrong_json: f64,
    /// A slow answer
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share, help_heading = FAULTS)]
    slow: f64,
    /// How slow
    #[arg(long, value_name = "DURATION", default_value = "300ms", value_parser = duration, help_heading = FAULTS)]
    slow_by: Duration,
    /// Keep what has been rendered, so that the site costs next to nothing: for benchmarks
    #[arg(long)]
    fast: bool,
    /// How long every answer takes at least
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration, help_heading = FAULTS)]
    latency: Duration,

    /// The site is on the Free plan
    #[arg(long, help_heading = ACCESS)]
    free_plan: bool,
    /// The caller is no administrator
    #[arg(long, help_heading = ACCESS)]
    not_admin: bool,
    /// No token has the audit scope
    #[arg(long, help_heading = ACCESS)]
    missing_scope: bool,
    /// Response wrong Basic credentials in HTML
    #[arg(long, help_heading = ACCESS)]
    html_401: bool,
    /// The person at /authorize declines
    #[arg(long, help_heading = ACCESS)]
    decline: bool,
    /// How long an access token lives
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration, help_heading = ACCESS)]
    expires_in: Duration,
    /// How long a used refresh token still works
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration, help_heading = ACCESS)]
    leeway: Duration,
    /// How many other sites the OAuth user may reach
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = ACCESS)]
    other_sites: usize,
    /// The site's cloud id
    #[arg(long, value_name = "ID", help_heading = ACCESS)]
    cloud_id: Option<String>,
    /// Every other cloud id leads to the same log
    #[arg(long, help_heading = ACCESS)]
    any_cloud_id: bool,
}

/// Whether an end of a window belongs to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum End {
    #[default]
    Inclusive,
    Exclusive,
}

impl Flags {
    pub(crate) fn into_config(self) -> SimConfig {
        let arrival = self.insert_every.map(|every| Arrival {
            every,
            records: NewRecords {
                count: self.insert_count,
                when: self.insert_late.map_or(When::Now, When::Late),
                twins: self.insert_twins,
            },
            after: !self.insert_before,
            total: self.insert_total.unwrap_or(usize::MAX),
        });
        let default = SimConfig::default();
        SimConfig {
            port: self.port,
            seed: self.seed,
            records: self.records,
            oldest: self.oldest,
            newest: self.newest,
            twins: self.twins,
            hostile: self.hostile,
            system: self.system,
            bursts: self
                .bursts
                .iter()
                .map(|&records| Burst {
                    records,
                    ..Burst::default()
                })
                .collect(),
            clock_skew_ms: self.clock_skew.map_or(0, |skew| {
                i64::try_from(skew.as_millis()).unwrap_or(i64::MAX)
            }),
            cloud_id: self.cloud_id.unwrap_or(default.cloud_id),
            any_cloud_id: self.any_cloud_id,
            oauth: OAuthConfig {
                expires_in: self.expires_in,
                leeway: self.leeway,
                decline: self.decline,
                other_sites: self.other_sites,
                ..default.oauth
            },
            account: Account {
                plan_free: self.free_plan,
                not_admin: self.not_admin,
                missing_scope: self.missing_scope,
                html_401: self.html_401,
            },
            quirks: Quirks {
                order: self.order,
                start_inclusive: self.start == End::Inclusive,
                end_inclusive: self.end == End::Inclusive,
                max_limit: self.max_limit,
                next: self.next,
                next_repeats: self.next_repeats,
                size: self.size,
                empty_every: self.empty_every,
                empty_first: self.empty_first,
                key_order: self.key_order,
                pretty: self.pretty,
                ascii_escapes: self.ascii_escapes,
                string_dates: self.string_dates,
                volatile_names: self.volatile_names,
                omit_date: self.omit_date,
                deprecation_warning: self.deprecation_warning,
                gzip: self.gzip,
            },
            insert_every: arrival,
            faults: FaultRates {
                rate_limited: self.rate_limit,
                server_error: self.server_error,
                cut: self.cut,
                stall: self.stall,
                reset: self.reset,
                hang: self.hang,
                sign_in: self.sign_in,
                not_json: self.not_json,
                wrong_json: self.wrong_json,
                slow: self.slow,
                slow_by: self.slow_by,
                retry_header: self.retry_header,
                retry_after: self.retry_after,
            },
            fast: self.fast,
            latency: self.latency,
            hang: self.hang_for,
            ..default
        }
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err("not between 0 and 1".to_owned())
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration: SignedDuration = text
        .parse()
        .map_err(|_| "not a duration like 200ms, 10m or 2h".to_owned())?;
    Duration::try_from(duration).map_err(|_| "must not be negative".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn flags_hold_together() {
        Flags::command().debug_assert();
    }

    #[test]
    fn flags_and_library_have_the_same_defaults() {
        let config = Flags::parse_from(["sim"]).into_config();
        assert_eq!(format!("{config:?}"), format!("{:?}", SimConfig::default()));
    }
}
