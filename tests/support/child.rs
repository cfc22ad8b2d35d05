//! Tests that need a process of their own: the test runs its own binary once more, for itself alone.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Tells the child where to work.
const DIR: &str = "WEIGHBRIDGE_TEST_DIR";

/// Where this process is to work, if it is a child.
pub fn dir() -> Option<PathBuf> {
    std::env::var_os(DIR).map(PathBuf::from)
}

/// This binary, for one test and a directory; what it says goes to standard error, which libtest leaves alone.
pub fn command(launcher: &[&str], test: &str, dir: &OsStr) -> Command {
    let binary = std::env::current_exe().expect("the path of this binary");
    let mut command = match launcher.split_first() {
        None => Command::new(binary),
        Some((launcher, arguments)) => {
            let mut command = Command::new(launcher);
            command.args(arguments).arg(binary);
            command
        }
    };
    command.args(["--exact", test, "--test-threads=1", "--nocapture"]).env(DIR, dir);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}
