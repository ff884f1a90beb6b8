//! The structure of the source: rooms in their order, no cycles, nothing too long, and the map in docs/architecture.md.
//!
//! `TINDERBOX_BLESS=1 cargo test --release --test architecture` draws the picture in the map anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of `src/`, each above those that it may use. `lib.rs` declares them in this order.
const ROOMS: [&str; 18] = [
    "error", "files", "names", "notice", "random", "data", "compute", "network", "recipe", "training", "weights",
    "report", "bench", "window", "runs", "site", "cli", "main",
];
/// Single files that every room may use; the picture leaves them out.
const FOUNDATION: [&str; 5] = ["error", "files", "names", "notice", "random"];

/// No file is longer than this, its tests included.
const MAX_FILE: usize = 400;
/// No function is longer than this.
const MAX_FUNCTION: usize = 60;
/// What is longer, and why.
const LONGER: [(&str, &str); 0] = [];

/// A file of the library: its path from `src/`, and its text without comments and tests.
struct Source {
    path: String,
    text: String,
    code: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true if !path.ends_with("target") && !path.ends_with("pkg") => found.extend(rust_files(&path)),
            false if path.extension().is_some_and(|ending| ending == "rs") => found.push(path),
            _ => {}
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let source = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let path = path.strip_prefix(&src).unwrap().to_string_lossy().replace('\\', "/");
        Source { path, code: code(&text), text }
    };
    // A crate of its own in here has its own order.
    let own = |path: &Path| path.ancestors().take_while(|at| *at != src).any(|at| at.join("Cargo.toml").is_file());
    rust_files(&src).into_iter().filter(|path| !own(path)).map(source).collect()
}

/// A file's text without comments, and without what is there for its tests alone.
fn code(text: &str) -> String {
    let (mut kept, mut lines) = (String::new(), text.lines());
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("#[cfg(test)]") {
            skip_item(&mut lines);
        } else if !trimmed.starts_with("//") {
            kept += line.split(" // ").next().unwrap_or_default();
            kept.push('\n');
        }
    }
    kept
}

/// Passes over the item that an attribute belongs to, by its braces.
fn skip_item<'a>(lines: &mut impl Iterator<Item = &'a str>) {
    let mut depth = 0i32;
    for line in lines {
        depth += line.matches('{').count() as i32 - line.matches('}').count() as i32;
        if depth <= 0 && (line.contains('}') || line.trim_end().ends_with(';')) {
            return;
        }
    }
}

/// The module path of a file: `network/layers/mod.rs` -> `[network, layers]`.
fn module(path: &str) -> Vec<String> {
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').map(String::from).collect()
}

/// Every path that begins with `crate` or `super`, braces of `use` spelt out.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::").chain(code.match_indices("super::")) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
            continue; // the middle of a path, or of a macro
        }
        spell_out(&mut Vec::new(), &code[at..], &mut found);
    }
    found
}

/// Reads one path at the beginning of `text`, or the several that its braces stand for; returns what is left.
fn spell_out<'a>(prefix: &mut Vec<String>, text: &'a str, found: &mut Vec<Vec<String>>) -> &'a str {
    let depth = prefix.len();
    let mut rest = text;
    loop {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if end > 0 {
            prefix.push(rest[..end].to_string());
        }
        rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(next) if next.starts_with('{') => {
                rest = &next[1..];
                while !rest.starts_with('}') {
                    rest = spell_out(prefix, rest.trim_start(), found);
                    rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
                    if rest.is_empty() {
                        break;
                    }
                }
                rest = rest.strip_prefix('}').unwrap_or(rest);
                break;
            }
            Some(next) if next.starts_with(|c: char| c.is_alphanumeric() || c == '_') => rest = next,
            _ => {
                found.push(prefix.clone());
                break;
            }
        }
    }
    prefix.truncate(depth);
    // `as NAME`
    let renamed = rest.trim_start().strip_prefix("as ");
    renamed.map_or(rest, |rest| rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'))
}

/// The files, and for each of them those that it uses.
fn uses(sources: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let files: BTreeMap<Vec<String>, &Source> = sources.iter().map(|source| (module(&source.path), source)).collect();
    let mut all = BTreeMap::new();
    for source in sources {
        let own = module(&source.path);
        let mut used = BTreeSet::new();
        for path in paths(&source.code) {
            if let Some(file) = resolve(&absolute(&own, &path), &files)
                && file != source.path
            {
                used.insert(file);
            }
        }
        all.insert(source.path.clone(), used);
    }
    all
}

/// A path from the crate's root.
fn absolute(own: &[String], path: &[String]) -> Vec<String> {
    let ups = path.iter().take_while(|part| *part == "super").count();
    let base = if ups == 0 { &[] } else { &own[..own.len() - ups] };
    let rest = if ups == 0 { &path[1..] } else { &path[ups..] };
    [base, rest].concat()
}

/// The file that an item is defined in, through the names that `mod.rs` files hand on.
fn resolve(path: &[String], files: &BTreeMap<Vec<String>, &Source>) -> Option<String> {
    let depth = (0..=path.len()).rev().find(|&depth| depth > 0 && files.contains_key(&path[..depth]))?;
    let (module, file) = (&path[..depth], files[&path[..depth]]);
    let Some(name) = path.get(depth) else { return Some(file.path.clone()) };
    // `pub use child::Name` in the module: the item is the child's.
    let handed_on = file.code.split("pub use ").chain(file.code.split("pub(crate) use ")).skip(1);
    for statement in handed_on {
        let mut spelt = Vec::new();
        spell_out(&mut Vec::new(), statement, &mut spelt);
        for item in spelt.iter().filter(|item| item.last() == Some(name) && item.len() > 1) {
            let target = [module, &item[..]].concat();
            if target != path && files.contains_key(&target[..depth + 1]) {
                return resolve(&target, files);
            }
        }
    }
    Some(file.path.clone())
}

fn room(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

fn floor(room: &str) -> usize {
    ROOMS.iter().position(|known| *known == room).unwrap_or_else(|| panic!("{room} has no place among the rooms"))
}

#[test]
fn no_room_uses_one_above_it() {
    let mut wrong = Vec::new();
    for (file, used) in uses(&sources()) {
        if file == "lib.rs" {
            continue;
        }
        for other in used.iter().filter(|other| *other != "lib.rs") {
            if floor(room(other)) > floor(room(&file)) {
                wrong.push(format!("{file} uses {other}"));
            }
        }
    }
    assert!(wrong.is_empty(), "against the order of the rooms:\n{}", wrong.join("\n"));
}

#[test]
fn the_library_declares_its_rooms_in_their_order() {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let declared: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let expected: Vec<&str> = ROOMS.iter().copied().filter(|room| *room != "main").collect();
    assert_eq!(declared, expected);
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let uses = uses(&sources());
    let mut circles = Vec::new();
    for start in uses.keys() {
        // Breadth first: the shortest way back.
        let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
        let mut queue = vec![start.as_str()];
        while !queue.is_empty() {
            let mut next = Vec::new();
            for file in queue {
                for other in uses.get(file).into_iter().flatten() {
                    if other == start {
                        let mut circle = vec![start.as_str(), file];
                        while let Some(before) = came_from.get(circle.last().unwrap()) {
                            circle.push(before);
                        }
                        circle.reverse();
                        circles.push(circle.join(" -> "));
                    } else if !came_from.contains_key(other.as_str()) {
                        came_from.insert(other, file);
                        next.push(other.as_str());
                    }
                }
            }
            queue = next;
        }
    }
    assert!(circles.is_empty(), "circles:\n{}", circles.join("\n"));
}

#[test]
fn no_file_and_no_function_is_too_long() {
    let folders = ["src", "web/src", "tests", "benches", "examples", "fuzz/src"];
    let files = folders.iter().flat_map(|folder| rust_files(&root().join(folder)));
    let mut long = Vec::new();
    for path in files.filter(|path| !path.starts_with(root().join("benches/peers"))) {
        let name = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        if lines.len() > MAX_FILE {
            long.push((name.clone(), format!("{} lines", lines.len())));
        }
        for (function, length) in functions(&lines) {
            if length > MAX_FUNCTION {
                long.push((format!("{name}:{function}"), format!("{length} lines")));
            }
        }
    }
    long.retain(|(place, _)| !LONGER.iter().any(|(known, _)| known == place));
    assert!(long.is_empty(), "too long: {long:#?}");
}

/// Every function with its length: from its first line to the brace, or the semicolon of a declaration, that stands below it.
fn functions(lines: &[&str]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let words: Vec<&str> = line.split_whitespace().take(5).collect();
        let Some(at) = words.iter().position(|word| *word == "fn") else { continue };
        if !words[..at].iter().all(|word| word.starts_with("pub") || ["async", "const", "unsafe"].contains(word)) {
            continue;
        }
        let name = words[at + 1].split(['(', '<']).next().unwrap_or_default().to_string();
        let brace = format!("{}}}", " ".repeat(indent));
        let declared = |line: &str| line.ends_with(';') && line.len() - line.trim_start().len() == indent;
        let Some(end) = lines[start..].iter().position(|line| *line == brace || declared(line)) else { continue };
        found.push((name, end + 1));
    }
    found
}

/// The arrows between rooms, as Mermaid draws them.
fn picture() -> String {
    let mut arrows = BTreeSet::new();
    for (file, used) in uses(&sources()) {
        for other in used {
            let (from, to) = (room(&file).to_string(), room(&other).to_string());
            let drawn = |room: &str| room != "lib" && room != "main" && !FOUNDATION.contains(&room);
            if from != to && drawn(&from) && drawn(&to) {
                arrows.insert((floor(&from), from, to));
            }
        }
    }
    // What follows from other arrows is not drawn again.
    let direct = |from: &str, to: &str| arrows.iter().any(|(_, f, t)| f == from && t == to);
    let implied = |from: &str, to: &str| arrows.iter().any(|(_, f, by)| f == from && by != to && direct(by, to));
    let mut text = String::from("```mermaid\nflowchart BT\n");
    for (_, from, to) in arrows.iter().filter(|(_, from, to)| !implied(from, to)) {
        text += &format!("    {to} --> {from}\n");
    }
    text + "```"
}

#[test]
fn the_map_shows_the_rooms_as_they_are() {
    let path = root().join("docs/architecture.md");
    let text = fs::read_to_string(&path).unwrap();
    let start = text.find("```mermaid").expect("the map has a picture");
    let end = start + 3 + text[start + 3..].find("```").expect("the picture ends") + 3;
    let picture = picture();
    if std::env::var_os("TINDERBOX_BLESS").is_some() {
        fs::write(&path, format!("{}{picture}{}", &text[..start], &text[end..])).unwrap();
        return;
    }
    assert_eq!(&text[start..end], picture, "TINDERBOX_BLESS=1 draws it anew");
    for room in ROOMS.iter().filter(|room| **room != "main") {
        assert!(text.contains(&format!("`{room}")), "the map does not tell of {room}");
    }
}

/// Nothing below the front ends prints, or speaks of options.
#[test]
fn the_core_is_silent() {
    let mut loud = Vec::new();
    for source in sources().iter().filter(|source| !["cli", "main"].contains(&room(&source.path))) {
        for (n, line) in source.code.lines().enumerate() {
            let prints =
                ["println!", "print!", "say!", "stdout()", "stderr()", "dbg!"].iter().any(|w| line.contains(w));
            let words = line.split(|c: char| !c.is_alphanumeric() && c != '-');
            let option = line.contains('"')
                && words.into_iter().any(|word| {
                    word.strip_prefix("--").is_some_and(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
                });
            // The table of a recipe's fields has the options' names, and a style sheet has variables.
            let known = source.path == "recipe/field.rs" || line.contains("style=");
            if prints || (option && !known) {
                loud.push(format!("{}:{}: {}", source.path, n + 1, line.trim()));
            }
        }
    }
    assert!(loud.is_empty(), "{}", loud.join("\n"));
}

/// Public docstrings stand alone as sentences in an index.
#[test]
fn docstrings_stand_alone() {
    let mut weak = Vec::new();
    for source in sources() {
        let mut previous_is_doc = false;
        for (n, line) in source.text.lines().enumerate() {
            let doc = line.trim_start().strip_prefix("/// ");
            if let Some(text) = doc.filter(|_| !previous_is_doc)
                && (text.starts_with("Of ") || text.starts_with("The same"))
            {
                weak.push(format!("{}:{}: {text}", source.path, n + 1));
            }
            previous_is_doc = doc.is_some() || line.trim_start().starts_with("///");
        }
    }
    assert!(weak.is_empty(), "{}", weak.join("\n"));
}

#[test]
fn functions_return_the_errors_of_the_crate() {
    let strings: Vec<String> = sources()
        .iter()
        .flat_map(|source| {
            let signatures = source.code.lines().filter(|line| line.contains("fn ") || line.contains("-> "));
            let of_strings =
                signatures.filter(|line| line.contains("String>") && line.contains("-> ") && line.contains("Result<"));
            of_strings
                .filter(|line| line.contains(", String>"))
                .map(|l| format!("{}: {}", source.path, l.trim()))
                .collect::<Vec<_>>()
        })
        // Burn's interface wants a sentence of whoever lets clients in.
        .filter(|line| !line.contains("fn authorize"))
        .collect();
    assert!(strings.is_empty(), "{}", strings.join("\n"));
}
