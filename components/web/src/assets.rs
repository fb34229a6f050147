//! What pages bring along. The name of each has a hash of its contents in it, so that a browser may keep it for ever.

use trellis_kit::{Problem, Response};

pub const STYLE: Asset = Asset::new("css", "text/css; charset=utf-8", include_str!("../assets/style.css"));
pub const SCRIPT: Asset =
    Asset::new("js", "text/javascript; charset=utf-8", include_str!("../assets/live.js"));
/// For a page that asks for a card of Stripe's.
pub const CARD: Asset = Asset::new("js", "text/javascript; charset=utf-8", include_str!("../assets/card.js"));
pub const ICON: Asset = Asset::new("svg", "image/svg+xml", PICTURE);
const PICTURE: &str = include_str!("../assets/icon.svg");

/// The icon as it stands in a page itself, where it needs no request of its own.
pub fn picture() -> String {
    PICTURE.replace(r#" xmlns="http://www.w3.org/2000/svg""#, "")
}

#[derive(Debug)]
pub struct Asset {
    ending: &'static str,
    media_type: &'static str,
    contents: &'static str,
    hash: u64,
}

impl Asset {
    const fn new(ending: &'static str, media_type: &'static str, contents: &'static str) -> Self {
        Self { ending, media_type, contents, hash: hash(contents.as_bytes()) }
    }

    pub fn path(&self) -> String {
        format!("/assets/{}", self.file())
    }

    fn file(&self) -> String {
        format!("{:016x}.{}", self.hash, self.ending)
    }
}

pub fn answer(file: &str) -> Result<Response, Problem> {
    let asset = [STYLE, SCRIPT, CARD, ICON].into_iter().find(|asset| asset.file() == file);
    let asset = asset.ok_or_else(|| Problem::not_found("There is nothing at this path."))?;
    let response = Response { body: asset.contents.into(), ..Response::empty(200) };
    Ok(response
        .with("content-type", asset.media_type)
        .with("cache-control", "public, max-age=31536000, immutable"))
}

/// FNV-1a: tells contents of ours apart, and can be had while compiling.
pub const fn hash(mut bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    while let [first, rest @ ..] = bytes {
        hash = (hash ^ *first as u64).wrapping_mul(0x0100_0000_01b3);
        bytes = rest;
    }
    hash
}
