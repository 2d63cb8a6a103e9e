//! WebSocket frames, as much of them as a generator and a floor need: found in place and written in place.
//!
//! Nothing is allocated or copied to find a frame. Fragmented messages are refused: no server here sends them.

/// The nonce of RFC 6455's example, and the only answer that a correct server can give to it. One nonce for all
/// handshakes means that a correct upgrade is recognised without a hash.
pub const NONCE: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const NONCE_ACCEPTED: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Larger frames than this are taken for a broken stream.
pub const PAYLOAD_BYTES_MAX: usize = 16 << 20;

/// Masking protects proxies, not servers: one key does for all frames, and costs the server the same.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

/// What the bytes at the start of a buffer are.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// The frame's payload is `bytes[start..end]`; the next frame begins at `end`.
    Frame { opcode: Opcode, start: usize, end: usize, mask: Option<[u8; 4]> },
    /// Not a whole frame yet.
    Incomplete,
    /// Not a frame that this parser knows.
    Broken(&'static str),
}

/// Looks for one frame at the start of `bytes`.
pub fn find(bytes: &[u8]) -> Found {
    let [first, second, rest @ ..] = bytes else {
        return Found::Incomplete;
    };
    let opcode = match first {
        0x81 => Opcode::Text,
        0x82 => Opcode::Binary,
        0x88 => Opcode::Close,
        0x89 => Opcode::Ping,
        0x8a => Opcode::Pong,
        _ => return Found::Broken("fragmented, compressed or reserved frame"),
    };
    let (length, length_bytes) = match second & 0x7f {
        126 => match rest {
            [a, b, ..] => (u64::from(u16::from_be_bytes([*a, *b])), 2),
            _ => return Found::Incomplete,
        },
        127 => match rest {
            [a, b, c, d, e, f, g, h, ..] => (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 8),
            _ => return Found::Incomplete,
        },
        short => (u64::from(short), 0),
    };
    if length > PAYLOAD_BYTES_MAX as u64 {
        return Found::Broken("frame larger than the parser's limit");
    }
    let masked = second & 0x80 != 0;
    let mask_at = 2 + length_bytes;
    let start = mask_at + if masked { 4 } else { 0 };
    let end = start + length as usize;
    if bytes.len() < end {
        return Found::Incomplete;
    }
    let mask = masked.then(|| [bytes[mask_at], bytes[mask_at + 1], bytes[mask_at + 2], bytes[mask_at + 3]]);
    Found::Frame { opcode, start, end, mask }
}

/// Applies a mask, or takes it off.
pub fn apply_mask(payload: &mut [u8], mask: [u8; 4]) {
    let wide = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let mut words = payload.chunks_exact_mut(8);
    for word in &mut words {
        let value = u64::from_ne_bytes(word.try_into().expect("chunks_exact gives eight bytes"));
        word.copy_from_slice(&(value ^ wide).to_ne_bytes());
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= key;
    }
}

/// Appends a client's frame; `write` puts the payload at the end of the buffer.
pub fn push_masked(out: &mut Vec<u8>, opcode: Opcode, write: impl FnOnce(&mut Vec<u8>)) {
    // The length is only known afterwards, so the payload is written behind the longest header and moved down.
    let frame_at = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES_MAX]);
    let payload_at = out.len();
    write(out);
    let length = out.len() - payload_at;
    let mut header = Header::new(opcode, length);
    header.bytes[1] |= 0x80;
    header.push(&MASK);
    out[frame_at..frame_at + header.length].copy_from_slice(header.as_slice());
    out.copy_within(payload_at.., frame_at + header.length);
    out.truncate(frame_at + header.length + length);
    apply_mask(&mut out[frame_at + header.length..], MASK);
}

/// Appends a server's frame.
pub fn push_plain(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    out.extend_from_slice(Header::new(opcode, payload.len()).as_slice());
    out.extend_from_slice(payload);
}

const HEADER_BYTES_MAX: usize = 14;

struct Header {
    bytes: [u8; HEADER_BYTES_MAX],
    length: usize,
}

impl Header {
    fn new(opcode: Opcode, payload_bytes: usize) -> Self {
        let first = match opcode {
            Opcode::Text => 0x81,
            Opcode::Binary => 0x82,
            Opcode::Close => 0x88,
            Opcode::Ping => 0x89,
            Opcode::Pong => 0x8a,
        };
        let mut header = Self { bytes: [0; HEADER_BYTES_MAX], length: 0 };
        match payload_bytes {
            0..126 => header.push(&[first, payload_bytes as u8]),
            126..65_536 => {
                header.push(&[first, 126]);
                header.push(&(payload_bytes as u16).to_be_bytes());
            }
            _ => {
                header.push(&[first, 127]);
                header.push(&(payload_bytes as u64).to_be_bytes());
            }
        }
        header
    }

    fn push(&mut self, more: &[u8]) {
        self.bytes[self.length..self.length + more.len()].copy_from_slice(more);
        self.length += more.len();
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: [usize; 9] = [0, 1, 7, 8, 125, 126, 65_535, 65_536, 70_001];

    #[test]
    fn what_is_pushed_is_found_again_at_every_length_form() {
        for length in LENGTHS {
            let payload: Vec<u8> = (0..length).map(|i| i as u8).collect();

            let mut plain = Vec::new();
            push_plain(&mut plain, Opcode::Text, &payload);
            let Found::Frame { opcode, start, end, mask } = find(&plain) else { panic!("{length}") };
            assert_eq!((opcode, end, mask), (Opcode::Text, plain.len(), None));
            assert_eq!(&plain[start..end], payload);

            let mut masked = b"before".to_vec();
            push_masked(&mut masked, Opcode::Binary, |out| out.extend_from_slice(&payload));
            let frame = &mut masked[6..];
            let Found::Frame { opcode, start, end, mask } = find(frame) else { panic!("{length}") };
            assert_eq!((opcode, end), (Opcode::Binary, frame.len()));
            apply_mask(&mut frame[start..end], mask.expect("a client masks"));
            assert_eq!(&frame[start..end], payload);
            assert_eq!(&masked[..6], b"before");
        }
    }

    #[test]
    fn every_true_prefix_of_a_frame_is_incomplete() {
        for length in [0, 5, 126, 300, 65_536] {
            let mut frame = Vec::new();
            push_masked(&mut frame, Opcode::Text, |out| out.resize(out.len() + length, b'x'));
            for cut in (0..frame.len()).filter(|cut| *cut < 20 || *cut + 20 > frame.len()) {
                assert_eq!(find(&frame[..cut]), Found::Incomplete, "{length} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_frame_is_found_in_front_of_what_follows_it() {
        let mut bytes = Vec::new();
        push_plain(&mut bytes, Opcode::Ping, b"one");
        let first = bytes.len();
        push_plain(&mut bytes, Opcode::Text, b"two");
        assert_eq!(find(&bytes), Found::Frame { opcode: Opcode::Ping, start: 2, end: first, mask: None });
        let Found::Frame { start, end, .. } = find(&bytes[first..]) else { panic!() };
        assert_eq!(&bytes[first..][start..end], b"two");
    }

    #[test]
    fn fragments_reserved_bits_and_absurd_lengths_are_broken() {
        for bytes in [&[0x01, 0x00][..], &[0xc1, 0x00], &[0x83, 0x00], &[0x81, 127, 1, 0, 0, 0, 0, 0, 0, 0]] {
            assert!(matches!(find(bytes), Found::Broken(_)), "{bytes:?}");
        }
    }

    #[test]
    fn a_mask_is_its_own_inverse_and_matches_the_definition() {
        for length in 0..40 {
            let original: Vec<u8> = (0..length).map(|i| (i * 7) as u8).collect();
            let mut bytes = original.clone();
            apply_mask(&mut bytes, MASK);
            for (i, byte) in bytes.iter().enumerate() {
                assert_eq!(*byte, original[i] ^ MASK[i % 4]);
            }
            apply_mask(&mut bytes, MASK);
            assert_eq!(bytes, original);
        }
    }
}
