//! What must stay true of the whole repository, and is checked rather than remembered.
//!
//! Most of these say that something is absent: a crate that must not know another, a call that must not be made. Each has its
//! reason, which is printed when it fails.

mod advisories;
mod check;
mod circles;
mod dependencies;
mod glossary;
mod imports;
mod licences;
mod repository;
mod source;

use advisories::Advisories;
use check::Check;

use crate::failure::{Failure, Result};
use crate::step::Steps;
use crate::workspace::Workspace;

const CHECKS: [Check; 20] = [
    imports::STANDARD_INTERFACES_ONLY,
    dependencies::GUESTS_KNOW_NO_HOST,
    dependencies::ONE_CRATE_KNOWS_THE_DATABASE,
    dependencies::ONE_CRATE_KNOWS_THE_ENGINE,
    dependencies::BROKER_KNOWS_NO_WASM,
    dependencies::STORE_KNOWS_NO_MESSAGES,
    dependencies::LATTICE_STANDS_ALONE,
    source::SELECTS_ARE_BIASED,
    source::TIME_COMES_FROM_THE_CLOCK,
    source::THREADS_ARE_NAMED,
    source::RANDOMNESS_IS_INJECTED,
    source::FILES_SAY_WHAT_THEY_ARE,
    circles::MODULES_ARE_IN_NO_CIRCLE,
    repository::INTERFACE_FILES_ARE_NOT_COMMITTED,
    repository::NO_PLACE_OF_ONE_MACHINE,
    repository::README_COMMANDS_EXIST,
    repository::DOCUMENTS_NAME_WHAT_EXISTS,
    glossary::RETIRED_WORDS_ARE_GONE,
    glossary::MODULES_ARE_CALLED_AS_THEY_ARE,
    licences::LICENCES_ARE_KNOWN,
];

/// Runs every check, also after one has failed, so that one run shows all there is to do. What could not be checked is said
/// last.
pub fn run(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    let mut broken = Vec::new();
    for check in &CHECKS {
        let found = steps.run(check.name, || (check.find)(workspace))?;
        broken.extend(complained(check.name, check.reason, &found));
    }
    let not_checked = match steps.run(advisories::NAME, || advisories::look_up(workspace))? {
        Advisories::Known(found) => {
            broken.extend(complained(advisories::NAME, advisories::REASON, &found));
            None
        }
        Advisories::NotChecked(why) => Some(why),
    };
    if let Some(why) = not_checked {
        eprintln!("xtask: {}: NOT CHECKED, because {why}", advisories::NAME);
    }
    if broken.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{} of {} invariants are broken: {}",
        broken.len(),
        CHECKS.len() + 1,
        broken.join("; ")
    ))
    .remedy("see each of them above, with its reason"))
}

/// Says where an invariant is broken; the name is for the end.
fn complained(name: &'static str, reason: &str, found: &[String]) -> Option<&'static str> {
    if found.is_empty() {
        return None;
    }
    eprintln!("xtask: {name}: BROKEN, and it matters: {reason}");
    found.iter().for_each(|place| eprintln!("  {place}"));
    Some(name)
}
