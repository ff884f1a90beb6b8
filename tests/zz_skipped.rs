//! The last test program of a run: prints what was skipped and why, which the test runner itself would not show.

#[path = "common/skip.rs"]
#[allow(dead_code)] // only the list is needed here
mod skip;

fn main() {
    let list = skip::list();
    let text = std::fs::read_to_string(&list).unwrap_or_default();
    let _ = std::fs::remove_file(&list); // there is none where nothing was skipped
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.dedup();
    if lines.is_empty() {
        return println!("\nno test was skipped");
    }
    println!("\n{} tests were skipped:", lines.len());
    lines.iter().for_each(|line| println!("  {line}"));
    println!("TINDERBOX_TEST_REQUIRE=gpu,data,python,browser makes failures of them");
}
