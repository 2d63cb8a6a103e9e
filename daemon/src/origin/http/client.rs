//! How is a service asked over HTTP, and how long does it take to give up?
//!
//! One exchange is an attempt or several. Only what may be sent twice is sent at all (GET, PUT, DELETE), and only what
//! may go better is repeated: a connection that failed, a timeout, and the statuses 429, 502, 503 and 504. Between two
//! attempts lies a pause that doubles and is spread by chance, so that those who failed together do not come back
//! together; a `Retry-After` goes before it. During a pause the place is given up. Whatever happens, an exchange ends by
//! its deadline: when a pause would outlast it, it ends at once.
//!
//! While the service is down, as [`Fitness`] sees it, nothing is repeated, and of what is loaded ahead only one request
//! at a time goes out: what people ask finds out when it is back.
//!
//! Redirects are not followed: the token is for this service. It is in no log and in no error; addresses are neither,
//! since they name what somebody looks at.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::time::{Instant, sleep, timeout_at};

use crate::origin::fetch::{FetchError, Promoted, Purpose};
use crate::origin::fitness::Fitness;
use crate::origin::slots::Slots;

/// The first pause; each further one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// The longest pause that is made without being asked for.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long a connection that nobody uses stays open.
const IDLE: Duration = Duration::from_secs(30);
/// How large a file with a token may be.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// How the service is asked.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// What the service is called in the log.
    pub name: Box<str>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How often a failed attempt is repeated.
    pub retries: u32,
    /// How many requests are under way at once.
    pub requests_max: usize,
    /// How large an answer may be.
    pub answer_bytes_max: usize,
}

/// The service.
pub struct Client {
    settings: ClientSettings,
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    token: Option<HeaderValue>,
    slots: Slots,
    fitness: Fitness,
}

/// A question.
#[derive(Clone, Debug)]
pub struct Request {
    /// GET, PUT or DELETE.
    pub method: Method,
    /// Where.
    pub address: Uri,
    /// With what.
    pub body: Option<Bytes>,
    /// A condition: its header, and the version.
    pub condition: Option<(header::HeaderName, Box<str>)>,
    /// Who asks.
    pub purpose: Purpose,
    /// Whether somebody waits for it by now.
    pub promoted: Promoted,
    /// By when an answer is of use.
    pub until: Instant,
}

/// An answer, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The version, as it was sent.
    pub etag: Option<Box<str>>,
    /// The content.
    pub body: Bytes,
}

/// An attempt that failed.
struct Failure {
    error: FetchError,
    /// May go better: at once (none), or not before this has passed.
    again: Option<Option<Duration>>,
}

impl Request {
    /// Asks for what is at an address.
    pub fn get(address: Uri, purpose: Purpose, until: Instant) -> Request {
        Request {
            method: Method::GET,
            address,
            body: None,
            condition: None,
            purpose,
            promoted: Promoted::default(),
            until,
        }
    }
}

impl Client {
    /// A client; what is wrong with its files keeps the daemon from starting.
    pub fn new(settings: ClientSettings, token_file: &Path, ca_file: &Path) -> Result<Client, String> {
        let token = match token_file.as_os_str().is_empty() {
            true => None,
            false => Some(read_token(token_file).map_err(|why| format!("origin.http.token_file: {why}"))?),
        };
        let connector = connector(ca_file).map_err(|why| format!("origin.http.ca_file: {why}"))?;
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(settings.requests_max)
            .build(connector);
        let (slots, fitness) = (Slots::new(settings.requests_max), Fitness::new(settings.name.clone()));
        Ok(Client { settings, pool, token, slots, fitness })
    }

    /// How the service fares.
    pub fn fitness(&self) -> &Fitness {
        &self.fitness
    }

    /// Requests under way.
    pub fn busy(&self) -> usize {
        self.slots.busy()
    }

    /// Asks, and asks again.
    pub async fn exchange(&self, request: &Request) -> Result<Reply, FetchError> {
        let patience = request.until.saturating_duration_since(Instant::now());
        let mut attempt = 0;
        loop {
            let (is_up, trouble) = self.fitness.is();
            let is_ahead = request.purpose == Purpose::Ahead && !request.promoted.is();
            if !is_up && is_ahead && self.slots.busy() > 0 {
                return Err(FetchError::Unavailable(trouble.unwrap_or_default()));
            }
            let left = request.until.saturating_duration_since(Instant::now());
            let slot = self.slots.enter_promoted(request.purpose, &request.promoted, left).await;
            let slot = slot.map_err(|error| match error {
                FetchError::Timeout(_) => FetchError::Timeout(patience),
                error => error,
            })?;
            let outcome = self.attempt(request).await;
            drop(slot);
            let failure = match outcome {
                Ok(reply) => {
                    self.fitness.answered();
                    return Ok(reply);
                }
                Err(failure) => failure,
            };
            self.fitness.failed(failure.error.to_string());
            let Some(wanted) = failure.again else { return Err(failure.error) };
            let pause = wanted.unwrap_or_else(|| pause_before(attempt));
            let is_up = self.fitness.is().0;
            if attempt == self.settings.retries || !is_up || Instant::now() + pause >= request.until {
                return Err(failure.error);
            }
            attempt += 1;
            sleep(pause).await;
        }
    }

    async fn attempt(&self, request: &Request) -> Result<Reply, Failure> {
        let began = Instant::now();
        let until = request.until.min(began + self.settings.timeout);
        match timeout_at(until, self.send(request)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure { error: FetchError::Timeout(until - began), again: Some(None) }),
        }
    }

    async fn send(&self, request: &Request) -> Result<Reply, Failure> {
        let lost = |words: String| Failure { error: FetchError::Unavailable(words), again: Some(None) };
        let answer = self.pool.request(self.written(request)).await.map_err(|error| lost(reason(&error)))?;
        let (head, body) = answer.into_parts();
        if let Some(again) = may_go_better(head.status, &head.headers) {
            let error = FetchError::Unavailable(format!("it answers with status {}", head.status.as_u16()));
            return Err(Failure { error, again: Some(again) });
        }
        let max = self.settings.answer_bytes_max;
        let too_large = || Failure { error: FetchError::TooLarge(max), again: None };
        let stated = head.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if request.method == Method::GET && stated.is_some_and(|stated: usize| stated > max) {
            return Err(too_large());
        }
        let body = match Limited::new(body, max).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return Err(too_large()),
            Err(_) => return Err(lost("the connection ended within an answer".to_owned())),
        };
        let etag = head.headers.get(header::ETAG).and_then(|etag| etag.to_str().ok()).map(Box::from);
        Ok(Reply { status: head.status, etag, body })
    }

    fn written(&self, request: &Request) -> hyper::Request<Full<Bytes>> {
        let mut message = hyper::Request::new(Full::new(request.body.clone().unwrap_or_default()));
        *message.method_mut() = request.method.clone();
        *message.uri_mut() = request.address.clone();
        let headers = message.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if request.body.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(token) = &self.token {
            headers.insert(header::AUTHORIZATION, token.clone());
        }
        if let Some((name, version)) = &request.condition
            && let Ok(version) = HeaderValue::from_str(version)
        {
            headers.insert(name, version);
        }
        message
    }
}

/// May the same request go better later, and when?
fn may_go_better(status: StatusCode, headers: &HeaderMap) -> Option<Option<Duration>> {
    let is_such = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    );
    let after = || headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs);
    is_such.then(after)
}

/// Half of the pause is certain, half is chance.
fn pause_before(attempt: u32) -> Duration {
    let pause = PAUSE_FIRST.saturating_mul(1 << attempt.min(16)).min(PAUSE_MAX);
    let chance = getrandom::u32().unwrap_or(u32::MAX / 2);
    pause / 2 + (pause / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

/// The innermost cause: the outer ones say only that something failed.
fn reason(error: &hyper_util::client::legacy::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(cause) = inner.source() {
        inner = cause;
    }
    match error.is_connect() {
        true => format!("no connection: {inner}"),
        false => format!("the connection failed: {inner}"),
    }
}

fn read_token(file: &Path) -> Result<HeaderValue, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let token = text.trim();
    if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
        return Err(format!("{} must hold a token of 1 to {TOKEN_BYTES_MAX} bytes", file.display()));
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| format!("{} holds something that no token can have", file.display()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// What is wrong with a client's files: each an option, and why it cannot be used.
pub fn file_problems(token_file: &Path, ca_file: &Path) -> Vec<(&'static str, String)> {
    let token = (!token_file.as_os_str().is_empty()).then(|| read_token(token_file).err()).flatten();
    let token = token.map(|why| ("origin.http.token_file", why));
    token.into_iter().chain(connector(ca_file).err().map(|why| ("origin.http.ca_file", why))).collect()
}

fn connector(ca_file: &Path) -> Result<HttpsConnector<HttpConnector>, String> {
    let builder = HttpsConnectorBuilder::new();
    let builder = match ca_file.as_os_str().is_empty() {
        true => builder.with_webpki_roots(),
        false => {
            let shown = ca_file.display();
            let mut roots = rustls::RootCertStore::empty();
            let certificates = CertificateDer::pem_file_iter(ca_file).map_err(|error| format!("{shown}: {error}"))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| format!("{shown}: {error}"))?;
                roots.add(certificate).map_err(|error| format!("{shown}: {error}"))?;
            }
            if roots.is_empty() {
                return Err(format!("{shown} holds no certificate"));
            }
            let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .map_err(|error| error.to_string())?
                .with_root_certificates(roots)
                .with_no_client_auth();
            builder.with_tls_config(config)
        }
    };
    Ok(builder.https_or_http().enable_http1().build())
}
