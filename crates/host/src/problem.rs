//! Errors as the outside sees them: RFC 9457, without internals, with the trace id by which the log can be searched.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use crate::call::Body;
use crate::component::CallError;

/// A response that says what went wrong.
pub(crate) fn response(status: StatusCode, trace_id: &str) -> Response<Body> {
    let title = status.canonical_reason().unwrap_or("Error");
    let body = serde_json::json!({
        "type": "about:blank",
        "title": title,
        "status": status.as_u16(),
        "trace_id": trace_id,
    });
    let mut response = Response::new(Body::from(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The status by which a failed call is answered.
pub(crate) fn status(error: &CallError) -> StatusCode {
    match error {
        CallError::Busy { .. } | CallError::Stopped { .. } => StatusCode::SERVICE_UNAVAILABLE,
        CallError::Overrun { .. } => StatusCode::GATEWAY_TIMEOUT,
        CallError::Request(_) => StatusCode::BAD_REQUEST,
        CallError::NotExported { .. } | CallError::Failed { .. } | CallError::NoResponse { .. } => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}
