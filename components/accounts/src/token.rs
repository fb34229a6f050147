//! Tokens: by one, a session or a key is known. Each has the id of what it is of, what nobody can guess, and where in the log that was
//! written, with dots between them. Whoever has not heard of it yet knows by the last part how long to wait.

use trellis_kit::{Cx, id};

/// What is hashed of a token, for what has this id.
pub fn secret(id: &str) -> String {
    format!("{id}.{}", id::secret())
}

/// The whole token, once that is written.
pub fn placed(cx: &Cx, secret: &str) -> String {
    let position = cx.position().unwrap_or_default();
    format!("{secret}.{}", position.rsplit(':').next().unwrap_or_default())
}
