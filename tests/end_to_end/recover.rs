//! `state recover`: after the state is lost or damaged, nothing is lost, and with the raw files nothing
//! comes twice.

use std::fs;
use std::io::Write as _;

use confluence_audit_sim::{NewRecords, SimConfig, When};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::lines::{self, Same, time};
use crate::site::{OUTPUT, Site};

const MINUTE: i64 = 60_000;

fn collected() -> Site {
    let site = Site::start(SimConfig {
        records: 3_000,
        twins: 0.1,
        hostile: 0.02,
        ..SimConfig::default()
    });
    site.fetch().expect(0);
    site
}

/// New records at the site, a late one and a twin of the newest among them.
fn go_on(site: &Site) {
    let newest = time(&site.sim.truth().last().unwrap());
    let late = site.sim.now() - 14 * MINUTE;
    for (count, at, twins) in [
        (3, site.sim.now(), false),
        (1, late, false),
        (1, newest, true),
    ] {
        site.sim.insert(&NewRecords {
            count,
            when: When::At(at),
            twins,
        });
    }
}

#[test]
fn a_state_that_is_gone_is_rebuilt_from_the_files_and_nothing_comes_twice() {
    let site = collected();
    fs::remove_dir_all(site.path("state")).unwrap();
    go_on(&site);
    let done = site
        .ask(&["state", "recover", "--from-files", OUTPUT])
        .expect(0);
    assert!(
        done.stdout.contains("the files hold 3000 records"),
        "{done}"
    );
    let done = site.fetch().expect(0);
    assert_eq!(done.stdout, "Flattened 5 records into flattened.json\n");
    site.assert_output_is_the_truth("after the recovery", Same::Bytes);
    let done = site.fetch().expect(0);
    assert_eq!(done.stdout, "Flattened 0 records into flattened.json\n");
}

#[test]
fn what_the_files_lack_comes_again_from_wherever_it_was_and_however_they_are_packed() {
    let site = collected();
    fs::remove_dir_all(site.path("state")).unwrap();
    // Two rotated files, of which one is compressed, and the last record is gone, as well as one
    // of a pair of twins.
    let output = site.output();
    let mut all: Vec<&str> = output.lines().collect();
    all.pop();
    let twin = (1..all.len()).find(|at| all[at - 1] == all[*at]).unwrap();
    all.remove(twin);
    let (old, rest) = all.split_at(1_000);
    let (middle, new) = rest.split_at(1_000);
    let text = |lines: &[&str]| lines.join("\n") + "\n";
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(text(old).as_bytes()).unwrap();
    fs::write(site.path("flattened.json.2.gz"), packed.finish().unwrap()).unwrap();
    fs::write(site.path("flattened.json.1"), text(middle)).unwrap();
    fs::write(site.path(OUTPUT), text(new)).unwrap();
    let files = ["flattened.json.2.gz", "flattened.json.1", OUTPUT];
    let recover = [&["state", "recover", "--from-files"][..], &files].concat();
    site.ask(&recover).expect(0);
    go_on(&site);
    let done = site.fetch().expect(0);
    assert_eq!(done.stdout, "Flattened 7 records into flattened.json\n");
    let output = site.output();
    let every = old.iter().chain(middle).copied().chain(output.lines());
    lines::assert_same("all files", site.truth(), every, Same::Bytes);
}

#[test]
fn a_damaged_state_is_recovered_with_and_without_the_files() {
    let site = collected();
    let state = site.path("state/spool.sqlite3");
    let sound = fs::read(&state).unwrap();
    let damaged = sound[..sound.len() / 2].to_vec();
    fs::write(&state, &damaged).unwrap();
    let refused = site.fetch().expect(74);
    assert!(refused.stderr.contains("state recover"), "{refused}");

    let done = site
        .ask(&["state", "recover", "--from-files", OUTPUT])
        .expect(0);
    assert!(done.stdout.contains("the damaged file is kept"), "{done}");
    let kept = site.names();
    let kept = kept
        .iter()
        .find(|name| name.contains("spool.sqlite3.damaged-"));
    assert_eq!(fs::read(site.path(kept.unwrap())).unwrap(), damaged);
    go_on(&site);
    site.fetch().expect(0);
    site.assert_output_is_the_truth("with the files", Same::Bytes);

    // Without them what is read again comes twice, and the operator is told so before.
    fs::write(&state, &damaged).unwrap();
    let done = site.ask(&["state", "recover"]).expect(0);
    assert!(done.stdout.contains("lost: "), "{done}");
    site.fetch().expect(0);
    let output = site.output();
    let found: Vec<&str> = output.lines().collect();
    for line in site.truth() {
        assert!(found.contains(&line.as_str()), "it is lost: {line}");
    }
}

#[test]
fn a_sound_state_is_left_alone_and_files_of_another_format_are_refused() {
    let site = collected();
    let state = site.path("state/spool.sqlite3");
    let before = fs::read(&state).unwrap();
    let done = site.ask(&["state", "recover"]).expect(0);
    assert!(done.stdout.contains("nothing was changed"), "{done}");
    fs::write(site.path("words"), "no\nrecords\n").unwrap();
    let done = site
        .ask(&["state", "recover", "--from-files", "words"])
        .expect(64);
    assert!(done.stderr.contains("format raw"), "{done}");
    assert_eq!(fs::read(&state).unwrap(), before);
}
