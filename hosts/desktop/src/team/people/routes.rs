//! What is answered to which request.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::board::{Board, MOST_ANSWER_BYTES};
use super::guard::Guard;
use super::refusal::Refusal;

/// Most bytes of a body: an answer of which every byte is escaped, and what stands around it.
const MOST_BODY_BYTES: usize = 6 * MOST_ANSWER_BYTES + 1024;

type Answered = Result<Json<Value>, Refusal>;
type Body = Result<Bytes, BytesRejection>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    answer: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    #[serde(default)]
    words: String,
}

/// All requests to a board, each past the guard first.
pub(super) fn routes(board: Board, guard: Guard) -> Router {
    let wrong_method =
        || async { Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method", "GET lists, POST does something") };
    let nowhere = || async {
        let there_is = "there are /questions, /questions/ID, /pause and /resume";
        Refusal::new(StatusCode::NOT_FOUND, "path", there_is)
    };
    Router::new()
        .route("/questions", get(list))
        .route("/questions/{id}", post(answer))
        .route("/pause", post(pause))
        .route("/resume", post(resume))
        .method_not_allowed_fallback(wrong_method)
        .fallback(nowhere)
        .layer(DefaultBodyLimit::max(MOST_BODY_BYTES))
        .layer(from_fn_with_state(guard, past))
        .with_state(board)
}

async fn past(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match guard.check(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

async fn list(State(board): State<Board>) -> Json<Value> {
    Json(board.shown())
}

async fn answer(State(board): State<Board>, id: Result<Path<u64>, PathRejection>, body: Body) -> Answered {
    let Path(id) =
        id.map_err(|_| Refusal::new(StatusCode::NOT_FOUND, "unknown", "a question's id is a number"))?;
    let Answer { answer } = read(body, "{\"answer\": TEXT}")?;
    board.answer(id, answer)?;
    Ok(Json(json!({ "answered": id })))
}

async fn pause(State(board): State<Board>, body: Body) -> Answered {
    let Nothing {} = read(body, "{}")?;
    board.pause()?;
    Ok(Json(json!({ "paused": true })))
}

async fn resume(State(board): State<Board>, body: Body) -> Answered {
    let Words { words } = read(body, "{} or {\"words\": TEXT}")?;
    board.resume(words)?;
    Ok(Json(json!({ "paused": false })))
}

/// The JSON of a body.
fn read<T: DeserializeOwned>(body: Body, form: &str) -> Result<T, Refusal> {
    let body = body.map_err(|rejection| match rejection.status() {
        status @ StatusCode::PAYLOAD_TOO_LARGE => {
            Refusal::new(status, "too_long", format!("a body of {MOST_BODY_BYTES} bytes would fit"))
        }
        status => Refusal::new(status, "body", rejection.body_text()),
    })?;
    serde_json::from_slice(&body).map_err(|error| {
        let message = format!("the body is not {form}: {error}");
        Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "body", message)
    })
}
