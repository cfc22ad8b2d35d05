//! Leases: units of a limit that the store has set aside for one holder, so that he can admit without asking.
//!
//! The invariant is `used + leased ≤ limit`, per customer, meter and period, over all holders. [`grant`] proposes a size,
//! the store's own statement enforces the invariant, and an [`Allowance`] is what a holder knows and spends. A lease
//! belongs to a period: it never pays for an event of another one.

use std::sync::Arc;

use super::{Period, Standing};
use crate::{Error, Result};

/// Who holds leases: one running engine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HolderId(Arc<str>);

impl HolderId {
    /// At most 64 letters, digits and hyphens: it is also the name of a directory.
    pub fn new(id: impl Into<String>) -> Result<Self> {
        let id = id.into();
        let valid = (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if valid { Ok(Self(id.into())) } else { Err(Error::invalid(format!("{id:?} is not the id of a holder"))) }
    }

    /// For ids that the store gave back.
    pub fn from_stored(id: String) -> Self {
        Self(id.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How many units somebody would like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Fewer are of no use to him.
    pub needed: u64,
    /// For a while.
    pub wanted: u64,
}

/// What is set aside of a limit at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claims {
    /// By all holders, the asking one too.
    pub leased: u64,
    /// How many holders there are, the asking one included.
    pub holders: u64,
}

/// How many units to set aside: what is wanted, but at most half of a fair share of what is left, so that leases shrink
/// towards single units near the limit. At least what is needed, or nothing.
pub fn grant(standing: Standing, claims: Claims, wish: Wish) -> u64 {
    let Some(limit) = standing.limit else { return 0 };
    let left = limit.saturating_sub(standing.used).saturating_sub(claims.leased);
    let needed = wish.needed.max(1);
    if needed > left {
        return 0;
    }
    let share = left / claims.holders.max(1).saturating_mul(2);
    wish.wanted.min(share).max(needed)
}

/// How many units to ask for, learnt from how long the last ones lasted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseSize(u64);

/// Asking costs a share of a transaction, so a lease should last some seconds; what lies idle can be recalled at any time.
const TOO_SHORT_MILLIS: u64 = 2_000;
const TOO_LONG_MILLIS: u64 = 20_000;
const SMALLEST: u64 = 64;
const LARGEST: u64 = 65_536;

impl Default for LeaseSize {
    fn default() -> Self {
        Self(SMALLEST)
    }
}

impl LeaseSize {
    pub fn get(self) -> u64 {
        self.0
    }

    /// With no more than this left it is time to ask for the next lease, which then comes before this one ends.
    pub fn low_water(self) -> u64 {
        self.0 / 2
    }

    /// The size of the next lease, where the last one was used up within so many milliseconds.
    pub fn after(self, millis: u64) -> Self {
        match millis {
            ..TOO_SHORT_MILLIS => Self((self.0 * 2).min(LARGEST)),
            TOO_LONG_MILLIS.. => Self((self.0 / 2).max(SMALLEST)),
            _ => self,
        }
    }
}

/// What one holder knows of one customer's meter in one period, and may spend of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    pub period: Period,
    pub limit: Option<u64>,
    /// By everybody, as the store last said.
    recorded: u64,
    /// Admitted here, and not counted by the store yet.
    unsettled: u64,
    /// Held here for requests whose end is not known yet.
    held: u64,
    /// So many of these are leased; the others were held while there was no limit.
    held_leased: u64,
    /// Leased and not in use. Without a limit nothing is leased, and there is always enough.
    free: u64,
}

impl Allowance {
    pub fn new(period: Period, standing: Standing) -> Self {
        Self { period, limit: standing.limit, recorded: standing.used, unsettled: 0, held: 0, held_leased: 0, free: 0 }
    }

    /// Where the customer stands, as far as this holder knows: what other holders have admitted and not yet recorded
    /// is missing.
    pub fn standing(&self) -> Standing {
        Standing { limit: self.limit, used: self.recorded + self.unsettled + self.held }
    }

    pub fn free(&self) -> u64 {
        self.free
    }

    /// Held for requests whose end is not known yet.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Whether nothing of it is in use: neither units nor requests on their way.
    pub fn is_idle(&self) -> bool {
        self.unsettled == 0 && self.held == 0 && self.free == 0
    }

    /// Whether the limit has room for so many units more, as far as this holder knows.
    pub fn fits(&self, units: u64) -> bool {
        units == 0 || self.standing().has_room_for(units)
    }

    /// How many units are missing for these to be admitted.
    pub fn missing(&self, units: u64) -> u64 {
        if self.limit.is_none() { 0 } else { units.saturating_sub(self.free) }
    }

    /// Spends units on an event that is about to be recorded; `false` where there are not enough.
    #[must_use]
    pub fn spend(&mut self, units: u64) -> bool {
        let enough = self.take(units);
        if enough {
            self.unsettled += units;
        }
        enough
    }

    /// Sets units apart for a request whose end is not known yet.
    #[must_use]
    pub fn hold(&mut self, units: u64) -> bool {
        let enough = self.take(units);
        if enough {
            self.held += units;
            self.held_leased += if self.limit.is_some() { units } else { 0 };
        }
        enough
    }

    fn take(&mut self, units: u64) -> bool {
        if self.limit.is_none() {
            return true;
        }
        let enough = units <= self.free;
        if enough {
            self.free -= units;
        }
        enough
    }

    /// Spends as much of this as is leased on an event that is about to be recorded in any case, and answers how much that is.
    pub fn spend_some(&mut self, units: u64) -> u64 {
        let leased = units.min(self.free);
        self.free -= leased;
        self.unsettled += leased;
        leased
    }

    /// An event of so many units was not recorded: what a lease would have paid for is free again.
    pub fn unspend(&mut self, units: u64, leased: u64) {
        self.unsettled = self.unsettled.saturating_sub(units);
        self.free += leased;
    }

    /// A hold ends without an event. Which holds are leased is not known apart: those that are not count as ended first,
    /// so that no unit is ever free that is not leased.
    pub fn unhold(&mut self, units: u64) {
        self.held = self.held.saturating_sub(units);
        let freed = self.held_leased.saturating_sub(self.held);
        self.held_leased -= freed;
        self.free += freed;
    }

    /// A hold of `held` units becomes an event of `units`. Answers how many of them the lease pays for: what goes beyond
    /// has happened all the same, and is counted without.
    pub fn settle_hold(&mut self, held: u64, units: u64) -> u64 {
        self.unhold(held);
        let leased = units.min(self.free);
        self.free -= leased;
        self.unsettled += units;
        leased
    }

    /// The store has counted, or refused to count, an event of so many units.
    pub fn settled(&mut self, units: u64, recorded: u64) {
        self.unsettled = self.unsettled.saturating_sub(units);
        self.recorded = recorded;
    }

    /// The store has counted an event of so many units, or found that it was counted before. By now others may have counted
    /// more.
    pub fn counted(&mut self, units: u64, is_new: bool) {
        self.settled(units, self.recorded + if is_new { units } else { 0 });
    }

    /// The store has set aside more units.
    pub fn granted(&mut self, units: u64, recorded: u64) {
        self.free += units;
        self.recorded = recorded;
    }

    /// The store has counted something else.
    pub fn recorded(&mut self, recorded: u64) {
        self.recorded = recorded;
    }

    /// Takes out what is free, to give it back to the store.
    #[must_use]
    pub fn give_back(&mut self) -> u64 {
        std::mem::take(&mut self.free)
    }

    /// Another limit applies from now on. Answers what is to be given back to the store: what was leased under the old one.
    #[must_use]
    pub fn relimit(&mut self, limit: Option<u64>) -> u64 {
        if limit == self.limit {
            return 0;
        }
        self.limit = limit;
        self.give_back()
    }

    /// What no longer fits the limit, because something was counted that asked nobody. It is to be given back to the store.
    #[must_use]
    pub fn trim(&mut self) -> u64 {
        let Some(limit) = self.limit else { return 0 };
        let left = limit.saturating_sub(self.standing().used);
        let excess = self.free.saturating_sub(left);
        self.free -= excess;
        excess
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn standing(limit: u64, used: u64) -> Standing {
        Standing { limit: Some(limit), used }
    }

    proptest! {
        #[test]
        fn a_grant_never_passes_the_limit(
            limit in 0u64..1_000, used in 0u64..1_200, leased in 0u64..1_200, holders in 0u64..9,
            needed in 0u64..50, wanted in 0u64..5_000,
        ) {
            let granted = grant(standing(limit, used), Claims { leased, holders }, Wish { needed, wanted });
            prop_assert!(granted == 0 || u128::from(used) + u128::from(leased) + u128::from(granted) <= u128::from(limit));
            prop_assert!(granted == 0 || granted >= needed);
            // Whoever needs no more than is left gets it.
            prop_assert_eq!(granted == 0, used + leased + needed.max(1) > limit);
        }
    }

    #[test]
    fn leases_shrink_towards_the_limit() {
        let wish = Wish { needed: 1, wanted: 100 };
        let sizes: Vec<u64> = [0, 700, 900, 990, 999, 1_000]
            .map(|used| grant(standing(1_000, used), Claims { leased: 0, holders: 2 }, wish))
            .to_vec();
        assert_eq!(sizes, [100, 75, 25, 2, 1, 0]);
    }

    #[test]
    fn the_size_follows_the_rate() {
        let size = LeaseSize::default();
        assert_eq!(size.after(10).get(), 128);
        assert_eq!(size.after(5_000).get(), 64);
        assert_eq!(size.after(10).after(10).after(30_000).get(), 128);
        assert_eq!(size.after(30_000).get(), 64);
        assert_eq!((0..99).fold(size, |size, _| size.after(0)).get(), 65_536);
    }

    fn allowance(limit: Option<u64>, used: u64) -> Allowance {
        let period = Period::EVER;
        Allowance::new(period, Standing { limit, used })
    }

    #[test]
    fn what_was_held_without_a_limit_pays_for_nothing_under_one() {
        let mut allowance = allowance(None, 0);
        assert!(allowance.hold(5) && allowance.hold(3));
        assert_eq!(allowance.relimit(Some(100)), 0);
        allowance.unhold(5);
        assert_eq!(allowance.free(), 0);
        allowance.granted(4, 0);
        assert!(allowance.hold(4));
        assert_eq!(allowance.settle_hold(3, 3), 0);
        assert_eq!(allowance.settle_hold(4, 4), 4);
        assert_eq!((allowance.free(), allowance.standing().used), (0, 7));
    }

    #[test]
    fn what_was_held_under_a_limit_comes_back_without_one() {
        let mut allowance = allowance(Some(100), 0);
        allowance.granted(10, 0);
        assert!(allowance.hold(4) && allowance.hold(3) && allowance.spend(1));
        assert_eq!(allowance.relimit(None), 2);
        allowance.unhold(4);
        allowance.unspend(1, 1);
        assert!(allowance.hold(20), "there is always enough");
        assert_eq!(allowance.give_back(), 5);
        allowance.unhold(20);
        assert_eq!((allowance.give_back(), allowance.settle_hold(3, 2)), (0, 2));
        assert_eq!(allowance.give_back(), 1);
    }

    #[test]
    fn a_hold_settles_for_less_and_for_more() {
        let mut allowance = allowance(Some(100), 40);
        allowance.granted(10, 40);
        assert!(allowance.hold(8));
        assert_eq!((allowance.free(), allowance.standing().used), (2, 48));
        assert_eq!(allowance.settle_hold(8, 3), 3);
        assert_eq!((allowance.free(), allowance.standing().used), (7, 43));
        assert!(allowance.hold(5));
        assert_eq!(allowance.settle_hold(5, 20), 7);
        assert_eq!((allowance.free(), allowance.standing().used), (0, 63));
    }
}
