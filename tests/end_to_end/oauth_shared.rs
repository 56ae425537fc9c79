//! One token file for many: eight processes with eight tasks each, whose access tokens last two
//! seconds, and who are killed while they refresh.
//!
//! The load lasts a few seconds, or as many as `OAUTH_LOAD_SECONDS` says.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, thread};

use confluence_audit_collector::config::{Address, AuthConfig, SiteConfig};
use confluence_audit_collector::site::Sites;
use confluence_audit_core::{AuditQuery, CloudId, Http, Origin};
use confluence_audit_sim::{OAuthConfig, SimConfig};

use crate::consent::{Consent, TOKEN_FILE};
use crate::program::RunOutput;

const PROCESSES: usize = 8;
const TASKS: usize = 8;
const LIFETIME: Duration = Duration::from_secs(2);

/// The earliest that such a token is renewed: when a quarter of its life is left, or that and
/// three tenths more.
const RENEWED_AFTER: f64 = 2.0 - 0.5 * 1.3;

fn short_lived() -> Consent {
    let consent = Consent::start(SimConfig {
        records: 10,
        latency: Duration::from_millis(100),
        oauth: OAuthConfig {
            expires_in: LIFETIME,
            ..OAuthConfig::default()
        },
        ..SimConfig::default()
    });
    consent.paste(&[], |callback| callback).expect(0);
    consent
}

fn load() -> Duration {
    let seconds = env::var("OAUTH_LOAD_SECONDS").map(|text| text.parse().unwrap());
    Duration::from_secs(seconds.unwrap_or(6))
}

fn millis(time: SystemTime) -> u128 {
    time.duration_since(UNIX_EPOCH).unwrap().as_millis()
}

/// Starts the process that [`worker`] is.
fn start_worker(consent: &Consent, until: SystemTime) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "oauth_shared::worker", "--ignored"]);
    consent.confine(&mut command);
    command
        .stdin(Stdio::null())
        .env("LOAD_URL", consent.sim.url())
        .env("LOAD_CLOUD_ID", consent.sim.cloud_id())
        .env("LOAD_UNTIL", millis(until).to_string())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "it is a process of the tests below, which start it"]
fn worker() {
    let var = |name| env::var(name).unwrap();
    let origin = Origin::parse(&var("LOAD_URL")).unwrap();
    let site = SiteConfig {
        name: "sim".to_owned(),
        address: Address::CloudId(CloudId::new(&var("LOAD_CLOUD_ID")).unwrap()),
        api_url: Some(origin.clone()),
        auth_url: Some(origin),
        auth: AuthConfig::Oauth {
            token_file: TOKEN_FILE.into(),
        },
        interval: None,
    };
    let until: u128 = var("LOAD_UNTIL").parse().unwrap();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(async {
        // Each with connections and credentials of its own: they share the file and nothing else.
        let task = |site: SiteConfig| async move {
            let sites = Sites::new(Http::builder().build(), None);
            let site = sites.connect(&site).await.unwrap();
            while millis(SystemTime::now()) < until {
                let page = site.client.audit(&AuditQuery::new().limit(1)).await;
                assert_eq!(page.unwrap().records.len(), 1);
            }
        };
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| tokio::spawn(task(site.clone())))
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn sixty_four_who_share_a_token_file_refresh_as_one() {
    let consent = short_lived();
    let before = consent.sim.stats();
    let began = Instant::now();
    let until = SystemTime::now() + load();
    let workers: Vec<Child> = (0..PROCESSES)
        .map(|_| start_worker(&consent, until))
        .collect();
    for worker in workers {
        RunOutput::of(worker.wait_with_output().unwrap()).expect(0);
    }
    let spent = began.elapsed();
    let stats = consent.sim.stats();
    assert_eq!((stats.reuses_in_leeway, stats.reuses_after_leeway), (0, 0));
    let asked = stats.count("/oauth/token", "") - before.count("/oauth/token", "");
    assert_eq!(asked, stats.refreshes, "none was asked for in vain");
    // A token is renewed when it is due or was refused, which a late request can be.
    let refused = stats.count("/audit", "401");
    let due = spent.as_secs_f64() / RENEWED_AFTER;
    let refreshes = u32::try_from(stats.refreshes - refused.min(stats.refreshes)).unwrap();
    assert!(
        f64::from(refreshes) <= due + 1.0,
        "{refreshes} in {spent:?}"
    );
    assert!(stats.refreshes >= 2, "{} in {spent:?}", stats.refreshes);
    println!(
        "{} refreshes, {} requests, {refused} of them refused, in {spent:?}",
        stats.refreshes,
        stats.count("/audit", "")
    );
    consent.assert_holds_no_secret();
}

/// The process that holds the lock beside the token file.
fn refresher(consent: &Consent) -> Option<u32> {
    let lock = fs::metadata(consent.path(&format!("{TOKEN_FILE}.lock"))).unwrap();
    let locks = fs::read_to_string("/proc/locks").unwrap();
    let mut held = locks.lines().map(str::split_whitespace);
    held.find_map(|mut words| {
        let pid = words.nth(4)?;
        let sandbox = words.next()?;
        let ours = sandbox.rsplit(':').next()? == lock.ino().to_string();
        ours.then(|| pid.parse().ok())?
    })
}

#[test]
fn whoever_is_killed_while_it_refreshes_leaves_a_file_that_leads_on() {
    const KILLS: u32 = 8;
    let consent = short_lived();
    let until = SystemTime::now() + Duration::from_mins(10);
    let mut workers: Vec<Child> = (0..PROCESSES)
        .map(|_| start_worker(&consent, until))
        .collect();
    let mut kills = 0;
    while kills < KILLS {
        if kills % 2 == 0 {
            // When the service has just answered: the new token is known to nobody else.
            let before = consent.sim.stats().refreshes;
            while consent.sim.stats().refreshes == before {
                thread::sleep(Duration::from_millis(1));
            }
        } else {
            // At any other time.
            thread::sleep(Duration::from_millis(u64::from(kills) * 53 % 160));
        }
        let Some(pid) = refresher(&consent) else {
            continue;
        };
        let Some(worker) = workers.iter_mut().find(|worker| worker.id() == pid) else {
            continue;
        };
        worker.kill().unwrap();
        worker.wait().unwrap();
        *worker = start_worker(&consent, until);
        kills += 1;
    }
    for mut worker in workers {
        assert!(worker.try_wait().unwrap().is_none(), "none has failed");
        worker.kill().unwrap();
        worker.wait().unwrap();
    }
    consent.collect(&["sites"]).expect_quiet_success();
    let stats = consent.sim.stats();
    assert_eq!(stats.reuses_after_leeway, 0);
    println!(
        "{} refreshes, {} of them again after a kill",
        stats.refreshes, stats.reuses_in_leeway
    );
}
