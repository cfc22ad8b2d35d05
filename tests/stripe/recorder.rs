//! A server that plays Stripe: it answers by script, in order, and remembers what it was asked.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Bytes, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::net::TcpListener;
use weighbridge::stripe::{ClientOptions, StripeClient, StripeService};

pub const SECRET: &str = "sk_test_dGhpcyBpcyBzZWNyZXQ";

/// One scripted answer.
pub enum Answer {
    Send {
        status: u16,
        headers: Vec<(&'static str, &'static str)>,
        body: String,
    },
    /// Never answers.
    Hang,
    /// Closes the connection instead of answering.
    Cut,
}

pub fn json(status: u16, body: impl Into<String>) -> Answer {
    Answer::Send { status, headers: vec![("request-id", "req_1")], body: body.into() }
}

pub fn error(status: u16) -> Answer {
    json(status, r#"{"error":{"type":"api_error","message":"scripted"}}"#)
}

impl Answer {
    pub fn with(mut self, name: &'static str, value: &'static str) -> Self {
        if let Answer::Send { headers, .. } = &mut self {
            headers.push((name, value));
        }
        self
    }
}

/// What was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    pub connection: usize,
    pub method: String,
    pub path: String,
    /// Decoded, of the query and the form together; empty where the body is JSON.
    pub params: BTreeMap<String, String>,
    pub body: String,
    pub headers: BTreeMap<String, String>,
}

impl Asked {
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    pub fn idempotency_key(&self) -> Option<&str> {
        self.headers.get("idempotency-key").map(String::as_str)
    }

    pub fn params(&self) -> Vec<(&str, &str)> {
        self.params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}

#[derive(Default)]
struct Script {
    answers: VecDeque<Answer>,
    asked: Vec<Asked>,
}

pub struct Recorder {
    pub url: String,
    script: Arc<Mutex<Script>>,
}

impl Recorder {
    /// Must be called on a tokio runtime, on which the server then runs.
    pub async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(Script { answers: answers.into_iter().collect(), asked: Vec::new() }));
        let shared = script.clone();
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let script = shared.clone();
                let service = service_fn(move |request| answer(script.clone(), connection, request));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { url, script }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.script.lock().unwrap().asked.clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.asked().iter().map(Asked::line).collect()
    }

    /// Options without waits between attempts.
    pub fn options(&self) -> ClientOptions {
        let mut options = ClientOptions::new(SECRET);
        options.base_url = self.url.clone();
        options.meter_events_base_url = format!("{}/meter-events", self.url);
        options.initial_backoff = Duration::ZERO;
        options
    }

    pub fn client(&self) -> StripeClient {
        StripeClient::new(self.options()).unwrap()
    }

    pub fn service(&self, api_version: &str) -> StripeService {
        let mut options = self.options();
        options.api_version = api_version.to_owned();
        StripeService::new(options).unwrap()
    }
}

/// Why the server closes a connection.
#[derive(Debug, thiserror::Error)]
#[error("scripted cut")]
struct CutError;

async fn answer(
    script: Arc<Mutex<Script>>,
    connection: usize,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, CutError> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let query = head.uri.query().unwrap_or_default();
    let mut params = decode(query);
    let body = String::from_utf8(body.into()).unwrap();
    if head.headers.get("content-type").is_none_or(|content_type| content_type != "application/json") {
        params.extend(decode(&body));
    }
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let asked = Asked {
        connection,
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        params,
        body,
        headers: headers.collect(),
    };
    let next = {
        let mut script = script.lock().unwrap();
        script.asked.push(asked);
        script.answers.pop_front()
    };
    match next {
        Some(Answer::Send { status, headers, body }) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            Ok(response.body(Full::from(body)).unwrap())
        }
        Some(Answer::Cut) => Err(CutError),
        Some(Answer::Hang) => std::future::pending::<Result<_, Infallible>>().await.map_err(|never| match never {}),
        // A question that the script did not foresee: refused so that no retry hides it.
        None => Ok(Response::builder().status(418).body(Full::from("the script has ended")).unwrap()),
    }
}

fn decode(form: &str) -> BTreeMap<String, String> {
    let text = |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8().unwrap().into_owned();
    let pairs = form.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap()).map(|(name, value)| (text(name), text(value))).collect()
}
