//! `tinderbox completions` and `tinderbox man`

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use super::terminal::say;
use crate::error::{Error, Result};
use crate::files::make_folder;

/// Print completions for a shell.
#[derive(Args)]
#[command(after_help = "Example: tinderbox completions bash > ~/.local/share/bash-completion/completions/tinderbox")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub fn completions(args: CompletionsArgs, command: &mut Command) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, command, "tinderbox", &mut text);
    let _ = std::io::stdout().write_all(&text); // a closed pipe is no reason to fail
    Ok(())
}

/// Write the manual's pages, one for the program and one for each command.
#[derive(Args)]
#[command(after_help = "Example: tinderbox man ~/.local/share/man/man1")]
pub struct ManArgs {
    /// Folder to write them into
    dir: PathBuf,
}

pub fn man(args: ManArgs, command: Command) -> Result<()> {
    make_folder(&args.dir)?;
    clap_mangen::generate_to(command.disable_help_subcommand(true), &args.dir)
        .map_err(|e| Error::io("write into", &args.dir, e))?;
    say!("{}: man -l {}/tinderbox.1", args.dir.display(), args.dir.display());
    Ok(())
}
