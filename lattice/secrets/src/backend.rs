//! What is answered to a host: a secret, encrypted for that host, or why there is none.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use async_nats::HeaderMap;
use bytes::Bytes;
use nkeys::{KeyPair, KeyPairType, XKey};
use tracing::{info, warn};
use wascap::jwt::{Claims, Component};
use wasmcloud_secrets_types::{
    Context, ContextValidationError, GetSecretError, RESPONSE_XKEY, Secret, SecretRequest, SecretResponse,
    WASMCLOUD_HOST_XKEY,
};

use crate::file;

pub struct Backend {
    file: PathBuf,
    /// The public key of an account: components that it has signed may have what is in the file.
    signer: String,
    /// For this run: hosts encrypt their questions with its public half.
    key: XKey,
}

/// An answer, and the key with which it is encrypted.
struct Sealed {
    key: XKey,
    answer: Vec<u8>,
}

impl Backend {
    pub fn new(file: PathBuf, signer: String) -> Result<Self> {
        let pair = KeyPair::from_public_key(&signer).context("--signer is no public key")?;
        anyhow::ensure!(
            pair.key_pair_type() == KeyPairType::Account,
            "--signer is the public key of no account, which begins with A"
        );
        Ok(Self { file, signer, key: XKey::new() })
    }

    pub fn public_key(&self) -> String {
        self.key.public_key()
    }

    /// What is said to who has asked. An error is not encrypted: there may be no key, and nothing secret is in it.
    pub fn answer(&self, headers: Option<&HeaderMap>, question: &[u8]) -> (HeaderMap, Bytes) {
        let mut said = HeaderMap::new();
        match self.sealed(headers, question) {
            Ok(Sealed { key, answer }) => {
                said.insert(RESPONSE_XKEY, key.public_key());
                (said, answer.into())
            }
            Err(error) => {
                warn!("a secret is refused: {error}");
                (said, SecretResponse::from(error).into())
            }
        }
    }

    fn sealed(&self, headers: Option<&HeaderMap>, question: &[u8]) -> Result<Sealed, GetSecretError> {
        let host = headers.and_then(|headers| headers.get(WASMCLOUD_HOST_XKEY));
        let host = XKey::from_public_key(host.ok_or(GetSecretError::InvalidHeaders)?.as_str())
            .map_err(|_| GetSecretError::InvalidXKey)?;
        let question = self.key.open(question, &host).map_err(|_| GetSecretError::DecryptionError)?;
        let question: SecretRequest =
            serde_json::from_slice(&question).map_err(|_| GetSecretError::InvalidRequest)?;
        let component = self.signed(&question.context)?;
        let answer = SecretResponse { secret: Some(self.secret(&question)?), error: None };
        let answer = serde_json::to_vec(&answer).map_err(|_| GetSecretError::InvalidPayload)?;
        let key = XKey::new();
        let answer = key.seal(&answer, &host).map_err(|_| GetSecretError::EncryptionError)?;
        info!("{component} is given the secret {}", question.key);
        Ok(Sealed { key, answer })
    }

    /// The name of the component that asks, which has to be signed by who signs those of the application.
    fn signed(&self, context: &Context) -> Result<String, GetSecretError> {
        use ContextValidationError::{InvalidComponentJWT, InvalidHostJWT, InvalidProviderJWT};
        context.valid_claims().map_err(|error| match error {
            InvalidComponentJWT(why) | InvalidProviderJWT(why) => GetSecretError::InvalidEntityJWT(why),
            InvalidHostJWT(why) => GetSecretError::InvalidHostJWT(why),
        })?;
        let claims = Claims::<Component>::decode(&context.entity_jwt)
            .map_err(|error| GetSecretError::InvalidEntityJWT(error.to_string()))?;
        if claims.issuer != self.signer {
            return Err(GetSecretError::Unauthorized);
        }
        Ok(claims.name())
    }

    fn secret(&self, question: &SecretRequest) -> Result<Secret, GetSecretError> {
        if question.field.is_some() || question.version.is_some() {
            let whole = "a file has whole secrets of one version: leave out `field` and `version`";
            return Err(GetSecretError::Other(whole.to_owned()));
        }
        let found = file::secret(&self.file, &question.key)
            .map_err(|error| GetSecretError::UpstreamError(format!("{error:#}")))?;
        let secret = found.ok_or(GetSecretError::SecretNotFound)?;
        Ok(Secret { string_secret: Some(secret), ..Secret::default() })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use tempfile::NamedTempFile;
    use wascap::jwt::{ClaimsBuilder, Host};

    use super::*;

    const TEXT: &str = r#"{"stripe": "hunter2", "other": "swordfish"}"#;

    /// A file with secrets, which `signer` may have.
    fn backend(text: &str, mode: u32, signer: &KeyPair) -> (Backend, NamedTempFile) {
        let file = NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
        (Backend::new(file.path().to_owned(), signer.public_key()).unwrap(), file)
    }

    /// What a host asks for a component that this account has signed.
    fn question(key: &str, signer: &KeyPair) -> SecretRequest {
        let component = Claims::<Component>::new(
            "payments".to_owned(),
            signer.public_key(),
            KeyPair::new_module().public_key(),
            None,
            false,
            None,
            None,
            None,
        );
        let operator = KeyPair::new_operator();
        let mut host = ClaimsBuilder::<Host>::new();
        host.issuer(&operator.public_key()).subject(&KeyPair::new_server().public_key());
        let host = host.with_metadata(Host::new("host".to_owned(), HashMap::new())).build();
        SecretRequest {
            key: key.to_owned(),
            field: None,
            version: None,
            context: Context {
                entity_jwt: component.encode(signer).unwrap(),
                host_jwt: host.encode(&operator).unwrap(),
                ..Context::default()
            },
        }
    }

    /// Asks as a host does, and reads the answer as it does.
    fn asked(backend: &Backend, question: &SecretRequest) -> Result<String, GetSecretError> {
        let host = XKey::new();
        let question = serde_json::to_vec(question).unwrap();
        let sealed = host.seal(&question, &XKey::from_public_key(&backend.public_key()).unwrap()).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(WASMCLOUD_HOST_XKEY, host.public_key());
        let (headers, answer) = backend.answer(Some(&headers), &sealed);
        let Some(key) = headers.get(RESPONSE_XKEY) else {
            return Err(serde_json::from_slice::<SecretResponse>(&answer).unwrap().error.unwrap());
        };
        let opened = host.open(&answer, &XKey::from_public_key(key.as_str()).unwrap()).unwrap();
        let secret = serde_json::from_slice::<SecretResponse>(&opened).unwrap().secret.unwrap();
        Ok(secret.string_secret.unwrap())
    }

    #[test]
    fn a_component_that_was_signed_has_the_secret_it_asks_for_as_it_is_now() {
        let signer = KeyPair::new_account();
        let (backend, file) = backend(TEXT, 0o600, &signer);
        assert_eq!(asked(&backend, &question("stripe", &signer)).unwrap(), "hunter2");
        fs::write(file.path(), r#"{"stripe": "another"}"#).unwrap();
        assert_eq!(asked(&backend, &question("stripe", &signer)).unwrap(), "another");
        let none = asked(&backend, &question("other", &signer));
        assert!(matches!(none, Err(GetSecretError::SecretNotFound)), "{none:?}");
    }

    #[test]
    fn whoever_was_signed_by_somebody_else_or_forged_has_none() {
        let signer = KeyPair::new_account();
        let (backend, _file) = backend(TEXT, 0o600, &signer);
        let stranger = asked(&backend, &question("stripe", &KeyPair::new_account()));
        assert!(matches!(stranger, Err(GetSecretError::Unauthorized)), "{stranger:?}");

        let mut forged = question("stripe", &signer);
        let (signed, _signature) = forged.context.entity_jwt.rsplit_once('.').unwrap();
        let other = question("stripe", &KeyPair::new_account()).context.entity_jwt;
        forged.context.entity_jwt = format!("{signed}.{}", other.rsplit('.').next().unwrap());
        let forged = asked(&backend, &forged);
        assert!(matches!(forged, Err(GetSecretError::InvalidEntityJWT(_))), "{forged:?}");

        let mut of_no_host = question("stripe", &signer);
        of_no_host.context.host_jwt.clear();
        let of_no_host = asked(&backend, &of_no_host);
        assert!(matches!(of_no_host, Err(GetSecretError::InvalidHostJWT(_))), "{of_no_host:?}");
    }

    #[test]
    fn what_is_no_question_is_refused() {
        let signer = KeyPair::new_account();
        let (backend, _file) = backend(TEXT, 0o600, &signer);
        let mut headers = HeaderMap::new();
        for (key, question) in [(None, "{}"), (Some("no key"), "{}"), (Some(&*XKey::new().public_key()), "")]
        {
            if let Some(key) = key {
                headers.insert(WASMCLOUD_HOST_XKEY, key);
            }
            let (said, answer) = backend.answer(Some(&headers), question.as_bytes());
            assert!(said.get(RESPONSE_XKEY).is_none());
            assert!(serde_json::from_slice::<SecretResponse>(&answer).unwrap().error.is_some());
        }
        let mut of_a_version = question("stripe", &signer);
        of_a_version.version = Some("1".to_owned());
        let error = asked(&backend, &of_a_version).unwrap_err().to_string();
        assert!(error.contains("leave out `field` and `version`"), "{error}");
    }

    #[test]
    fn a_file_that_others_can_read_or_that_is_no_object_of_texts_is_said_without_what_is_in_it() {
        let signer = KeyPair::new_account();
        for (text, mode, said) in
            [(TEXT, 0o644, "run `chmod 600"), (r#"{"stripe": ["hunter2"]}"#, 0o600, "line 1, column 11")]
        {
            let (backend, _file) = backend(text, mode, &signer);
            let error = asked(&backend, &question("stripe", &signer)).unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_signer_is_an_account() {
        for wrong in ["", "A", &KeyPair::new_user().public_key()] {
            assert!(Backend::new(PathBuf::new(), wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
