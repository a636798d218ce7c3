//! What a server answered, as the output of a call.

use agentos_hal::PeripheralError;
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents, ServerResult};
use rmcp::service::ServiceError;

use super::shared::{Failure, Outcome};

/// The outcome of a call that was answered, or that the protocol failed.
pub(super) fn outcome(answer: Result<ServerResult, ServiceError>) -> Outcome {
    match answer {
        Ok(ServerResult::CallToolResult(result)) => of_result(result),
        Ok(_) => Err(failed("the server answered with something else than a tool's result")),
        Err(ServiceError::McpError(error)) => {
            Err(failed(format!("the server refuses the call: {} (code {})", error.message, error.code.0)))
        }
        Err(ServiceError::TransportSend(error)) => {
            let why = format!("the server cannot be reached: {}", chain(&*error.error));
            Err(Failure::new(PeripheralError::Gone, why))
        }
        Err(error) => Err(failed(error.to_string())),
    }
}

fn failed(why: impl Into<String>) -> Failure {
    Failure::new(PeripheralError::Failed, why)
}

/// An error with those that it comes from.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !told.contains(&next) {
            told = format!("{told}: {next}");
        }
        source = error.source();
    }
    told
}

fn of_result(result: CallToolResult) -> Outcome {
    let is_error = result.is_error == Some(true);
    let text = match result.structured_content {
        // What has a shape is worth more than the text that repeats it.
        Some(value) if !is_error => value.to_string(),
        _ => result.content.iter().map(block).collect::<Vec<_>>().join("\n"),
    };
    if is_error { Err(failed(text)) } else { Ok(text.into_bytes()) }
}

/// A part of an answer as text. What is no text is named.
fn block(block: &ContentBlock) -> String {
    match block {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::Image(image) => named("an image", &image.mime_type, image.data.len()),
        ContentBlock::Audio(audio) => named("a sound", &audio.mime_type, audio.data.len()),
        ContentBlock::Resource(resource) => match &resource.resource {
            ResourceContents::TextResourceContents { text, .. } => text.clone(),
            ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => {
                format!("{uri}: {}", named("a file", mime_type.as_deref().unwrap_or("unknown"), blob.len()))
            }
            _ => "(a resource of a kind that is not known here)".to_owned(),
        },
        ContentBlock::ResourceLink(link) => format!("{}: {}", link.name, link.uri),
        _ => "(a part of a kind that is not known here)".to_owned(),
    }
}

/// Four characters of base64 are three bytes.
fn named(what: &str, mime_type: &str, base64: usize) -> String {
    format!("({what} of type {mime_type}, about {} bytes, which is not shown)", base64 / 4 * 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_become_text() {
        let parts = vec![
            ContentBlock::text("one"),
            ContentBlock::image("QUJD".repeat(100), "image/png"),
            ContentBlock::embedded_text("file:///a", "two"),
        ];
        let text = "one\n(an image of type image/png, about 300 bytes, which is not shown)\ntwo";
        let answer = ServerResult::CallToolResult(CallToolResult::success(parts.clone()));
        assert_eq!(outcome(Ok(answer)), Ok(text.as_bytes().to_vec()));
        let answer = ServerResult::CallToolResult(CallToolResult::error(parts));
        assert_eq!(outcome(Ok(answer)), Err(failed(text)));
    }

    #[test]
    fn what_has_a_shape_is_taken_as_it_is() {
        let answer = CallToolResult::structured(serde_json::json!({ "celsius": 3 }));
        assert_eq!(outcome(Ok(ServerResult::CallToolResult(answer))), Ok(b"{\"celsius\":3}".to_vec()));
    }
}
