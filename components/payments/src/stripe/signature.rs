//! The signature of what Stripe tells: `Stripe-Signature: t=<seconds>,v1=<HMAC-SHA256 of "<seconds>.<body>">`.
//!
//! There is one `v1` for each secret that counts just now, and more names may come.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use thiserror::Error;
use trellis_kit::Problem;

/// How far the time of the signature may be from now, either way.
const TOLERANCE_S: u64 = 300;

/// Why what came is not from Stripe, or not from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SignatureError {
    #[error("Send one header Stripe-Signature: t=<seconds>,v1=<signature>.")]
    Unreadable,
    #[error("No signature in Stripe-Signature is that of this body.")]
    Wrong,
    #[error("The signature is of more than {TOLERANCE_S} seconds ago, or ahead.")]
    NotOfNow,
}

impl From<SignatureError> for Problem {
    fn from(error: SignatureError) -> Self {
        Self::malformed(error.to_string())
    }
}

/// Refuses a body that was not signed with the secret, just now.
pub fn check(header: &str, body: &[u8], secret: &str, now_s: u64) -> Result<(), SignatureError> {
    let items: Vec<(&str, &str)> = header.split(',').filter_map(|item| item.trim().split_once('=')).collect();
    let values =
        |wanted: &'static str| items.iter().filter(move |(name, _)| *name == wanted).map(|item| item.1);
    let mut times = values("t");
    let (Some(time), None) = (times.next(), times.next()) else { return Err(SignatureError::Unreadable) };
    let is_number = time.bytes().all(|byte| byte.is_ascii_digit());
    let time_s: u64 = time.parse().ok().filter(|_| is_number).ok_or(SignatureError::Unreadable)?;
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_err(|_| SignatureError::Unreadable)?;
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    // It takes as long for a wrong signature as for the right one.
    let is_ours = |signature: Vec<u8>| mac.clone().verify_slice(&signature).is_ok();
    if !values("v1").filter_map(bytes).any(is_ours) {
        return Err(SignatureError::Wrong);
    }
    if now_s.abs_diff(time_s) > TOLERANCE_S {
        return Err(SignatureError::NotOfNow);
    }
    Ok(())
}

/// What is written in hexadecimal.
fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = hex.chars().map(|digit| digit.to_digit(16)).collect();
    let pair = |pair: &[u32]| match pair {
        [high, low] => u8::try_from(high * 16 + low).ok(),
        _ => None,
    };
    digits?.chunks(2).map(pair).collect()
}

/// The header with which a body comes.
#[cfg(test)]
pub fn signed(body: &[u8], secret: &str, time_s: u64) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{time_s}.").as_bytes());
    mac.update(body);
    let signature = mac.finalize().into_bytes();
    let hex: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={time_s},v1={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"{\"id\": \"evt_1\"}";
    const SECRET: &str = "whsec_test";
    const NOW: u64 = 1_795_147_272;

    fn checked(header: &str) -> Result<(), SignatureError> {
        check(header, BODY, SECRET, NOW)
    }

    /// Made with `printf '1795147272.{"id": "evt_1"}' | openssl dgst -sha256 -hmac whsec_test`.
    #[test]
    fn the_signature_is_that_of_openssl() {
        let hex = "fca173677cbd510e2acb607aed0e6274d279cb1109c50e847ec2d9431d699053";
        assert_eq!(signed(BODY, SECRET, NOW), format!("t={NOW},v1={hex}"));
    }

    #[test]
    fn what_stripe_signs_is_let_in() {
        let header = signed(BODY, SECRET, NOW);
        let (time, signature) = header.split_once(',').unwrap();
        let other = format!("v1={}", "0".repeat(64));
        for good in [
            header.clone(),
            format!("{time},{other},{signature}"),
            format!("{time},{signature},{other}"),
            format!("{time},{signature},v0=abc,v2=x"),
            format!("{signature}, {time}"),
        ] {
            assert_eq!(checked(&good), Ok(()), "{good}");
        }
    }

    #[test]
    fn what_others_sign_is_not() {
        let header = signed(BODY, SECRET, NOW);
        let (time, signature) = header.split_once(',').unwrap();
        let unreadable = ["", "t", "t=", "t=+1", "t=x", signature, &format!("t=1,{header}")];
        for header in unreadable {
            assert_eq!(checked(header), Err(SignatureError::Unreadable), "{header}");
        }
        let short = &signature[..signature.len() - 2];
        for wrong in [
            time.to_owned(),
            format!("{time},v1="),
            format!("{time},v1=+{}", "1".repeat(63)),
            format!("{time},{short}"),
            format!("{time},{signature}00"),
            format!("{time},{}", signature.replace("v1", "v0")),
            format!("t={},{signature}", NOW - 1),
            format!("t=0{NOW},{signature}"),
            signed(BODY, "whsec_other", NOW),
            signed(b"{}", SECRET, NOW),
        ] {
            assert_eq!(checked(&wrong), Err(SignatureError::Wrong), "{wrong}");
        }
    }

    #[test]
    fn a_signature_counts_for_five_minutes_either_way() {
        for (time, expected) in [
            (NOW - 300, Ok(())),
            (NOW + 300, Ok(())),
            (NOW - 301, Err(SignatureError::NotOfNow)),
            (NOW + 301, Err(SignatureError::NotOfNow)),
            (0, Err(SignatureError::NotOfNow)),
            (u64::MAX, Err(SignatureError::NotOfNow)),
        ] {
            assert_eq!(checked(&signed(BODY, SECRET, time)), expected, "{time}");
        }
    }
}
