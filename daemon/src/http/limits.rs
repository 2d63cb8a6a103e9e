//! The bounds of a request, with their defaults.

use std::time::Duration;

/// The smallest head buffer that the HTTP library accepts.
const HEAD_BYTES_MIN: usize = 8192;

/// What a request may be and take. Each bound has its own answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// The request line and all header fields together, to within one read of the socket. Beyond: 431.
    pub head_bytes_max: usize,
    /// Header fields. Beyond: 431.
    pub headers_max: usize,
    /// A request's body. Beyond: 413.
    pub body_bytes_max: usize,
    /// Nested arrays and objects in a JSON body. Beyond: 400.
    pub json_depth_max: usize,
    /// Metadata, a cursor, an action: what is kept and shown to others. Beyond: 422.
    pub value_bytes_max: usize,
    /// Changes in one edit. Beyond: 413.
    pub changes_max: usize,
    /// A head must be complete this long after the connection is ready for it, so this also ends idle connections.
    /// Beyond: the connection is closed.
    pub head_timeout: Duration,
    /// A body must be complete this long after its head. Beyond: 408.
    pub body_timeout: Duration,
    /// A request must be answered this long after its head. Beyond: 503.
    pub request_timeout: Duration,
    /// A client must take some bytes of its answer this often. Beyond: the connection is closed.
    pub write_timeout: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        HttpLimits {
            head_bytes_max: 32 * 1024,
            headers_max: 64,
            // As large as a WebSocket message, so that nothing is sendable by one way only.
            body_bytes_max: 256 * 1024,
            json_depth_max: 64,
            value_bytes_max: 8 * 1024,
            changes_max: 1024,
            head_timeout: Duration::from_secs(15),
            body_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
        }
    }
}

impl HttpLimits {
    /// The head buffer's size, not below what the HTTP library needs.
    pub(super) fn head_buffer_bytes(&self) -> usize {
        self.head_bytes_max.max(HEAD_BYTES_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_body_is_told_from_a_slow_hub() {
        let limits = HttpLimits::default();
        assert!(limits.body_timeout < limits.request_timeout);
    }
}
