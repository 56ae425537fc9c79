//! What the status page says and how, whatever a stranger has put into it.

use std::sync::Arc;

use confluence_audit_collector::delivery::OutputFailure;
use confluence_audit_collector::metrics::OutputFigures;
use confluence_audit_collector::spool::Depth;
use proptest::prelude::*;

use super::*;
use crate::view::SpoolView;
use crate::watch::{ConsentStatus, SiteStatus};

const HOSTILE: &str = "<script>alert(1)</script>\"' onload=x \u{1b}[31m\u{202e}&amp;\n</style>";

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-03-26T16:00:00Z").unwrap()
}

fn view(sites: Vec<SiteView>) -> View {
    View {
        now: now(),
        began_at: now().saturating_sub(Duration::from_hours(5)),
        refused: None,
        sites,
        outputs: Vec::new(),
        spool: None,
    }
}

fn page(view: &View) -> String {
    html(view, true).into_string()
}

fn site(name: &str) -> SiteView {
    SiteView {
        name: name.to_owned(),
        next: Some(Duration::from_secs(12)),
        counters: Arc::default(),
        status: SiteStatus::default(),
    }
}

/// A page on which a stranger's text stands wherever it can.
fn view_of(text: &str) -> View {
    let error = || LastError {
        at: now(),
        message: text.to_owned(),
        remedy: text.to_owned(),
    };
    let mut site = site(text);
    site.status.last_error = Some(error());
    site.status.consent = Some(ConsentStatus {
        ends: now(),
        warning: Some(text.to_owned()),
    });
    let mut view = view(vec![site]);
    view.refused = Some(error());
    view.outputs = vec![OutputView {
        display_name: text.to_owned(),
        figures: OutputFigures {
            name: text.to_owned(),
            ..OutputFigures::default()
        },
        failure: Some(OutputFailure {
            message: text.to_owned(),
            remedy: text.to_owned(),
            is_final: false,
        }),
    }];
    view
}

#[test]
fn nothing_that_a_stranger_wrote_becomes_a_part_of_the_page() {
    let view = view_of(HOSTILE);
    let page = page(&view);
    assert!(!page.contains("<script"), "{page}");
    assert!(!page.contains("</style"), "{page}");
    assert_eq!(page.matches("&lt;script&gt;").count(), 9);
    assert!(page.chars().all(|char| !char.is_control()));
    assert!(!page.contains('\u{202e}'));
}

proptest! {
    /// Attributes stand in double quotes, so that a single quote ends none.
    #[test]
    fn no_text_opens_a_tag_or_ends_an_attribute(text in any::<String>()) {
        let (page, plain) = (page(&view_of(&text)), page(&view_of("plain")));
        for char in ['<', '>', '"'] {
            prop_assert_eq!(page.matches(char).count(), plain.matches(char).count(), "{}", page);
        }
        prop_assert!(!plain.contains("='"));
        prop_assert!(page.chars().all(|char| !char.is_control()));
    }
}

#[test]
fn a_page_has_one_heading_a_language_and_no_script() {
    let page = page(&view(vec![site("acme"), site("other")]));
    assert_eq!(page.matches("<h1").count(), 1);
    assert!(page.contains("<html lang=\"en\">") && page.contains("<main>"));
    assert!(!page.contains("<script") && !page.contains("style=\""));
    // Each picture has words.
    assert_eq!(
        page.matches("<svg role=\"img\" aria-label=\"Records")
            .count(),
        2
    );
}

#[test]
fn who_reads_slowly_can_hold_the_page_still() {
    let view = view(vec![site("acme")]);
    assert!(page(&view).contains("http-equiv=\"refresh\""));
    assert!(page(&view).contains("href=\"/?refresh=off\""));
    assert!(!html(&view, false).0.contains("http-equiv=\"refresh\""));
}

#[test]
fn what_is_wrong_is_said_first_with_what_to_do() {
    let mut full = view(vec![site("acme")]);
    full.spool = Some(SpoolView {
        depth: Depth {
            records: 12_345,
            bytes: 1 << 30,
        },
        limit: 1 << 30,
        is_full: true,
    });
    let page = page(&full);
    assert!(
        page.contains("<h1 class=\"bad\">The spool is full</h1>"),
        "{page}"
    );
    assert!(page.contains("12,345 records"), "{page}");
}

#[test]
fn a_thousand_sites_and_more_are_counted() {
    let sites = (0..1_005).map(|n| site(&format!("site-{n}"))).collect();
    let page = page(&view(sites));
    assert_eq!(page.matches("<h3>").count(), 1_000);
    assert!(page.contains("And 5 more"));
}
