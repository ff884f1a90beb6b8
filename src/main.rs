//! Arguments -> run -> exit code; everything else is in the library.

fn main() -> std::process::ExitCode {
    tinderbox::cli::main()
}
