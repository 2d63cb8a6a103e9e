//! The preloader: where will people go next, and what of it is worth loading before they ask?
//!
//! This module predicts and decides; it loads nothing and knows no clock.
