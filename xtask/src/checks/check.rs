//! What a check is.

use crate::failure::Result;
use crate::workspace::Workspace;

/// One invariant. What it returns are the places where it is broken.
pub struct Check {
    pub name: &'static str,
    pub reason: &'static str,
    pub find: fn(&Workspace) -> Result<Vec<String>>,
}
