//! What holds of every line, be it of a log or not. The fuzz target runs the same.

use weighbridge::domain::access_log::{BillOn, CustomerBy, Format, MAX_LINE_BYTES, Reader};

pub fn check(line: &[u8]) {
    let by = [CustomerBy::User, CustomerBy::Address, CustomerBy::Field("user".to_owned())];
    for format in [None, Some(Format::Common), Some(Format::Combined), Some(Format::Json)] {
        for by in &by {
            let Ok(mut reader) = Reader::new(format, by.clone()) else { continue };
            let Ok(entry) = reader.read(line) else { continue };
            assert!(line.len() <= MAX_LINE_BYTES);
            assert!((1..=255).contains(&entry.customer.len()), "{entry:?}");
            assert!(!entry.customer.chars().any(char::is_control), "{entry:?}");
            assert!(!entry.path.contains('?'), "{entry:?}");
            assert!(entry.method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-'), "{entry:?}");
            let (all, successes) = (entry.usage(BillOn::Request), entry.usage(BillOn::Success));
            assert!(all.is_some() || successes.is_none(), "{entry:?}");
            // What was read before does not matter.
            assert_eq!(reader.read(line), Ok(entry.clone()));
            // Who is not told how lines are written finds out what they say.
            let mut unaided = Reader::new(None, by.clone()).expect("a reader");
            if format != Some(Format::Json) || line.starts_with(b"{") {
                assert_eq!(unaided.read(line), Ok(entry));
            }
        }
    }
}
