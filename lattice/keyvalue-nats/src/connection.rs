//! One link's connection to NATS: requests with a deadline, and an answer that says why there was none.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::connection::State;
use async_nats::jetstream::{self, ErrorCode, response::Response};
use async_nats::{Client, ConnectOptions, Event, HeaderMap, Message, Request, ServerError, StatusCode};
use bytes::Bytes;
use futures::StreamExt;
use serde::de::DeserializeOwned;
use thiserror::Error as ThisError;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::error::{Error, Result};
use crate::patience::Patience;
use crate::settings::{Credentials, Settings};

/// How often an outage is looked at again.
const RECONNECT_DELAY_MAX: Duration = Duration::from_millis(500);

/// In the subjects of requests that a stream answers itself, rather than JetStream.
const DIRECT: &str = ".DIRECT.GET.";

#[derive(Debug)]
pub struct Connection {
    client: Client,
    servers: String,
    api: String,
    domain: Option<String>,
    /// What the server, or the connection to it, complained about last.
    complaint: watch::Receiver<String>,
}

#[derive(Debug, ThisError)]
pub enum ConnectError {
    #[error("`client_seed` is not the seed of a NATS user: {0}")]
    Seed(String),
    #[error("cannot connect to NATS at {servers}: {why}")]
    Connect { servers: String, why: String },
}

/// An answer of JetStream that says no.
#[derive(Debug)]
pub struct ApiError {
    pub code: ErrorCode,
    pub why: String,
}

impl Connection {
    /// Does not wait for the server: a link that comes while NATS is away works once it is back.
    pub async fn open(settings: &Settings) -> std::result::Result<Self, ConnectError> {
        let (complain, complaint) = watch::channel(String::new());
        let mut options = ConnectOptions::new()
            .name("Trellis key-value provider")
            .retry_on_initial_connect()
            .reconnect_delay_callback(|attempt| {
                let attempt = u32::try_from(attempt).unwrap_or(u32::MAX);
                Duration::from_millis(10).saturating_mul(attempt).min(RECONNECT_DELAY_MAX)
            })
            .event_callback(move |event| {
                note(&complain, &event);
                async {}
            });
        if let Some(credentials) = &settings.credentials {
            options = sign_in(options, credentials)?;
        }
        // The client itself does not look for them there.
        if let Some((user, password)) =
            settings.servers.iter().find_map(|s| Some((s.username()?, s.password()?)))
        {
            options = options.user_and_password(user.to_owned(), password.to_owned());
        }
        if let Some(prefix) = &settings.inbox {
            options = options.custom_inbox_prefix(prefix);
        }
        if let Some(file) = &settings.ca_file {
            options = options.add_root_certificates(file.clone()).require_tls(true);
        }
        let servers = settings.servers_text();
        let client = options
            .connect(settings.servers.clone())
            .await
            .map_err(|error| ConnectError::Connect { servers: servers.clone(), why: error.to_string() })?;
        let domain = settings.domain.clone();
        let api = domain.as_ref().map_or_else(|| "$JS.API".to_owned(), |domain| format!("$JS.{domain}.API"));
        Ok(Self { client, servers, api, domain, complaint })
    }

    /// What comes before the subjects of JetStream's own requests.
    pub fn api(&self) -> &str {
        &self.api
    }

    /// What comes before the subject of a message for a stream of the link's domain.
    pub fn publish_prefix(&self) -> String {
        self.domain.as_ref().map_or_else(String::new, |_| format!("{}.", self.api))
    }

    pub fn jetstream(&self) -> jetstream::Context {
        match &self.domain {
            Some(domain) => jetstream::with_domain(self.client.clone(), domain),
            None => jetstream::new(self.client.clone()),
        }
    }

    /// The largest message that the server takes. Known once connected.
    pub fn payload_len_max(&self) -> usize {
        self.client.server_info().max_payload
    }

    /// Waits until the server is there. Nothing is sent before: what the client keeps for later might be written long
    /// after its caller was told that it failed, over something newer.
    pub async fn ready(&self, doing: &str, patience: &mut Patience, limit: Duration) -> Result<()> {
        while self.client.connection_state() != State::Connected {
            if !patience.pause(0).await {
                let why = format!("not connected to NATS at {}{}", self.servers, self.last_complaint());
                return Err(Error::TimedOut { doing: doing.to_owned(), limit, why });
            }
        }
        Ok(())
    }

    /// Asks JetStream, and asks again for as long as it certainly has not done it. The inner result is its answer.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        question: Question<'_>,
        limit: Duration,
    ) -> Result<std::result::Result<T, ApiError>> {
        let mut patience = Patience::new(limit);
        let mut not_now = None;
        loop {
            self.ready(question.doing, &mut patience, limit).await?;
            match self.ask_once(&question, &patience, limit).await {
                Ok(Answer::Done(bytes)) => return read(question.doing, &bytes),
                Ok(Answer::NotNow(reason)) => not_now = Some(reason),
                // The last try has less time than the others, and what they heard says more than its silence.
                Err(Error::TimedOut { .. }) if not_now.is_some() => {}
                Err(error) => return Err(error),
            }
            if !patience.pause(question.salt()).await {
                return self.given_up(&question, not_now.flatten());
            }
        }
    }

    /// Whether the server answers a request for several subjects.
    pub fn answers_for_many(&self) -> bool {
        self.client.is_server_compatible(2, 11, 0)
    }

    /// The same for an answer of many messages, of which the last has a status.
    pub async fn ask_for_many(&self, question: Question<'_>, limit: Duration) -> Result<Vec<Message>> {
        let mut patience = Patience::new(limit);
        loop {
            self.ready(question.doing, &mut patience, limit).await?;
            let messages =
                self.answered(&question, &patience, limit, self.ask_for_many_once(&question)).await?;
            let end = messages.last().and_then(|end| end.status);
            if end != Some(StatusCode::NO_RESPONDERS) {
                return Ok(messages);
            }
            if !patience.pause(question.salt()).await {
                return Err(self.nobody_took(&question));
            }
        }
    }

    fn given_up<T>(
        &self,
        question: &Question<'_>,
        refusal: Option<ApiError>,
    ) -> Result<std::result::Result<T, ApiError>> {
        if let Some(refusal) = refusal {
            return Ok(Err(refusal));
        }
        Err(self.nobody_took(question))
    }

    fn nobody_took(&self, question: &Question<'_>) -> Error {
        let is_of_a_stream = !question.subject.starts_with(&self.api) || question.subject.contains(DIRECT);
        if is_of_a_stream || self.domain.is_some() {
            let why = "nobody takes it; is its stream gone, or without a leader?".to_owned();
            return Error::Failed { doing: question.doing.to_owned(), why };
        }
        Error::NoJetStream { servers: self.servers.clone() }
    }

    async fn ask_once(
        &self,
        question: &Question<'_>,
        patience: &Patience,
        limit: Duration,
    ) -> Result<Answer> {
        let mut request = Request::new().payload(question.payload.clone()).timeout(None);
        if let Some(headers) = &question.headers {
            request = request.headers(headers.clone());
        }
        let sent = self.client.send_request(question.subject.to_owned(), request);
        let answered = async {
            match sent.await {
                Ok(message) => Ok(Answer::from(message.payload)),
                Err(error) if error.kind() == RequestErrorKind::NoResponders => Ok(Answer::NotNow(None)),
                Err(error) => Err(question.failed(&error)),
            }
        };
        self.answered(question, patience, limit, answered).await
    }

    async fn ask_for_many_once(&self, question: &Question<'_>) -> Result<Vec<Message>> {
        let inbox = self.client.new_inbox();
        let mut replies =
            self.client.subscribe(inbox.clone()).await.map_err(|error| question.failed(&error))?;
        let asked =
            self.client.publish_with_reply(question.subject.to_owned(), inbox, question.payload.clone());
        asked.await.map_err(|error| question.failed(&error))?;
        let mut messages = Vec::new();
        while let Some(message) = replies.next().await {
            let is_last = message.status.is_some();
            messages.push(message);
            if is_last {
                break;
            }
        }
        Ok(messages)
    }

    /// Waits for an answer, for as long as there is time and the server does not deny the request.
    async fn answered<T>(
        &self,
        question: &Question<'_>,
        patience: &Patience,
        limit: Duration,
        answer: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let mut complaint = self.complaint.clone();
        complaint.mark_unchanged();
        tokio::select! {
            biased;
            answer = tokio::time::timeout_at(patience.deadline(), answer) => answer.unwrap_or_else(|_| {
                let why = format!("NATS at {} is silent{}", self.servers, self.last_complaint());
                Err(Error::TimedOut { doing: question.doing.to_owned(), limit, why })
            }),
            why = denial(&mut complaint, question.subject) => {
                Err(Error::Denied { doing: question.doing.to_owned(), why })
            }
        }
    }

    fn last_complaint(&self) -> String {
        let complaint = self.complaint.borrow();
        if complaint.is_empty() { String::new() } else { format!(" (last: {})", *complaint) }
    }
}

/// One request to JetStream.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// What it is for, as it would follow "cannot".
    pub doing: &'a str,
    pub subject: &'a str,
    pub headers: Option<HeaderMap>,
    pub payload: Bytes,
}

impl Question<'_> {
    fn failed(&self, why: &dyn Display) -> Error {
        Error::Failed { doing: self.doing.to_owned(), why: why.to_string() }
    }

    fn salt(&self) -> u64 {
        self.subject.bytes().fold(0, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)))
    }
}

enum Answer {
    Done(Bytes),
    /// Certainly not done, and worth another try: nobody listens, or the cluster is choosing a leader.
    NotNow(Option<ApiError>),
}

impl From<Bytes> for Answer {
    fn from(payload: Bytes) -> Self {
        match serde_json::from_slice::<Response<serde_json::Value>>(&payload) {
            Ok(Response::Err { error }) if error.error_code() == ErrorCode::CLUSTER_NOT_AVAILABLE => {
                Self::NotNow(Some(ApiError { code: error.error_code(), why: error.to_string() }))
            }
            _ => Self::Done(payload),
        }
    }
}

fn read<T: DeserializeOwned>(doing: &str, payload: &[u8]) -> Result<std::result::Result<T, ApiError>> {
    match serde_json::from_slice::<Response<T>>(payload) {
        Ok(Response::Ok(value)) => Ok(Ok(value)),
        Ok(Response::Err { error }) => Ok(Err(ApiError { code: error.error_code(), why: error.to_string() })),
        Err(error) => {
            Err(Error::Failed { doing: doing.to_owned(), why: format!("the answer cannot be read: {error}") })
        }
    }
}

/// Until the server says that this subject is not for us. It says so beside the request, which it leaves unanswered.
async fn denial(complaint: &mut watch::Receiver<String>, subject: &str) -> String {
    let quoted = format!("\"{subject}\"");
    let is_about_us =
        |text: &String| text.contains(&quoted) && text.to_ascii_lowercase().contains("permissions violation");
    loop {
        if complaint.changed().await.is_err() {
            // The client is gone; the request itself says so.
            return std::future::pending().await;
        }
        let text = complaint.borrow_and_update().clone();
        if is_about_us(&text) {
            return text;
        }
    }
}

fn note(complain: &watch::Sender<String>, event: &Event) {
    match event {
        Event::Connected => info!("connected to NATS"),
        Event::ServerError(ServerError::Other(text)) => {
            warn!("NATS: {text}");
            complain.send_replace(text.clone());
        }
        Event::ServerError(error) => {
            warn!("NATS: {error}");
            complain.send_replace(error.to_string());
        }
        Event::ClientError(error) => {
            warn!("connection to NATS: {error}");
            complain.send_replace(error.to_string());
        }
        other => warn!("connection to NATS: {other}"),
    }
}

fn sign_in(
    options: ConnectOptions,
    credentials: &Credentials,
) -> std::result::Result<ConnectOptions, ConnectError> {
    let pair = nkeys::KeyPair::from_seed(&credentials.seed);
    let pair = Arc::new(pair.map_err(|error| ConnectError::Seed(error.to_string()))?);
    Ok(options.jwt(credentials.jwt.clone(), move |nonce| {
        let pair = Arc::clone(&pair);
        async move { pair.sign(&nonce).map_err(async_nats::AuthError::new) }
    }))
}
