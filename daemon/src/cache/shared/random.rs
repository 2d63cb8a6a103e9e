//! Random bytes for tests that want the same ones again.

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    /// The seed of this run: `ARXOSRT_SEED`, or another each time.
    pub fn seed() -> u64 {
        match std::env::var("ARXOSRT_SEED") {
            Ok(text) => text.parse().expect("ARXOSRT_SEED is a number"),
            Err(_) => std::process::id().into(),
        }
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// Changes some bytes, cuts, or appends.
    pub fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            match self.below(4) {
                0 => bytes.truncate(self.below(bytes.len() + 1)),
                1 => bytes.extend((0..self.below(20)).map(|at| at as u8)),
                _ if bytes.is_empty() => {}
                2 => {
                    let at = self.below(bytes.len());
                    bytes[at] = self.next() as u8;
                }
                _ => {
                    let at = self.below(bytes.len());
                    bytes[at] ^= 1 << self.below(8);
                }
            }
        }
    }
}
