//! Benchmark cases: what of ours is measured, against what, on which site.

use super::measure::{Cost, measure};
use super::programs::Programs;
use super::sim_process::SimProcess;
use super::table::{Figure, Row};
use crate::error::Result;

/// One comparison.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// It is left out unless it is asked for.
    pub(crate) takes_minutes: bool,
    /// The site's flags, for ours and for theirs; most cases have one site.
    sites: [&'static [&'static str]; 2],
    ours: Side,
    theirs: Side,
    figures: Vec<Figure>,
    /// Whether both sides have to write the same bytes.
    same_bytes: Option<&'static str>,
}

/// What one side does.
#[derive(Clone, Copy)]
enum Side {
    /// Our program with these arguments, in an empty folder.
    Ours(&'static [&'static str]),
    /// [`FETCH`] in this format, in an empty folder.
    FetchIn(&'static str),
    /// Our program when everything has been collected before.
    OursAgain(&'static [&'static str]),
    /// A script; `$LIST` is the address of the list of records.
    Script(&'static str),
}

/// 200 pages of 1,000 records, compressed as the service compresses them.
const PAGES: &[&str] = &["--fast", "--gzip", "--records", "200000"];
/// The same as they are.
const PLAIN: &[&str] = &["--fast", "--records", "200000"];
const MILLION: &[&str] = &["--fast", "--gzip", "--records", "1000000"];
const TEN_MILLION: &[&str] = &["--fast", "--gzip", "--records", "10000000"];
const FAR: &[&str] = &[
    "--fast",
    "--gzip",
    "--records",
    "1000000",
    "--latency",
    "200ms",
];
const FETCH: &[&str] = &["fetch", "--state-dir", "state"];
const EIGHT_JOBS: &[&str] = &["fetch", "--state-dir", "state", "--jobs", "8"];
const EXPORT: &[&str] = &["export", "--output", "out.json"];
const CURL: &str =
    "curl -sSf --compressed -K curlrc -o /dev/null \"$LIST?limit=1000&start=[0-199000:1000]\"";
const CURL_ONE: &str = "curl -sSf --compressed -K curlrc -o /dev/null \"$LIST?limit=1000\"";
const CURL_AND_JQ: &str = "
start=0
while [ $start -lt 200000 ]; do
    curl -sSf --compressed -K curlrc \"$LIST?limit=1000&start=$start\" | jq -c '.results[]' >>out.json
    start=$((start + 1000))
done";

/// Every case, the quick ones first.
pub(crate) fn all() -> Vec<Case> {
    let case = |name, site, ours, theirs, figures| Case {
        name,
        takes_minutes: false,
        sites: [site, site],
        ours,
        theirs,
        figures,
        same_bytes: None,
    };
    let export = Side::Ours(EXPORT);
    let fetch = Side::Ours(FETCH);
    let curl = Side::Script(CURL);
    let mut cases = vec![
        case("export", PAGES, export, curl, vec![Figure::wall(1.5)]),
        case(
            "export-guide",
            PAGES,
            export,
            Side::Script(CURL_AND_JQ),
            vec![Figure::wall(0.05), Figure::cpu(0.05)],
        ),
        case("fetch", PAGES, fetch, curl, vec![Figure::wall(2.5)]),
        case(
            "fetch-nothing-new",
            PAGES,
            Side::OursAgain(FETCH),
            Side::Script(CURL_ONE),
            vec![Figure::wall(2.0), Figure::cpu(2.0)],
        ),
        // Where the network costs next to nothing.
        case("export-plain", PLAIN, export, curl, vec![Figure::wall(1.5)]),
        case("fetch-plain", PLAIN, fetch, curl, vec![Figure::wall(2.5)]),
    ];
    for (name, format) in FORMATS {
        let figures = vec![Figure::cpu(4.0)];
        cases.push(case(name, PAGES, Side::FetchIn(format), fetch, figures));
    }
    cases.push(Case {
        takes_minutes: true,
        same_bytes: Some("flattened.json"),
        ..case(
            "jobs",
            FAR,
            Side::Ours(EIGHT_JOBS),
            fetch,
            vec![Figure::wall(1.0 / 6.0)],
        )
    });
    cases.push(Case {
        takes_minutes: true,
        sites: [TEN_MILLION, MILLION],
        ..case("memory", MILLION, fetch, fetch, vec![Figure::peak(1.1)])
    });
    cases
}

const FORMATS: [(&str, &str); 5] = [
    ("format-flat", "flat"),
    ("format-ecs", "ecs"),
    ("format-ocsf", "ocsf"),
    ("format-cef", "cef"),
    ("format-csv", "csv"),
];

impl Case {
    /// Runs both sides in turn: once for the caches, then as often as is asked.
    pub(crate) fn run(&self, programs: &Programs, runs: usize) -> Result<Row> {
        let runs = if self.takes_minutes { 1 } else { runs };
        let our_site = SimProcess::start(programs, self.sites[0])?;
        let other = if self.sites[0] == self.sites[1] {
            None
        } else {
            Some(SimProcess::start(programs, self.sites[1])?)
        };
        let their_site = other.as_ref().unwrap_or(&our_site);
        let mut pairs = Vec::new();
        let warm_up = usize::from(!self.takes_minutes);
        for run in 0..runs + warm_up {
            let ours = self.ours.run(programs, &our_site)?;
            let our_bytes = self.output(&our_site)?;
            let theirs = self.theirs.run(programs, their_site)?;
            if our_bytes != self.output(their_site)? {
                return Err(format!("{}: the two sides wrote different bytes", self.name).into());
            }
            if run >= warm_up {
                pairs.push((ours, theirs));
            }
        }
        Ok(Row {
            name: self.name,
            ours: self.ours.label(),
            theirs: self.theirs.label(),
            figures: self.figures.clone(),
            pairs,
        })
    }

    fn output(&self, site: &SimProcess) -> Result<Option<blake3::Hash>> {
        let Some(name) = self.same_bytes else {
            return Ok(None);
        };
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(std::fs::File::open(site.folder().join(name))?)?;
        Ok(Some(hasher.finalize()))
    }
}

impl Side {
    fn run(self, programs: &Programs, site: &SimProcess) -> Result<Cost> {
        match self {
            Self::Ours(args) => {
                site.clear()?;
                measure(&mut site.ours(programs, args))
            }
            Self::FetchIn(format) => {
                site.clear()?;
                let mut fetch = site.ours(programs, FETCH);
                measure(fetch.args(["--output", "out.json", "--format", format]))
            }
            Self::OursAgain(args) => {
                measure(&mut site.ours(programs, args))?;
                measure(&mut site.ours(programs, args))
            }
            Self::Script(script) => measure(site.script(script).env("LIST", site.list())),
        }
    }

    fn label(self) -> String {
        match self {
            Self::Ours(args) => format!("`{}`", args.join(" ")),
            Self::FetchIn(format) => format!("`fetch --format {format}`"),
            Self::OursAgain(args) => format!("`{}` with nothing new", args.join(" ")),
            Self::Script(CURL) => "`curl`, the same pages".to_owned(),
            Self::Script(CURL_AND_JQ) => "`curl` and `jq` for each page".to_owned(),
            Self::Script(_) => "`curl`, one page".to_owned(),
        }
    }
}
