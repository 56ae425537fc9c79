//! Files read by `DuckDB`: what another reader of JSON, CSV and Zstandard counts in them, against what the
//! site has.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::services::Services;
use crate::error::Result;
use crate::process::output;
use crate::test_site::TestSite;

const RECORDS: usize = 20_000;

/// Asks for the number of records, of distinct ones, and of distinct events.
const QUESTIONS: &str = r#"
import duckdb, json, sys
at = sys.argv[1]
raw = f"read_json('{at}/raw.json*', format='newline_delimited', columns={{'creationDate': 'BIGINT', 'summary': 'VARCHAR', 'author': 'JSON'}}, maximum_object_size=1048576)"
ecs = f"read_json('{at}/ecs.json*', format='newline_delimited', columns={{'event': 'JSON', '@timestamp': 'VARCHAR'}}, maximum_object_size=1048576)"
csv = f"read_csv('{at}/all.csv', header=true, all_varchar=true, max_line_size=4194304, strict_mode=true)"
ask = lambda query: duckdb.execute(query).fetchone()
print(json.dumps({
    "raw": ask(f"select count(*), count(distinct creationDate), sum(creationDate)::VARCHAR from {raw}"),
    "ecs": ask(f"select count(*), count(distinct event->>'$.id'), count(distinct event->>'$.original') from {ecs}"),
    "csv": ask(f"""select count(*), count(distinct "Event id"), count(distinct "Date") from {csv}"""),
}))
"#;

/// Writes files in three formats, rotated and compressed ones among them, and has them counted.
pub(crate) fn run(program: &Path, services: &Services) -> Result {
    let site = TestSite::with_records(program, RECORDS, 0.02)?;
    let file = |name: &str, format: &str, more: &str| {
        let path = site.out().join(name).display().to_string();
        format!("[[output]]\nkind = \"file\"\npath = {path:?}\nformat = {format:?}\n{more}")
    };
    site.set_outputs(
        &[
            file(
                "raw.json",
                "raw",
                "rotate_size = \"2MiB\"\nrotate_compress = \"gzip\"\n",
            ),
            file(
                "ecs.json",
                "ecs",
                "rotate_size = \"4MiB\"\nrotate_compress = \"gzip\"\n",
            ),
            file("all.csv", "csv", ""),
        ]
        .concat(),
    )?;
    site.run_successfully()?;
    let mut python = Command::new(services.program("python3"));
    let counts = output(python.args(["-c", QUESTIONS]).arg(site.out()))?;
    let found: Value = serde_json::from_str(&counts)?;
    let expected = expected(&site)?;
    if found != expected {
        return Err(format!("DuckDB counts {found}, and it should be {expected}").into());
    }
    let files = site.outputs()?.len();
    println!("    DuckDB: {RECORDS} records in each of three formats, {files} files: {found}");
    Ok(())
}

fn expected(site: &TestSite) -> Result<Value> {
    let (mut times, mut lines) = (BTreeSet::new(), BTreeSet::new());
    let (mut count, mut sum) = (0_u64, 0_i128);
    for line in site.sim.truth() {
        let record: Value = serde_json::from_str(&line)?;
        let time = record["creationDate"]
            .as_i64()
            .ok_or("a record without a time")?;
        count += 1;
        sum += i128::from(time);
        times.insert(time);
        lines.insert(line);
    }
    Ok(serde_json::json!({
        "raw": [count, times.len(), sum.to_string()],
        "ecs": [count, count, lines.len()],
        "csv": [count, count, times.len()],
    }))
}
