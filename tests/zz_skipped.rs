//! The last test program of a run: one line on what was not tested and how to turn it on, which the test runner would not
//! show. `TINDERBOX_TEST_LIST=1` shows every test that was skipped, and why.

use std::collections::BTreeMap;

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
        return println!("\neverything was tested");
    }
    if std::env::var_os("TINDERBOX_TEST_LIST").is_some() {
        println!("\nnot tested:");
        return lines.iter().for_each(|line| println!("  {line}"));
    }
    let mut needs: BTreeMap<&str, usize> = BTreeMap::new();
    for need in lines.iter().filter_map(|line| line.split(':').next()) {
        *needs.entry(need).or_default() += 1;
    }
    let needs: Vec<String> = needs.iter().map(|(need, count)| format!("{count} {need}")).collect();
    println!(
        "\nnot tested: {} ({} tests in all); TINDERBOX_TEST_LIST=1 says why, CONTRIBUTING.md how to turn them on",
        needs.join(", "),
        lines.len()
    );
}
