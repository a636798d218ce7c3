//! How a request is refused: as JSON, with a kind for programs and a message for people.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::board::AnswerError;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// For programs: it stays the same.
    pub(super) kind: &'static str,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { status, kind, message: message.into() }
    }
}

impl From<AnswerError> for Refusal {
    fn from(error: AnswerError) -> Refusal {
        let (status, kind) = match error {
            AnswerError::Unknown { .. } => (StatusCode::NOT_FOUND, "unknown"),
            AnswerError::Closed { .. } => (StatusCode::CONFLICT, "closed"),
            AnswerError::Option { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "option"),
            AnswerError::TooLong { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_long"),
            AnswerError::Paused => (StatusCode::CONFLICT, "paused"),
            AnswerError::NotPaused => (StatusCode::CONFLICT, "not_paused"),
        };
        Refusal::new(status, kind, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Refusal { status, kind, message } = self;
        (status, Json(json!({ "error": { "kind": kind, "message": message } }))).into_response()
    }
}
