//! Lines of access logs, as servers write them and as nobody should.

mod entry;
mod lines;
mod logs;

use weighbridge::domain::access_log::{CustomerBy, Entry, Format, Reader};

fn reader(format: Option<Format>) -> Reader {
    Reader::new(format, CustomerBy::User).expect("a reader")
}

fn read(line: &str) -> Entry<'_> {
    reader(None).read(line.as_bytes()).unwrap_or_else(|reason| panic!("{line}: {reason}"))
}

fn reason(line: &str) -> String {
    reader(None).read(line.as_bytes()).map(|entry| format!("{entry:?}")).unwrap_err().into_owned()
}
