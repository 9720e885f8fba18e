//! Resource Manager over HTTP: requests that are tried again while that can help, and operations that take their time.

mod error;
mod link;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::TokenCredential;
use azure_core::http::headers::{HeaderName, RETRY_AFTER};
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use azure_core::http::{
    ClientOptions, Context, Method, Pipeline, PipelineSendOptions, RawResponse, Request, RetryOptions,
};
use keyside::azure::identity::{Identity, RejectionWatch};
use keyside::azure::transport::{SdkTransport, Transport};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

pub use self::error::{ArmError, Problem, Refusal};
pub(crate) use self::error::{bracketed, short, spaced};
use self::link::{Link, link, next_page};
use self::verdict::verdict;
use crate::item::Label;
use crate::retry::{Pause, Tries};

/// Where Resource Manager is, and what its tokens are for.
/// Source: <https://learn.microsoft.com/azure/azure-resource-manager/management/control-plane-and-data-plane>.
const ENDPOINT: &str = "https://management.azure.com/";
const SCOPE: &str = "https://management.azure.com/.default";

/// First and longest pause between two looks at an operation that does not say when to look again. Vaults take half a
/// minute, workspaces one.
const LOOK_FIRST: Duration = Duration::from_millis(250);
const LOOK_LAST: Duration = Duration::from_secs(5);

/// Most pages of one list, far above what any estate fills: a list that links to itself ends here.
const PAGES_MAX: usize = 1_000;

/// How long to go on.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// With a request that fails for reasons that pass.
    pub request: Duration,
    /// With an operation that Azure has begun: workspaces have been seen to take a quarter of an hour.
    pub operation: Duration,
    /// Until a right acts, or a new principal is known everywhere.
    /// Source: <https://learn.microsoft.com/azure/role-based-access-control/troubleshooting> says ten minutes.
    pub propagation: Duration,
}

/// A connection to Resource Manager.
#[derive(Debug)]
pub struct Arm {
    pipeline: Pipeline,
    endpoint: Url,
    patience: Patience,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// Whom it is about.
    pub label: &'a Label,
    /// What it does, as in "could not create".
    pub operation: &'static str,
    /// GET, PUT and so on.
    pub method: Method,
    /// The path and the query, `api-version` included.
    pub path: String,
    /// What is sent.
    pub body: Option<Value>,
    /// Codes of refusals that pass with time, and how long to wait for that.
    pub passing: Option<(&'static [&'static str], Duration)>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// What was asked, where relative links begin.
    asked: Url,
    status: u16,
    /// What it holds; null where it is empty.
    pub body: Value,
    operation: Option<String>,
    location: Option<String>,
    retry_after: Option<Duration>,
}

impl Arm {
    /// A connection as `identity`. Sends nothing.
    ///
    /// # Panics
    /// Never: the endpoint is a constant.
    #[must_use]
    pub fn new(identity: &Arc<Identity>, transport: &Arc<Transport>, patience: Patience) -> Self {
        let sdk_transport = Arc::new(SdkTransport(Arc::clone(transport)));
        let credential: Arc<dyn TokenCredential> = Arc::<Identity>::clone(identity);
        let bearer = BearerTokenAuthorizationPolicy::new(credential, [SCOPE]);
        let options = ClientOptions {
            per_try_policies: vec![Arc::new(RejectionWatch(Arc::clone(identity)))],
            // When to try again depends on Azure's codes, which the SDK does not know.
            retry: RetryOptions::none(),
            transport: Some(azure_core::http::Transport::with_policy(sdk_transport)),
            ..ClientOptions::default()
        };
        let name = (Some(env!("CARGO_PKG_NAME")), Some(env!("CARGO_PKG_VERSION")));
        let pipeline = Pipeline::new(name.0, name.1, options, Vec::new(), vec![Arc::new(bearer)], None);
        Self { pipeline, endpoint: Url::parse(ENDPOINT).expect("a constant URL"), patience }
    }

    /// How long it goes on.
    #[must_use]
    pub fn patience(&self) -> Patience {
        self.patience
    }

    /// Gets something; none where there is none.
    ///
    /// # Errors
    /// [`ArmError`], for everything but 404; for that, too, where it is the subscription that is not there.
    pub async fn get(&self, label: &Label, path: &str) -> Result<Option<Value>, ArmError> {
        let call = Call::new(label, "read", Method::Get, path.to_owned());
        match self.send(&call).await {
            Ok(answer) => Ok(Some(answer.body)),
            Err(error) if error.is_absence() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lists a collection, page after page; empty where there is none.
    ///
    /// # Errors
    /// [`ArmError`], also for a link to another host, for a list that does not end, and where the subscription is not
    /// there.
    pub async fn list(&self, label: &Label, path: &str) -> Result<Vec<Value>, ArmError> {
        let call = Call::new(label, "list", Method::Get, path.to_owned());
        let mut page = match self.send(&call).await {
            Ok(answer) => answer,
            Err(error) if error.is_absence() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut all = Vec::new();
        for _ in 0..PAGES_MAX {
            if let Some(Value::Array(items)) = page.body.get_mut("value").map(Value::take) {
                all.extend(items);
            }
            let next = next_page(&page.body, &page.asked).map_err(|problem| call.error(problem))?;
            let Some(next) = next else { return Ok(all) };
            page = self.send_to(next, &call).await?;
        }
        Err(call.error(Problem::Unusable("the list does not end")))
    }

    /// Sends a request, again and again while its failures may pass.
    ///
    /// # Errors
    /// [`ArmError`], the last one when patience ends.
    pub async fn send(&self, call: &Call<'_>) -> Result<Answer, ArmError> {
        let url =
            self.endpoint.join(&call.path).map_err(|_| call.error(Problem::Unusable("no URL can be made of it")))?;
        self.send_to(url, call).await
    }

    async fn send_to(&self, url: Url, call: &Call<'_>) -> Result<Answer, ArmError> {
        let mut tries = Tries::new(self.patience.request, Pause::new());
        loop {
            let error = match self.once(url.clone(), call).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if !tries.goes_on(&error, verdict(&error, call.passing), error.retry_after()).await {
                return Err(error);
            }
        }
    }

    async fn once(&self, url: Url, call: &Call<'_>) -> Result<Answer, ArmError> {
        let mut request = Request::new(url.clone(), call.method);
        request.insert_header("accept", "application/json");
        if let Some(body) = &call.body {
            request.insert_header("content-type", "application/json");
            request.set_body(body.to_string());
        }
        let options = Some(PipelineSendOptions { skip_checks: true, ..PipelineSendOptions::default() });
        let response = self.pipeline.send(&Context::new(), &mut request, options).await;
        let response = response.map_err(|error| call.error(error.into()))?;
        read(&response, url).map_err(|problem| call.error(problem))
    }

    /// Sends a removal and waits until it has ended; what is gone already, or goes meanwhile, is removed.
    ///
    /// # Errors
    /// [`ArmError`].
    pub async fn remove(&self, call: &Call<'_>) -> Result<(), ArmError> {
        let ended = match self.send(call).await {
            Ok(answer) => self.finish(&answer, call).await,
            Err(error) => Err(error),
        };
        ended.or_else(|error| if error.is_absence() { Ok(()) } else { Err(error) })
    }

    /// Waits until the operation that `answer` speaks of has ended, in whichever way it says so.
    ///
    /// # Errors
    /// [`ArmError`], where the operation failed, was cancelled or did not end in time.
    pub async fn finish(&self, answer: &Answer, call: &Call<'_>) -> Result<(), ArmError> {
        let Some(link) = link(answer).map_err(|problem| call.error(problem))? else { return Ok(()) };
        let start = Instant::now();
        let mut pause = Pause::between(LOOK_FIRST, LOOK_LAST);
        let mut asked = answer.retry_after;
        loop {
            self.pause(&mut pause, asked, (start, call)).await?;
            let look = Call { method: Method::Get, body: None, ..call.clone() };
            let seen = self.send_to(link.url().clone(), &look).await?;
            asked = seen.retry_after;
            match &link {
                Link::Status(_) => {
                    if error::ended(&seen.body).map_err(|problem| call.error(problem))? {
                        return Ok(());
                    }
                }
                Link::Result(_) if seen.status != 202 => return Ok(()),
                Link::Result(_) => {}
            }
        }
    }

    /// Waits until Azure is done with what is at `path`, and answers with it. What `call` has just written may not be
    /// there yet; what it only reads is.
    ///
    /// # Errors
    /// [`ArmError`], where it failed, was not ready in time, or is gone.
    pub async fn settled(&self, path: &str, call: &Call<'_>) -> Result<Value, ArmError> {
        let start = Instant::now();
        let mut pause = Pause::between(LOOK_FIRST, LOOK_LAST);
        loop {
            match self.get(call.label, path).await?.map(|document| (state(&document), document)) {
                Some((State::Ready, document)) => return Ok(document),
                Some((State::Failed(word), _)) => return Err(call.error(Problem::Ended(word))),
                None if call.method == Method::Get => return Err(call.error(Problem::Gone)),
                Some((State::UnderWay(_), _)) | None => {}
            }
            self.pause(&mut pause, None, (start, call)).await?;
        }
    }

    /// Waits until nothing is at `path` any more.
    ///
    /// # Errors
    /// [`ArmError`], where it does not go in time.
    pub async fn gone(&self, path: &str, call: &Call<'_>) -> Result<(), ArmError> {
        let start = Instant::now();
        let mut pause = Pause::between(LOOK_FIRST, LOOK_LAST);
        while self.get(call.label, path).await?.is_some() {
            self.pause(&mut pause, None, (start, call)).await?;
        }
        Ok(())
    }

    async fn pause(
        &self,
        pause: &mut Pause,
        asked: Option<Duration>,
        (start, call): (Instant, &Call<'_>),
    ) -> Result<(), ArmError> {
        let wait = pause.next(asked);
        if start.elapsed() + wait > self.patience.operation {
            return Err(call.error(Problem::Late(self.patience.operation)));
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// How far Azure is with a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It can be used; also where it does not say.
    Ready,
    /// Azure is at work on it; the word is Azure's.
    UnderWay(String),
    /// Azure gave up; the word is Azure's.
    Failed(String),
}

/// How far Azure is with the resource that `document` describes.
#[must_use]
pub fn state(document: &Value) -> State {
    match document.pointer("/properties/provisioningState").and_then(Value::as_str) {
        None | Some("Succeeded") => State::Ready,
        Some(word @ ("Failed" | "Canceled")) => State::Failed(word.to_owned()),
        Some(word) => State::UnderWay(word.to_owned()),
    }
}

impl<'a> Call<'a> {
    /// A request without a body whose refusals do not pass.
    #[must_use]
    pub fn new(label: &'a Label, operation: &'static str, method: Method, path: String) -> Self {
        Self { label, operation, method, path, body: None, passing: None }
    }

    fn error(&self, problem: Problem) -> ArmError {
        ArmError { label: self.label.clone(), operation: self.operation, problem: Box::new(problem) }
    }
}

fn read(response: &RawResponse, asked: Url) -> Result<Answer, Problem> {
    let header =
        |name: &'static str| response.headers().get_optional_str(&HeaderName::from_static(name)).map(str::to_owned);
    let status = u16::from(response.status());
    let retry_after = response.headers().get_optional_str(&RETRY_AFTER).and_then(|text| text.trim().parse().ok());
    let (operation, location) = (header("azure-asyncoperation"), header("location"));
    let request_id = header("x-ms-request-id");
    let bytes = response.body().as_ref();
    if !(200..300).contains(&status) {
        let wait = retry_after.map(Duration::from_secs);
        return Err(Problem::Refused(Refusal::read(status, bytes, (request_id, wait))));
    }
    let body = match bytes {
        [] => Value::Null,
        bytes => serde_json::from_slice(bytes).map_err(|_| Problem::Unusable("the answer is no JSON"))?,
    };
    Ok(Answer { asked, status, body, operation, location, retry_after: retry_after.map(Duration::from_secs) })
}
