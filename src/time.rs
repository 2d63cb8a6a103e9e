//! Two clocks, never mixed: [`Mono`] decides, [`Wall`] is shown.
//!
//! The core never reads a clock; both times come in with each input. Deadlines are compared on the monotonic clock
//! only, so a jump of the wall clock changes no lease.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Milliseconds on a monotonic clock with an arbitrary origin. Meaningful within one run of the process only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub u64);

impl Mono {
    /// This time plus `ms`, saturating.
    pub fn plus(self, ms: u64) -> Mono {
        Mono(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this time, or 0 when `earlier` is later.
    pub fn since(self, earlier: Mono) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z by the wall clock. For people and for the log, never for deadlines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Wall(pub i64);

/// The length of an RFC 3339 time in UTC with milliseconds: `2026-11-24T04:36:09.123Z`.
pub const RFC3339_LEN: usize = 24;

impl Wall {
    /// This time plus `ms`, saturating.
    pub fn plus(self, ms: u64) -> Wall {
        Wall(self.0.saturating_add_unsigned(ms))
    }

    /// The time as RFC 3339 in UTC with milliseconds. Times outside the years 0 to 9999 are clamped to them.
    ///
    /// The calendar is Howard Hinnant's `civil_from_days`.
    pub fn rfc3339(self) -> [u8; RFC3339_LEN] {
        let ms = self.0.clamp(-62_167_219_200_000, 253_402_300_799_999);
        let (days, in_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = doy - (153 * mp + 2) / 5 + 1;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = yoe + era * 400 + i64::from(month <= 2);
        let mut out = *b"0000-00-00T00:00:00.000Z";
        let mut put = |at: usize, width: usize, value: i64| {
            let mut rest = value;
            for i in (at..at + width).rev() {
                out[i] = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        };
        put(0, 4, year);
        put(5, 2, month);
        put(8, 2, day);
        put(11, 2, in_day / 3_600_000);
        put(14, 2, in_day / 60_000 % 60);
        put(17, 2, in_day / 1000 % 60);
        put(20, 3, in_day % 1000);
        out
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.rfc3339();
        f.write_str(std::str::from_utf8(&text).expect("digits and punctuation are ASCII"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_times_are_rfc3339_in_utc() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_495_569_123, "2026-11-24T04:46:09.123Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (i64::MAX, "9999-12-31T23:59:59.999Z"),
            (i64::MIN, "0000-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(Wall(ms).to_string(), text, "{ms}");
        }
    }
}
