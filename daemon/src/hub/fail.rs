//! Why something that was asked for was not done: a registered code and a sentence.

use arxosrt_core::wire::code::ErrorCode;

/// Why a message was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fail {
    /// The registered code.
    pub code: ErrorCode,
    /// For people: the value and the limit.
    pub detail: String,
}

impl Fail {
    /// A failure with its sentence.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Fail { code, detail: detail.into() }
    }
}
