//! "Did you mean …?"

use napi_derive::napi;

const SIMILAR: f64 = 0.75;

/// The known name that a misspelt one was probably meant to be.
#[napi(catch_unwind, ts_return_type = "string | null")]
pub fn closest(name: String, known: Vec<String>) -> Option<String> {
    let similarity = |candidate: &String| strsim::jaro_winkler(&name.to_lowercase(), &candidate.to_lowercase());
    known
        .into_iter()
        .map(|candidate| (similarity(&candidate), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let known = || ["timeZone", "tiers", "store"].map(str::to_owned).to_vec();
        assert_eq!(closest("timezone".into(), known()).as_deref(), Some("timeZone"));
        assert_eq!(closest("tier".into(), known()).as_deref(), Some("tiers"));
        assert_eq!(closest("colour".into(), known()), None);
    }
}
