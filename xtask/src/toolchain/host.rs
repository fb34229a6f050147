//! What the compiler of this machine says about itself.

use std::path::PathBuf;
use std::process::Command;

use crate::failure::{Failure, Result};
use crate::process;

pub struct Host {
    pub triple: String,
    pub sysroot: PathBuf,
}

impl Host {
    pub fn read() -> Result<Self> {
        let about = process::output(Command::new("rustc").arg("-vV"))?;
        let triple = about.lines().find_map(|line| line.strip_prefix("host: "));
        let sysroot = process::output(Command::new("rustc").args(["--print", "sysroot"]))?;
        Ok(Self {
            triple: triple.ok_or_else(|| Failure::new("`rustc -vV` does not name its host"))?.to_owned(),
            sysroot: sysroot.trim().into(),
        })
    }
}
