//! Which machine a process is on, as far as its journals are concerned: nobody else can read them.

use std::io::{self, Write};
use std::path::Path;

use super::journal::directory::failed;
use crate::{Code, Error, Result};

const FILE: &str = "home";

/// The name of a place where journals are: whoever is on another machine, or has another directory, has another one. It
/// is made up when it is asked for first, and stays in the directory.
pub fn name(directory: &Path) -> Result<String> {
    let path = directory.join(FILE);
    let read = || std::fs::read_to_string(&path).map(|name| name.trim().to_owned());
    let make = || {
        std::fs::create_dir_all(directory)?;
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let mut name = tempfile::NamedTempFile::new_in(directory)?;
        write!(name, "{:016x}", u64::from_le_bytes(random))?;
        name.as_file().sync_all()?;
        match name.persist_noclobber(&path) {
            Ok(_) => read(),
            // Another process was faster.
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => read(),
            Err(error) => Err(error.error),
        }
    };
    let name = match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(),
        name => name,
    };
    let name = name.map_err(|error| failed(&path, &error))?;
    let is_ours = name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_ours {
        return Ok(name);
    }
    let message = format!("{} is not what Weighbridge wrote; remove it when no process uses it", path.display());
    Err(Error::new(Code::StoreForeign, message))
}
