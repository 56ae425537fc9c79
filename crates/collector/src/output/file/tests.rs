//! The promises of the file output: every line once, none torn, no file shorter than it was.

mod rotation;
mod suite;

use bytes::Bytes;
use confluence_audit_core::Timestamp;
use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use proptest::prelude::*;

use super::disk::Disk;
use super::*;
use crate::ErrorKind;
use crate::output::conformance;

thread_local! {
    /// How many bytes this thread's disk still takes.
    static SPACE: Cell<usize> = const { Cell::new(usize::MAX) };
    /// What its clock says.
    static NOW: Cell<Timestamp> = const { Cell::new(Timestamp::from_millis(0)) };
}

/// Takes bytes until its space is used up, then fails in the middle of a write.
const SMALL_DISK: Disk = Disk {
    network: |_| Ok(None),
    append: |mut file, bytes| {
        let fits = bytes.len().min(SPACE.get());
        SPACE.set(SPACE.get() - fits);
        file.write_all(&bytes[..fits])?;
        if fits < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    },
    sync: File::sync_data,
    now: || NOW.get(),
};

struct TestFile(tempfile::TempDir, FileOptions);

impl TestFile {
    fn with(options: FileOptions) -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"), options)
    }

    fn new() -> Self {
        Self::with(FileOptions::default())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn writer(&self) -> Writer {
        let mut writer = Writer::new(self.path("log"), self.1.clone());
        writer.disk.now = || NOW.get();
        writer
    }

    fn put(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).expect("a file");
    }

    fn append(&self, name: &str, content: &str) {
        let mut file = OpenOptions::new()
            .append(true)
            .open(self.path(name))
            .expect("the file");
        file.write_all(content.as_bytes()).expect("room");
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).expect("a rename");
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("the file")
    }

    /// Delivers `lines` as delivery does: again with the new checkpoint until all are there.
    fn deliver_all(&self, from: Option<Checkpoint>, lines: &[&str]) -> Checkpoint {
        let mut writer = self.writer();
        let (mut done, mut checkpoint) = (0, from);
        for _ in 0..10 {
            let due = bytes(&lines[done..]);
            let (more, at) = writer.deliver(&due, checkpoint).expect("a good disk");
            done += more;
            checkpoint = Some(at);
            if done == lines.len() {
                return at;
            }
        }
        panic!("delivery does not come to an end");
    }
}

fn bytes(lines: &[&str]) -> Vec<Bytes> {
    lines
        .iter()
        .map(|line| Bytes::copy_from_slice(line.as_bytes()))
        .collect()
}

#[test]
fn the_file_is_created_empty_for_its_group_to_read() {
    let place = TestFile::new();
    place.writer().prepare().expect("a good place");
    let meta = fs::metadata(place.path("log")).expect("the file");
    assert_eq!(meta.len(), 0);
    assert_eq!(meta.permissions().mode() & 0o777, 0o640);
}

#[test]
fn what_is_no_plain_file_in_an_existing_directory_is_refused() {
    let place = TestFile::new();
    let refused = |name: &str| {
        let error = Writer::new(place.path(name), FileOptions::default())
            .prepare()
            .expect_err(name);
        assert_eq!(error.kind(), ErrorKind::OutputCreate);
        error.to_string()
    };
    assert!(refused("missing/log").contains("missing"));
    place.put("target", "");
    symlink(place.path("target"), place.path("link")).expect("a link");
    assert!(refused("link").contains("symbolic link"));
    fs::create_dir(place.path("dir")).expect("a directory");
    refused("dir");
    rustix::fs::mkfifoat(rustix::fs::CWD, place.path("pipe"), 0o600.into()).expect("a pipe");
    refused("pipe");
}

#[test]
fn a_network_file_system_is_refused_before_anything_is_created() {
    let place = TestFile::new();
    let mut writer = place.writer();
    writer.disk.network = |_| Ok(Some("NFS"));
    for refused in [writer.prepare(), writer.check().map(drop)] {
        let error = refused.expect_err("it is no local disk");
        assert_eq!(error.kind(), ErrorKind::OutputCreate);
        assert!(error.to_string().contains("NFS"), "{error}");
    }
    assert!(!place.path("log").exists());
}

#[test]
fn a_first_start_appends_to_what_is_there_and_begins_on_a_new_line() {
    let place = TestFile::new();
    place.put("log", "old\ntorn by somebody");
    let at = place.deliver_all(None, &["a", "b"]);
    assert_eq!(place.text("log"), "old\ntorn by somebody\na\nb\n");
    place.deliver_all(Some(at), &["c"]);
    assert_eq!(place.text("log"), "old\ntorn by somebody\na\nb\nc\n");
}

#[test]
fn nothing_is_written_before_a_checkpoint_names_the_file() {
    let place = TestFile::new();
    let (lines, _) = place
        .writer()
        .deliver(&bytes(&["a"]), None)
        .expect("a good disk");
    assert_eq!(lines, 0);
    assert_eq!(place.text("log"), "");
}

#[test]
fn a_torn_line_is_completed_where_it_was_torn() {
    let place = TestFile::new();
    let at = place.deliver_all(None, &["a"]);
    place.append("log", "first\nsec");
    place.deliver_all(Some(at), &["first", "second", "third"]);
    assert_eq!(place.text("log"), "a\nfirst\nsecond\nthird\n");
}

#[test]
fn lines_that_stand_there_unconfirmed_are_confirmed_and_not_repeated() {
    let place = TestFile::new();
    let at = place.deliver_all(None, &["a"]);
    let end = place.deliver_all(Some(at), &["b", "c", "d"]);
    // The earlier batch was larger than the one that is asked for now.
    let (lines, middle) = place
        .writer()
        .deliver(&bytes(&["b", "c"]), Some(at))
        .expect("ok");
    assert_eq!(lines, 2);
    assert_eq!(place.deliver_all(Some(middle), &["d"]), end);
    assert_eq!(place.text("log"), "a\nb\nc\nd\n");
}

#[test]
fn foreign_bytes_cost_no_line_and_tear_none() {
    let place = TestFile::new();
    let at = place.deliver_all(None, &["a"]);
    place.append("log", "b\nforeign");
    let at = place.deliver_all(Some(at), &["b", "c"]);
    assert_eq!(place.text("log"), "a\nb\nforeign\nc\n");
    place.deliver_all(Some(at), &["d"]);
    assert_eq!(place.text("log"), "a\nb\nforeign\nc\nd\n");
}

#[test]
fn a_foreign_writer_that_never_rests_does_not_stop_delivery() {
    let place = TestFile::new();
    let mut at = place.deliver_all(None, &["a"]);
    let mut writer = place.writer();
    let mut done = 0;
    for _ in 0..4 {
        place.append("log", "foreign\n");
        let (lines, next) = writer.deliver(&bytes(&["b"]), Some(at)).expect("ok");
        done += lines;
        at = next;
    }
    assert_eq!(done, 2);
}

#[test]
fn a_cut_file_starts_anew_at_its_end_and_is_never_cut_further() {
    let place = TestFile::new();
    let at = place.deliver_all(None, &["abcdef", "ghijkl"]);
    place.put("log", "x");
    let at = place.deliver_all(Some(at), &["m"]);
    assert_eq!(place.text("log"), "x\nm\n");
    // Cut and filled again up to the offset: the byte before it gives it away.
    place.put("log", "wxyz");
    place.deliver_all(Some(at), &["n"]);
    assert_eq!(place.text("log"), "wxyz\nn\n");
}

#[test]
fn a_rotated_file_is_completed_and_its_lines_are_not_repeated_in_the_new_one() {
    let place = TestFile::new();
    let at = place.deliver_all(None, &["a"]);
    place.append("log", "b\nto");
    place.rename("log", "log.1");
    place.put("log", "");
    place.deliver_all(Some(at), &["b", "torn", "c"]);
    assert_eq!(place.text("log.1"), "a\nb\ntorn\n");
    assert_eq!(place.text("log"), "c\n");
}

#[test]
fn rotation_between_batches_is_noticed_by_a_running_process() {
    let place = TestFile::new();
    let at = place.deliver_all(None, &["a"]);
    place.rename("log", "log.1");
    place.deliver_all(Some(at), &["b"]);
    assert_eq!(place.text("log.1"), "a\n");
    assert_eq!(place.text("log"), "b\n");
}

#[test]
fn a_rotated_file_that_cannot_be_found_has_its_unconfirmed_lines_written_again() {
    let place = TestFile::new();
    let at = place.deliver_all(None, &["a"]);
    place.append("log", "b\n");
    // Another file comes first, so that the inode is not simply used again.
    place.put("new", "");
    fs::remove_file(place.path("log")).expect("gone");
    place.rename("new", "log");
    place.deliver_all(Some(at), &["b"]);
    assert_eq!(place.text("log"), "b\n");
}

#[test]
fn foreign_bytes_in_a_rotated_file_stay_there() {
    let place = TestFile::new();
    let at = place.deliver_all(None, &["a"]);
    place.append("log", "foreign");
    place.rename("log", "log.1");
    place.deliver_all(Some(at), &["b"]);
    assert_eq!(place.text("log.1"), "a\nforeign");
    assert_eq!(place.text("log"), "b\n");
}

#[test]
fn a_full_disk_says_what_was_not_written_and_is_tried_again() {
    let place = TestFile::new();
    let at = place.deliver_all(None, &["a"]);
    let mut writer = place.writer();
    writer.disk = SMALL_DISK;
    SPACE.set(3);
    let error = writer
        .deliver(&bytes(&["bcd", "e"]), Some(at))
        .expect_err("full");
    assert_eq!(error.exit_code(), 74);
    assert!(error.to_string().contains("2 lines (6 bytes)"), "{error}");
    SPACE.set(usize::MAX);
    writer
        .deliver(&bytes(&["bcd", "e"]), Some(at))
        .expect("there is room again");
    assert_eq!(place.text("log"), "a\nbcd\ne\n");
}

#[test]
fn a_failed_fsync_is_final() {
    let place = TestFile::new();
    let at = place.deliver_all(None, &["a"]);
    let mut writer = place.writer();
    writer.disk.sync = |_| Err(io::ErrorKind::Other.into());
    let error = writer
        .deliver(&bytes(&["b"]), Some(at))
        .expect_err("a bad disk");
    assert_eq!(error.exit_code(), 74);
    writer.disk.sync = File::sync_data;
    writer
        .deliver(&bytes(&["b"]), Some(at))
        .expect_err("a second sync proves nothing");
    // The next process looks at what is there.
    place.deliver_all(Some(at), &["b"]);
    assert_eq!(place.text("log"), "a\nb\n");
}

#[test]
fn a_line_that_would_be_two_is_a_bug_and_not_written() {
    let place = TestFile::new();
    let at = place.deliver_all(None, &["a"]);
    let error = place
        .writer()
        .deliver(&bytes(&["b\nc"]), Some(at))
        .expect_err("two lines");
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert_eq!(place.text("log"), "a\n");
}

#[tokio::test]
async fn the_output_hands_its_checkpoint_through_the_spool_and_refuses_anothers() {
    let place = TestFile::new();
    let mut output = FileOutput::new(OutputName::new("file"), place.path("log"));
    output.prepare().await.expect("a good place");
    let entries = [Entry::example("a", 1)];
    let first = output.deliver(&entries, None).await.expect("its start");
    let second = output
        .deliver(&entries, Some(&first.checkpoint))
        .await
        .expect("the line");
    assert_eq!((first.lines, second.lines), (0, 1));
    assert_eq!(place.text("log"), "a\n");
    let error = output
        .deliver(&entries, Some(b"7"))
        .await
        .expect_err("no checkpoint");
    assert_eq!(error.kind(), ErrorKind::State);
}

/// One thing that happens to a writer.
#[derive(Clone, Debug)]
enum Event {
    /// Up to `lines` are delivered; the process dies after `space` bytes, or, when there is
    /// room for all, before the confirmation if `unconfirmed`.
    Deliver {
        lines: usize,
        space: usize,
        unconfirmed: bool,
    },
    /// logrotate renames the file, and creates a new one or leaves that to us.
    Rotate { create: bool },
}

fn event() -> impl Strategy<Value = Event> {
    let space = prop_oneof![0..12_usize, Just(usize::MAX)];
    prop_oneof![
        4 => (1..5_usize, space, any::<bool>()).prop_map(|(lines, space, unconfirmed)| {
            Event::Deliver { lines, space, unconfirmed }
        }),
        1 => any::<bool>().prop_map(|create| Event::Rotate { create }),
    ]
}

/// How far a delivery has been confirmed.
#[derive(Default)]
struct Reached {
    lines: usize,
    checkpoint: Option<Checkpoint>,
}

impl Reached {
    /// Delivers at most so many of `lines` onto a disk with so much space, in a process of its own,
    /// which may die before it is confirmed.
    fn deliver(
        &mut self,
        place: &TestFile,
        lines: &[&str],
        most: usize,
        space: usize,
        unconfirmed: bool,
    ) {
        let mut writer = place.writer();
        writer.disk = SMALL_DISK;
        SPACE.set(space);
        let until = lines.len().min(self.lines + most);
        let due = bytes(&lines[self.lines..until]);
        if let Ok((done, at)) = writer.deliver(&due, self.checkpoint)
            && !unconfirmed
        {
            self.lines += done;
            self.checkpoint = Some(at);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Few letters and short lines, so that twins, and lines that begin other lines, abound.
    #[test]
    fn whenever_it_dies_or_is_rotated_every_line_stands_once_and_no_file_shrinks(
        lines in proptest::collection::vec("[ab]{0,4}", 0..20),
        events in proptest::collection::vec(event(), 0..25),
        before in prop_oneof![Just(""), Just("old\n"), Just("a\nb\n")],
    ) {
        let place = TestFile::new();
        place.put("log", before);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut rotated = 0;
        let mut reached = Reached::default();
        let everything = |rotated: usize| -> String {
            let mut all: String = (0..rotated).map(|n| place.text(&format!("log.{n}"))).collect();
            if place.path("log").exists() {
                all += &place.text("log");
            }
            all
        };
        let mut seen = before.to_owned();
        let rest = std::iter::repeat_n(
            Event::Deliver { lines: 3, space: usize::MAX, unconfirmed: false },
            lines.len() + 5,
        );
        for event in events.into_iter().chain(rest) {
            match event {
                Event::Deliver { lines: most, space, unconfirmed } => {
                    reached.deliver(&place, &lines, most, space, unconfirmed);
                }
                Event::Rotate { create } => {
                    if place.path("log").exists() {
                        place.rename("log", &format!("log.{rotated}"));
                        rotated += 1;
                    }
                    if create && !place.path("log").exists() {
                        place.put("log", "");
                    }
                }
            }
            let now = everything(rotated);
            // Completing a torn line in a rotated file may only happen while the new one is
            // empty; then the whole grows at its end, as each file does.
            prop_assert!(now.starts_with(&seen), "{seen:?} became {now:?}");
            seen = now;
        }
        let mut expected = before.to_owned();
        for line in &lines {
            expected += line;
            expected.push('\n');
        }
        prop_assert_eq!(seen, expected);
    }
}

#[test]
fn a_new_file_has_the_mode_that_was_asked_for_and_an_old_one_keeps_its_own() {
    let mut options = FileOptions::default();
    options.ownership.mode = Some(0o646);
    options.ownership.owner = Some(rustix::process::geteuid().as_raw().to_string());
    let place = TestFile::with(options.clone());
    let mode = || {
        let meta = fs::metadata(place.path("log")).expect("the file");
        meta.permissions().mode() & 0o777
    };
    place.writer().prepare().expect("a good place");
    assert_eq!(mode(), 0o646);
    place.put("log", "old\n");
    fs::set_permissions(place.path("log"), fs::Permissions::from_mode(0o600)).expect("ours");
    place.writer().prepare().expect("a good place");
    assert_eq!(mode(), 0o600);

    options.ownership.group = Some("no such group".to_owned());
    let place = TestFile::with(options);
    let error = place.writer().prepare().expect_err("nobody knows it");
    assert_eq!(error.kind(), ErrorKind::OutputCreate);
    assert!(error.chain().contains("no such group"), "{}", error.chain());
}
