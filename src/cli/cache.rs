//! `tinderbox cache`

use clap::Args;

use super::terminal::say;
use crate::data::packed;
use crate::error::Result;
use crate::report::console::thousands;

/// Show the decoded pictures that are kept for the next start, or remove them.
///
/// A large set of pictures is decoded once, into a file of bytes, which is read while a network trains. Pictures that change are
/// decoded anew. Where a new file needs room, the ones that were used longest ago go: all together take 50 GB at most, or as many
/// as $TINDERBOX_CACHE_GB says.
#[derive(Args)]
#[command(after_help = "Examples:\n  tinderbox cache\n  tinderbox cache --clear")]
pub struct CacheArgs {
    /// Remove them all
    #[arg(long)]
    clear: bool,
}

pub fn run(args: CacheArgs) -> Result<()> {
    let megabytes = |bytes: u64| thousands(bytes.div_ceil(1_000_000));
    if args.clear {
        let (files, bytes) = packed::clear()?;
        say!("removed {files} files, {} MB", megabytes(bytes));
        return Ok(());
    }
    let files = packed::files();
    files.iter().for_each(|(path, bytes)| say!("{:>10} MB  {}", megabytes(*bytes), path.display()));
    let all = files.iter().map(|(_, bytes)| bytes).sum();
    say!("{} of at most {} MB in {} files", megabytes(all), megabytes(packed::most()), files.len());
    Ok(())
}
