//! Message boundaries of a gRPC body, however the body is cut into chunks.
#![no_main]

use libfuzzer_sys::fuzz_target;
use router::wire::framing::{FramingError, Meter, PREFIX, Prefix, frame};

const LIMIT: usize = 4096;

/// The same rules over the whole body at once.
fn whole(mut body: &[u8]) -> Result<(), FramingError> {
    while !body.is_empty() {
        let Some((prefix, rest)) = body.split_first_chunk::<PREFIX>() else {
            return Err(FramingError::Truncated);
        };
        let prefix = Prefix::parse(*prefix)?;
        if prefix.length > LIMIT {
            return Err(FramingError::TooLarge {
                length: prefix.length,
                limit: LIMIT,
            });
        }
        body = rest.get(prefix.length..).ok_or(FramingError::Truncated)?;
    }
    Ok(())
}

fn chunked(body: &[u8], size: usize) -> Result<(), FramingError> {
    let mut meter = Meter::new(LIMIT);
    for chunk in body.chunks(size) {
        meter.feed(chunk)?;
    }
    meter.finish()
}

fuzz_target!(|data: &[u8]| {
    let Some((size, body)) = data.split_first() else {
        return;
    };
    let expected = whole(body);
    for size in [usize::from(*size).max(1), 1, body.len().max(1)] {
        assert_eq!(chunked(body, size), expected, "in chunks of {size}");
    }
    if let Some((prefix, _)) = body.split_first_chunk::<PREFIX>()
        && let Ok(parsed) = Prefix::parse(*prefix)
    {
        assert_eq!(parsed.to_bytes(), *prefix);
    }
    let framed = frame(body);
    assert_eq!(framed.get(PREFIX..), Some(body));
    if body.len() <= LIMIT {
        assert_eq!(chunked(&framed, usize::from(*size).max(1)), Ok(()));
    }
});
