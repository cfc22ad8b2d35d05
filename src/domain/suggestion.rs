//! "Did you mean …?"

/// How alike two names must be, from 0 to 1, for one to be taken for a slip of the other.
const SIMILAR: f64 = 0.85;

/// The known name that a misspelt one was probably meant to be.
pub fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&name.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// What to do about a name that is not among the known ones, which `all` introduces: the one that was probably meant, or all.
pub fn advice<'a>(name: &str, all: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match closest(name, known.iter().copied()) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None if known.is_empty() => format!("{all}: none"),
        None => format!("{all}: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let known = ["timeZone", "tiers", "store"];
        assert_eq!(closest("timezone", known), Some("timeZone"));
        assert_eq!(closest("tier", known), Some("tiers"));
        assert_eq!(closest("colour", known), None);
        assert_eq!(closest("unitAmount", ["flatAmount"]), None);
    }
}
