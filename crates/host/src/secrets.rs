//! What only the operator knows: a file with secrets, which nobody else can read.
//!
//! ```json
//! { "stripe-live": "sk_live_…" }
//! ```
//!
//! What is in it is printed nowhere: not even in the error about a file that cannot be read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::files;

/// The largest file.
const BYTES_MAX: u64 = 1 << 20;

/// Secrets by their keys.
#[derive(Clone, Debug, Default)]
pub struct Secrets(BTreeMap<String, SecretString>);

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    #[error("cannot read the secrets in {}: {error}", file.display())]
    Read { file: PathBuf, error: std::io::Error },
    #[error(
        "the mode of {} is {mode:04o}, and a file with secrets must have 0600: run `chmod 600 {}`. If others could \
         read it, change the secrets",
        file.display(), file.display()
    )]
    Mode { file: PathBuf, mode: u32 },
    #[error(
        "{}, line {line}, column {column}: this is no JSON object of texts, such as {{\"stripe\": \"sk_…\"}}",
        file.display()
    )]
    Form { file: PathBuf, line: usize, column: usize },
}

impl Secrets {
    /// Those of a file, which only its owner can read and write.
    pub fn read(file: &Path) -> Result<Secrets, SecretsError> {
        let cannot = |error| SecretsError::Read { file: file.to_owned(), error };
        let (bytes, mode) = files::read_with_mode(file, BYTES_MAX).map_err(cannot)?;
        if mode != 0o600 {
            return Err(SecretsError::Mode { file: file.to_owned(), mode });
        }
        // What serde says quotes what it has found.
        let secrets: BTreeMap<String, String> = serde_json::from_slice(&bytes).map_err(|error| {
            SecretsError::Form { file: file.to_owned(), line: error.line(), column: error.column() }
        })?;
        Ok(Secrets(secrets.into_iter().map(|(key, secret)| (key, secret.into())).collect()))
    }

    pub(crate) fn get(&self, key: &str) -> Option<&SecretString> {
        self.0.get(key)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use secrecy::ExposeSecret;

    use super::*;

    const TEXT: &str = r#"{"a": "hunter2", "b": "two\nlines"}"#;

    fn read(text: &str, mode: u32) -> Result<Secrets, SecretsError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secrets.json");
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        Secrets::read(&file)
    }

    #[test]
    fn secrets_are_read_and_not_printed() {
        let secrets = read(TEXT, 0o600).unwrap();
        assert_eq!(secrets.get("a").unwrap().expose_secret(), "hunter2");
        assert_eq!(secrets.get("b").unwrap().expose_secret(), "two\nlines");
        assert!(secrets.get("c").is_none());
        assert!(!format!("{secrets:?}").contains("hunter2"));
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_and_what_to_do_is_said() {
        for mode in [0o644, 0o640, 0o604, 0o660, 0o700, 0o400] {
            let said = read(TEXT, mode).unwrap_err().to_string();
            assert!(said.contains(&format!("is {mode:04o}")) && said.contains("chmod 600"), "{said}");
            assert!(!said.contains("hunter2"));
        }
    }

    #[test]
    fn a_file_of_another_form_is_refused_without_a_word_of_what_is_in_it() {
        for text in
            ["hunter2", "", "a: hunter2", r#"["hunter2"]"#, r#"{"a": 12345678}"#, r#"{"a": "hunter2""#]
        {
            let error = read(text, 0o600).unwrap_err();
            let said = format!("{error} {error:?}");
            assert!(said.contains("line 1") || text.is_empty(), "{said}");
            assert!(!said.contains("hunter2") && !said.contains("12345678"), "{said}");
        }
    }
}
