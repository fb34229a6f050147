//! What the tests of the pages share: the running blog, and a browser that looks at it.
//!
//! The browser is Debian's Chromium, driven over WebDriver by its own driver; `cargo xtask test` gets both. What it
//! shows is kept as pictures in `target/screenshots`, for people to look at.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod blog;
mod chromium;
mod elsewhere;
mod look;

pub use blog::{Blog, PASSWORD};
pub use chromium::{Browser, Scripts};
pub use elsewhere::serve;
pub use look::{check_contrast, check_structure, check_weight, look_at, look_at_page_with};
