//! For ids.

use crate::{Code, Error, Result};

pub fn random() -> Result<[u8; 10]> {
    let mut random = [0; 10];
    getrandom::fill(&mut random)
        .map_err(|error| Error::new(Code::Internal, format!("the system has no random numbers: {error}")))?;
    Ok(random)
}
