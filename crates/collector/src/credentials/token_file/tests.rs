use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use secrecy::ExposeSecret;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_750_000_000_000);
const DAY: Duration = Duration::from_hours(24);

struct TestDir(tempfile::TempDir);

impl TestDir {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn file(&self) -> TokenFile {
        TokenFile::new(self.0.path().join("acme.oauth.json"))
    }

    async fn with_consent() -> Self {
        let place = Self::new();
        place.file().create(kept("canary-1")).await.expect("it");
        place
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("the directory");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("it").file_name().into_string().expect("text"))
            .collect();
        names.sort();
        names
    }
}

fn kept(refresh_token: &str) -> Stored {
    let mut tokens = TokenSet::from_refresh_token(refresh_token.into());
    tokens.access_token = "canary-access".into();
    tokens.issued_at = NOW;
    tokens.expires_at = NOW.saturating_add(Duration::from_hours(1));
    Stored {
        consent: Grant {
            client_id: "the-app".to_owned(),
            client_secret: "canary-secret".into(),
            site: ConsentedSite {
                cloud_id: CloudId::new("3fa85f64").expect("an id"),
                name: "acme".to_owned(),
                url: "https://acme.atlassian.net".to_owned(),
            },
            given_at: NOW,
        },
        tokens,
    }
}

fn refresh_token(tokens: &TokenSet) -> &str {
    let token = tokens.refresh_token.as_ref().expect("there is one");
    token.expose_secret()
}

#[tokio::test]
async fn a_refresh_changes_the_tokens_and_keeps_the_consent() {
    let place = TestDir::with_consent().await;
    let file = place.file();
    let mut locked = file.lock().await.expect("the lock");
    let mut tokens = locked.read().await.expect("the tokens");
    tokens.refresh_begun_at = Some(NOW);
    locked.write(&tokens).await.expect("the note");
    let noted = file.read().await.expect("the tokens");
    assert_eq!(noted.refresh_begun_at, Some(NOW));
    assert_eq!(refresh_token(&noted), "canary-1");
    locked.write(&kept("canary-2").tokens).await.expect("it");
    let now = file.look().expect("the file");
    assert_eq!(refresh_token(&now.tokens), "canary-2");
    assert_eq!(now.tokens.access_token.expose_secret(), "canary-access");
    assert_eq!(now.tokens.refresh_begun_at, None);
    assert_eq!((now.tokens.issued_at, now.consent.given_at), (NOW, NOW));
    assert_eq!(now.consent.client_id, "the-app");
    assert_eq!(now.consent.client_secret.expose_secret(), "canary-secret");
    assert_eq!(now.consent.site, kept("").consent.site);
}

#[tokio::test]
async fn the_file_is_for_its_owner_alone_and_nothing_else_holds_a_secret() {
    let place = TestDir::with_consent().await;
    assert_eq!(place.names(), ["acme.oauth.json", "acme.oauth.json.lock"]);
    for name in place.names() {
        let meta = fs::metadata(place.0.path().join(&name)).expect("it");
        assert_eq!(meta.permissions().mode() & 0o777, 0o600, "{name}");
    }
    let lock = place.0.path().join("acme.oauth.json.lock");
    assert_eq!(fs::read(lock).expect("the lock"), b"");
}

#[tokio::test]
async fn what_a_crash_left_behind_is_in_nobodys_way() {
    let place = TestDir::with_consent().await;
    let victim = place.0.path().join("victim");
    fs::write(&victim, "precious").expect("it");
    symlink(&victim, place.0.path().join(".acme.oauth.json.new")).expect("a link");
    place.file().create(kept("canary-2")).await.expect("it");
    let tokens = place.file().read().await.expect("it");
    assert_eq!(refresh_token(&tokens), "canary-2");
    assert_eq!(fs::read_to_string(&victim).expect("it"), "precious");
    assert!(!place.names().contains(&".acme.oauth.json.new".to_owned()));
}

#[tokio::test]
async fn one_holder_at_a_time_and_the_next_sees_what_the_last_wrote() {
    let place = TestDir::with_consent().await;
    let file = place.file();
    let mut first = file.lock().await.expect("the lock");
    let second = tokio::spawn(async move {
        let mut locked = file.lock().await.expect("the lock");
        locked.read().await.expect("the tokens")
    });
    // Let it try, and wait, before anything is written.
    tokio::task::yield_now().await;
    first.write(&kept("canary-2").tokens).await.expect("it");
    assert!(!second.is_finished());
    drop(first);
    let seen = second.await.expect("no panic");
    assert_eq!(refresh_token(&seen), "canary-2");
}

#[tokio::test]
async fn a_lock_that_was_removed_holds_nobody_up_and_lets_no_two_in() {
    let place = TestDir::with_consent().await;
    let lock = place.0.path().join("acme.oauth.json.lock");
    fs::remove_file(&lock).expect("it");
    drop(place.file().lock().await.expect("a new one"));
    let victim = place.0.path().join("victim");
    fs::write(&victim, "precious").expect("it");
    fs::remove_file(&lock).expect("it");
    symlink(&victim, &lock).expect("a link");
    assert!(place.file().lock().await.is_err(), "a link is no lock");
}

#[tokio::test]
async fn what_is_no_token_file_is_refused_without_a_word_of_it() {
    let place = TestDir::with_consent().await;
    let path = place.file().path;
    let good = fs::read_to_string(&path).expect("it");
    let bad = [
        String::new(),
        "canary".to_owned(),
        "\"canary\"".to_owned(),
        good.replace("\"version\": 1", "\"version\": 2"),
        good.replace("\"version\": 1", "\"version\": \"canary\""),
        good.replace("\"2025", "\"canary"),
        good.replace("\"canary-secret\"", "[\"canary-secret\"]"),
        good.replace("3fa85f64", "../canary"),
        good[..good.len() / 2].to_owned(),
    ];
    for text in bad {
        fs::write(&path, &text).expect("it");
        let error = place.file().look().expect_err(&text);
        assert_eq!(error.exit_code(), 77);
        let stored = place.file().read().await.expect_err(&text);
        let shown = format!("{error} {error:?} {} {stored} {stored:?}", error.remedy());
        assert!(!shown.contains("canary"), "{shown}");
        assert!(error.remedy().contains("oauth-setup"), "{shown}");
    }
}

#[tokio::test]
async fn a_file_that_others_can_reach_or_turn_elsewhere_is_refused() {
    let place = TestDir::with_consent().await;
    let path = place.file().path;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("it");
    let error = place.file().look().expect_err("open to a group");
    assert!(error.to_string().starts_with("the token file "), "{error}");
    assert!(error.remedy().contains("chmod 600"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it");
    let elsewhere = place.0.path().join("elsewhere");
    fs::rename(&path, &elsewhere).expect("it");
    let error = place.file().look().expect_err("missing");
    assert!(error.remedy().contains("--token-file"));
    symlink(&elsewhere, &path).expect("a link");
    assert!(place.file().look().is_err());
    assert!(place.file().prepare().is_err(), "and is not replaced");
}

#[test]
fn a_directory_is_prepared_for_its_owner_alone() {
    let place = TestDir::new();
    let dir = place.0.path().join("a/b");
    TokenFile::new(dir.join("t")).prepare().expect("it");
    let mode = fs::metadata(&dir).expect("it").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(fs::read_dir(&dir).expect("it").count(), 0);
}

#[test]
fn the_ends_of_a_consent_are_known_and_warned_of_in_time() {
    let mut kept = kept("canary");
    let warned = |kept: &Stored, days: u32| kept.warning(NOW.saturating_add(DAY * days));
    assert_eq!(kept.ends(), NOW.saturating_add(365 * DAY));
    assert_eq!(kept.ends_unused(), NOW.saturating_add(90 * DAY));
    assert_eq!(warned(&kept, 75), None);
    let soon = warned(&kept, 76).expect("two weeks before");
    assert!(soon.contains("ends on 2025-09-13, 90 days"), "{soon}");
    assert!(warned(&kept, 90).expect("over").contains("ended on"));
    kept.tokens.issued_at = NOW.saturating_add(350 * DAY);
    assert_eq!(warned(&kept, 350), None);
    let soon = warned(&kept, 351).expect("two weeks before");
    assert!(soon.contains("ends on 2026-06-15, 365 days"), "{soon}");
}
