//! Files that the output puts aside, compresses and removes itself: what is promised of one file
//! holds across all of them.

use super::*;

pub(super) fn rotating(size: u64, compression: Compression) -> FileOptions {
    FileOptions {
        rotation: Rotation {
            size: Some(size),
            compression,
            ..Rotation::default()
        },
        ..FileOptions::default()
    }
}

impl TestFile {
    /// Everything in the order of its writing, and how many files it stands in.
    pub(super) fn all(&self) -> (String, usize) {
        let names = fs::read_dir(self.0.path()).expect("the directory");
        let mut names: Vec<String> = names
            .map(|entry| {
                entry
                    .expect("a file")
                    .file_name()
                    .into_string()
                    .expect("a name")
            })
            .filter(|name| name.starts_with("log-"))
            .collect();
        // `.10` comes behind `.2`.
        names.sort_by_key(|name| {
            let name = name.trim_end_matches(".gz");
            let (stamp, number) = name.split_once('.').unwrap_or((name, "1"));
            (stamp.to_owned(), number.parse::<u32>().expect("a number"))
        });
        let mut all = String::new();
        for name in &names {
            let bytes = fs::read(self.path(name)).expect("a file");
            let end = name.rsplit('.').next();
            if end == Some("gz") {
                let mut reader = flate2::read::GzDecoder::new(&bytes[..]);
                io::Read::read_to_string(&mut reader, &mut all).expect("gzip");
            } else {
                all += str::from_utf8(&bytes).unwrap();
            }
        }
        (all + &self.text("log"), names.len() + 1)
    }
}

#[test]
fn a_file_is_put_aside_before_it_would_grow_too_large_and_compressed_one_later() {
    let place = TestFile::with(rotating(8, Compression::Gzip));
    let at = place.deliver_all(None, &["aaa", "bbb", "ccc", "ddd", "eeeeeeeeeeee", "f"]);
    assert_eq!(place.text("log"), "f\n");
    let (all, files) = place.all();
    assert_eq!(
        (all.as_str(), files),
        ("aaa\nbbb\nccc\nddd\neeeeeeeeeeee\nf\n", 4)
    );
    let stamp = "log-19700101T000000Z";
    for (name, content) in [(".2", None), (".3", Some("eeeeeeeeeeee\n"))] {
        let plain = place.path(&format!("{stamp}{name}"));
        assert_eq!(
            fs::read_to_string(&plain).ok().as_deref(),
            content,
            "{name}"
        );
        assert_ne!(
            plain.exists(),
            place.path(&format!("{stamp}{name}.gz")).exists()
        );
    }
    place.deliver_all(Some(at), &["g"]);
    assert_eq!(place.all().0, all + "g\n");
}

#[test]
fn a_file_is_put_aside_when_it_is_old_and_something_comes() {
    let age = Duration::from_hours(24);
    let mut options = FileOptions::default();
    options.rotation.age = Some(age);
    let place = TestFile::with(options);
    NOW.set(Timestamp::from_millis(0));
    let deliver = |from, line| {
        let mut writer = place.writer();
        writer.disk = SMALL_DISK;
        let (mut done, mut at) = (0, from);
        while done == 0 {
            let (lines, next) = writer.deliver(&bytes(&[line]), at).expect("a good disk");
            (done, at) = (lines, Some(next));
        }
        at
    };
    let at = deliver(None, "a");
    let due = Timestamp::from_millis(0).saturating_add(age);
    NOW.set(due.saturating_sub(Duration::from_millis(1)));
    let at = deliver(at, "b");
    NOW.set(due);
    deliver(at, "c");
    assert_eq!(place.text("log"), "c\n");
    assert_eq!(place.text("log-19700102T000000Z"), "a\nb\n");
    NOW.set(Timestamp::from_millis(0));
}

#[test]
fn no_more_files_are_kept_than_should_be_whatever_the_clock_says() {
    let mut options = rotating(2, Compression::None);
    options.rotation.keep = Some(2);
    let place = TestFile::with(options);
    let at = place.deliver_all(None, &["a", "b", "c", "d"]);
    // An old file, as its name has it, that was put aside when the clock was ahead.
    place.rename("log-19700101T000000Z.3", "log-29700101T000000Z");
    place.deliver_all(Some(at), &["e", "f"]);
    let (all, files) = place.all();
    assert_eq!((all.as_str(), files), ("d\ne\nf\n", 3));
}

#[test]
fn what_a_process_left_that_died_while_it_compressed_is_made_whole() {
    let place = TestFile::with(rotating(2, Compression::Gzip));
    let at = place.deliver_all(None, &["a", "b"]);
    let plain = "log-19700101T000000Z";
    // It died before the rename, and then before it removed the plain file.
    place.put(&format!(".{plain}.gz.new"), "torn");
    place.put(&format!("{plain}.gz"), "torn, or whole");
    place.deliver_all(Some(at), &["c", "d"]);
    assert_eq!(place.all().0, "a\nb\nc\nd\n");
    assert!(!place.path(plain).exists());
    assert!(!place.path(&format!(".{plain}.gz.new")).exists());
}

#[test]
fn a_configuration_that_asks_for_another_compression_is_told_of_gzip() {
    let text = "[[output]]\nkind = \"file\"\npath = \"/x\"\nrotate_age = \"1d\"\n\
                rotate_compress = \"zstd\"\n";
    let error = crate::Config::from_toml(text, "x").expect_err("it cannot be had");
    assert!(error.to_string().contains("`zstd`"), "{error}");
    assert!(error.remedy().contains("\"gzip\""), "{}", error.remedy());
}

#[test]
fn a_new_file_begins_with_its_header_once_wherever_it_was_torn() {
    let header = "one,two";
    for torn in 0..=header.len() + 1 {
        let place = TestFile::with(FileOptions {
            header: Some(header),
            ..rotating(13, Compression::None)
        });
        place.put("log", &format!("{header}\n")[..torn]);
        let at = place.deliver_all(None, &["a,b"]);
        assert_eq!(place.text("log"), "one,two\na,b\n", "{torn}");
        place.deliver_all(Some(at), &["c,d"]);
        assert_eq!(place.all(), ("one,two\na,b\none,two\nc,d\n".to_owned(), 2));
    }
    let place = TestFile::with(FileOptions {
        header: Some(header),
        ..FileOptions::default()
    });
    place.put("log", "old\n");
    place.deliver_all(None, &["a,b"]);
    assert_eq!(
        place.text("log"),
        "old\na,b\n",
        "a file that is not new has none"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn whenever_it_dies_every_line_stands_once_in_files_that_it_rotates_itself(
        lines in proptest::collection::vec("[ab]{0,4}", 0..20),
        deaths in proptest::collection::vec((1..5_usize, 0..12_usize, any::<bool>()), 0..25),
        size in 3..12_u64,
        header in prop_oneof![Just(None), Just(Some("ab"))],
        compression in prop_oneof![Just(Compression::None), Just(Compression::Gzip)],
    ) {
        let place = TestFile::with(FileOptions { header, ..rotating(size, compression) });
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut reached = Reached::default();
        let rest = std::iter::repeat_n((3, usize::MAX, false), 4 * lines.len() + 5);
        for (most, space, unconfirmed) in deaths.into_iter().chain(rest) {
            reached.deliver(&place, &lines, most, space, unconfirmed);
        }
        let (all, files) = place.all();
        let mut found: Vec<&str> = all.lines().collect();
        if let Some(header) = header {
            // Each file begins with it, and a line may say the same.
            let same = |line: &&&str| **line == header;
            let expected = lines.iter().filter(same).count() + files;
            prop_assert_eq!(found.iter().filter(same).count(), expected);
            found.retain(|line| *line != header);
            let lines: Vec<&str> = lines.into_iter().filter(|line| *line != header).collect();
            prop_assert_eq!(found, lines);
        } else {
            prop_assert_eq!(found, lines);
        }
    }
}
