//! `tinderbox devices`

use clap::Args;
use serde::Serialize;

use super::output::print_json;
use super::terminal::say;
use crate::compute::{Candidate, DeviceInfo, Request, choose, list};
use crate::error::Result;
use crate::report::experiment::text_table;
use crate::runs::verified::is_remembered;

/// List the adapters of every API and the CPU backend, and mark the one that is taken where none is named.
///
/// A software adapter (a GPU imitated by the CPU) is never taken unless it is named with --device.
#[derive(Args)]
#[command(after_help = "Example: tinderbox devices --json")]
pub struct DevicesArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row<'a> {
    index: usize,
    default: bool,
    #[serde(flatten)]
    info: &'a DeviceInfo,
}

pub fn run(args: DevicesArgs) -> Result<()> {
    let mut candidates = list(&Request::Name(String::new()));
    for Candidate { info, .. } in &mut candidates {
        info.verified = info.verified.map(|_| is_remembered(info));
    }
    let default = choose(&candidates, &Request::Best)?;
    let rows = candidates.iter().enumerate().map(|(index, c)| Row { index, default: index == default, info: &c.info });
    if args.json {
        return print_json(&rows.collect::<Vec<_>>());
    }
    let head = ["", "index", "name", "kind", "api", "driver", "f16", "subgroups", "buffer", "verified"]
        .map(String::from)
        .to_vec();
    let table: Vec<Vec<String>> = std::iter::once(head)
        .chain(rows.map(|row| {
            let info = row.info;
            vec![
                if row.default { "*".into() } else { String::new() },
                row.index.to_string(),
                info.name.clone(),
                info.kind.to_string(),
                info.api.clone(),
                info.driver.clone(),
                if info.f16 { "yes" } else { "no" }.into(),
                info.subgroup_sizes.map_or("no".into(), |(low, high)| format!("{low}-{high}")),
                info.max_buffer_bytes.map_or("any".into(), |bytes| format!("{} MiB", bytes >> 20)),
                info.verified.map_or("", |yes| if yes { "yes" } else { "no" }).into(),
            ]
        }))
        .collect();
    say!("{}", text_table(&table));
    for candidate in &candidates {
        if let Some(reason) = &candidate.info.unusable {
            say!("{} cannot train: {reason}", candidate.info);
        }
    }
    say!(
        "* is taken where --device names none; verified: its numbers were compared with the CPU's, as before the first training"
    );
    Ok(())
}
