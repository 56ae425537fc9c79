//! What the page says and how, whatever a stranger has put into it.

use confluence_audit_collector::metrics::OutputFigures;
use confluence_audit_collector::spool::Depth;

use super::*;
use crate::view::SpoolView;
use crate::watch::SiteNotes;

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

fn site(name: &str) -> SiteView {
    SiteView {
        name: name.to_owned(),
        next: Some(Duration::from_secs(12)),
        notes: SiteNotes::default(),
    }
}

fn hostile_trouble() -> Trouble {
    Trouble {
        at: now(),
        message: HOSTILE.to_owned(),
        remedy: HOSTILE.to_owned(),
    }
}

#[test]
fn nothing_that_a_stranger_wrote_becomes_a_part_of_the_page() {
    let mut site = site(HOSTILE);
    site.notes.trouble = Some(hostile_trouble());
    let mut view = view(vec![site]);
    view.refused = Some(hostile_trouble());
    view.outputs = vec![OutputView {
        shown: HOSTILE.to_owned(),
        figures: OutputFigures {
            name: HOSTILE.to_owned(),
            ..OutputFigures::default()
        },
        trouble: Some((HOSTILE.to_owned(), HOSTILE.to_owned())),
    }];
    let page = html(&view, true);
    assert!(!page.contains("<script"), "{page}");
    assert!(!page.contains("</style"), "{page}");
    assert_eq!(page.matches("&lt;script&gt;").count(), 8);
    assert!(page.chars().all(|char| char == '\n' || !char.is_control()));
    assert!(!page.contains('\u{202e}'));
}

#[test]
fn a_page_has_one_heading_a_language_and_no_script() {
    let page = html(&view(vec![site("acme"), site("other")]), true);
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
    assert!(html(&view, true).contains("http-equiv=\"refresh\""));
    assert!(html(&view, true).contains("href=\"/?refresh=off\""));
    assert!(!html(&view, false).contains("http-equiv=\"refresh\""));
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
    let page = html(&full, true);
    assert!(
        page.contains("<h1 class=\"bad\">The spool is full</h1>"),
        "{page}"
    );
    assert!(page.contains("12,345 records"), "{page}");
}

#[test]
fn a_thousand_sites_and_more_are_counted() {
    let sites = (0..1_005).map(|n| site(&format!("site-{n}"))).collect();
    let page = html(&view(sites), true);
    assert_eq!(page.matches("<h3>").count(), 1_000);
    assert!(page.contains("And 5 more"));
}
