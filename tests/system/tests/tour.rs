//! The README's tour, line by line, as a reader would type it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::process::Command;

use system::{Trellis, repository};
use tempfile::tempdir;

const MARK: &str = "<!-- tour: run by tests/system -->\n```sh\n";

#[test]
fn the_readme_tour_works() {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let tour = readme.split_once(MARK).expect("README.md marks its tour").1.split_once("```").unwrap().0;
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    // The README uses the default port; a test cannot count on it being free.
    let script = tour.replace("127.0.0.1:8080", &trellis.client().address().to_string());
    assert_ne!(script, tour);

    let run =
        Command::new("bash").args(["-euo", "pipefail", "-c", &script]).output().expect("bash is installed");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "is curl installed? {}", String::from_utf8_lossy(&run.stderr));
    let statuses: Vec<&str> = said.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(
        statuses,
        ["201", "201", "201", "200", "422", "200", "403", "409", "409", "202", "200", "200", "401", "401"],
        "{said}"
    );
    let ids: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("location: ")).collect();
    assert_eq!(ids.len(), 4, "{said}");
    assert_eq!(ids[1], ids[2], "one key, one post");
    assert_ne!(ids[0], ids[1]);
    trellis.stop();
}
