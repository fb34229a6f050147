//! How often somebody may try: passwords of one account, passwords of any, and new accounts.
//!
//! Each try is counted before it is looked at, whatever comes of it: of many at once, those that fail would else be counted when
//! all have been looked at. Who tries too often is told when to come again, which is when the window ends. So an account is
//! slowed down, for whoever tries, and never closed; and whoever is signed in stays so.
//!
//! **One address cannot slow an account down for others**: its own tries at that account are used up long before those of all. Where no
//! address is known, as on a lattice unless the gateway is told how many proxies there are, only those of all are counted.

use std::time::Duration;

use trellis_kit::platform::Fault;
use trellis_kit::tally::{self, Tally};
use trellis_kit::{Cx, Problem, config};

/// The key of the config: `on`, which is built in, or `off`.
const CONFIG: &str = "limits";

const WINDOW: Duration = Duration::from_secs(5 * 60);

/// What somebody at an address tries at one account.
const HERE: Limit = Limit { name: "tries.here", most: 10 };
/// What somebody at an address tries at all accounts.
const ADDRESS: Limit = Limit { name: "tries.address", most: 100 };
/// What all try at one account.
const ACCOUNT: Limit = Limit { name: "tries.account", most: 100 };
/// The new accounts of an address, and those of all whose address is not known.
const SIGN_UPS: Limit = Limit { name: "signups", most: 30 };
const SIGN_UPS_OF_ANYBODY: Limit = Limit { most: 300, ..SIGN_UPS };

#[derive(Debug, Clone, Copy)]
struct Limit {
    name: &'static str,
    most: u64,
}

impl Limit {
    fn expect(self, cx: &Cx, who: &str) -> Result<(), Problem> {
        let count = Tally::new(self.name, WINDOW).count(who, self.most)?;
        if count.used <= self.most {
            return Ok(());
        }
        let seconds = count.left.as_secs() + 1;
        Err(cx.too_many(format!("That was tried too often. Come again in {seconds} seconds."), count.left))
    }
}

/// Counts that somebody shows a password for an account, which there may be or not.
pub fn password(cx: &Cx, credential: &str) -> Result<(), Problem> {
    if !are_counted()? {
        return Ok(());
    }
    if let Some(address) = &cx.address {
        HERE.expect(cx, &format!("{credential} {address}"))?;
        ADDRESS.expect(cx, address)?;
    }
    ACCOUNT.expect(cx, credential)
}

/// Counts that somebody signs up.
pub fn sign_up(cx: &Cx) -> Result<(), Problem> {
    if !are_counted()? {
        return Ok(());
    }
    match &cx.address {
        Some(address) => SIGN_UPS.expect(cx, address),
        None => SIGN_UPS_OF_ANYBODY.expect(cx, tally::ANYBODY),
    }
}

/// Makes what counting takes, before anybody asks.
pub fn look_around() -> Result<(), Fault> {
    if are_counted()? { tally::make_key() } else { Ok(()) }
}

fn are_counted() -> Result<bool, Fault> {
    match config::text(CONFIG)?.as_deref() {
        None | Some("on") => Ok(true),
        Some("off") => Ok(false),
        Some(_) => Err(Fault::new(format!("config {CONFIG}: it must be on or off"))),
    }
}
