//! What the macros write.

use proc_macro::TokenStream;

/// Reads code that this crate wrote itself.
pub fn parse(code: &str) -> TokenStream {
    match code.parse() {
        Ok(tokens) => tokens,
        Err(problem) => panic!("the macro wrote code that is not Rust ({problem}): {code}"),
    }
}
