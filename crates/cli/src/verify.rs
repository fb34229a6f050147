//! `trellis verify`: everything in a data directory, read and checked.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::failure::{DATA, Failure};

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The data directory, as given to `trellis up --data`. It must not be in use
    #[arg(default_value = "data")]
    data: PathBuf,
}

impl Verify {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        let report =
            trellis_store::verify_dir(&self.data).map_err(|error| Failure::data(&self.data, &error))?;
        println!("{report}");
        Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::from(DATA) })
    }
}
