//! Passwords: which may be chosen, and their hashes. A hash says with what it was made, so it can be made anew when that is
//! not what is made today.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params, PasswordHasher, PasswordVerifier};
use trellis_kit::{Problem, id};

const CHARS_MIN: usize = 8;
const CHARS_MAX: usize = 256;

/// The hash of nobody's password, made as all are today: whoever is compared to it waits as long as with any other.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Refuses what is too short, too long, or known to everybody.
pub fn check(field: &str, password: &str) -> Result<(), Problem> {
    let chars = password.chars().count();
    if !(CHARS_MIN..=CHARS_MAX).contains(&chars) {
        let why = format!("Must have {CHARS_MIN} to {CHARS_MAX} characters.");
        return Err(Problem::invalid(field, why));
    }
    let is_common = |text: &str| passwords::analyzer::is_common_password(text);
    if is_common(password) || is_common(&password.to_lowercase()) {
        return Err(Problem::invalid(
            field,
            "Many use this password, so it is among the first that anybody tries.",
        ));
    }
    Ok(())
}

/// Refuses what cannot be anybody's password.
pub fn expect_possible(field: &str, password: &str) -> Result<(), Problem> {
    if password.is_empty() || password.chars().nth(CHARS_MAX).is_some() {
        return Err(Problem::invalid(field, format!("Must have 1 to {CHARS_MAX} characters.")));
    }
    Ok(())
}

/// The hash, as the PHC string that argon2 writes: argon2id with 19 MiB, two passes and one lane.
pub fn hash(password: &str) -> Result<String, Problem> {
    let salt = id::chance();
    let hash: Result<PasswordHash, _> = today().hash_password_with_salt(password.as_bytes(), &salt);
    Ok(hash.map_err(Problem::internal)?.to_string())
}

/// Whether this is the password; with no hash it never is, and that takes as long.
pub fn is(password: &str, hash: Option<&str>) -> Result<bool, Problem> {
    let parsed = PasswordHash::new(hash.unwrap_or(NOBODYS)).map_err(Problem::internal)?;
    let is_same = today().verify_password(password.as_bytes(), &parsed).is_ok();
    Ok(is_same && hash.is_some())
}

/// Whether a hash was made otherwise than today.
pub fn is_old(hash: &str) -> bool {
    let params = PasswordHash::new(hash).ok().and_then(|hash| Params::try_from(&hash).ok());
    params.is_none_or(|params| {
        (params.m_cost(), params.t_cost(), params.p_cost())
            != (Params::DEFAULT_M_COST, Params::DEFAULT_T_COST, Params::DEFAULT_P_COST)
    })
}

#[cfg(test)]
thread_local!(static RUNS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) });

/// How often something was hashed.
#[cfg(test)]
pub fn runs() -> u64 {
    RUNS.get()
}

fn today() -> Argon2<'static> {
    #[cfg(test)]
    RUNS.set(RUNS.get() + 1);
    Argon2::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_by_its_hash_and_no_other_is() {
        let hash = hash("correct horse").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(is("correct horse", Some(&hash)).unwrap());
        for other in ["", "correct hors", "Correct horse", "correct horse ", &"x".repeat(257)] {
            assert!(!is(other, Some(&hash)).unwrap(), "{other}");
        }
        assert!(!is_old(&hash));
        assert_ne!(hash, super::hash("correct horse").unwrap(), "salt");
    }

    #[test]
    fn nobody_has_any_password() {
        for password in ["", "correct horse", &"x".repeat(300)] {
            assert!(!is(password, None).unwrap());
        }
        assert!(!is_old(NOBODYS), "it takes as long as a hash of today");
    }

    #[test]
    fn what_was_made_with_less_is_old() {
        assert!(is_old(&NOBODYS.replace("m=19456", "m=4096")));
        assert!(is_old("secret"));
    }

    #[test]
    fn what_cannot_be_a_password_is_not_compared_to_any() {
        for bad in ["", &"x".repeat(257), &"ä".repeat(100_000)] {
            assert_eq!(expect_possible("password", bad).unwrap_err().errors[0].field, "password");
        }
        for good in ["x", &"ä".repeat(256)] {
            expect_possible("password", good).unwrap();
        }
    }

    #[test]
    fn what_everybody_uses_is_refused() {
        let long = "ä".repeat(257);
        for bad in
            ["", "1234567", "äöüäöüä", &long, "password", "12345678", "PASSWORD", "iloveyou", "qwertyuiop"]
        {
            let problem = check("password", bad).unwrap_err();
            assert_eq!((problem.status, problem.errors[0].field.as_str()), (422, "password"), "{bad}");
        }
        for good in ["correct horse", "12345678x!", &"ä".repeat(8), &"ä".repeat(256), "\u{202e}\0 \n\t ok"]
        {
            check("password", good).unwrap();
        }
    }
}
