//! Recorded walks: what does loading ahead gain, and what does it cost?
