//! What becomes of credit, unit by unit: each quarter is a thing of its own that lies somewhere, and each that is used knows
//! who paid for it. Time is walked through tick by tick.

use std::collections::BTreeMap;

use weighbridge::domain::credit::OverageAtReset;

use crate::world::{Deed, FEBRUARY, Recurs, Spec, World};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Left,
    Burnt,
    Expired,
    Voided,
}

#[derive(Debug)]
struct Unit {
    grant: char,
    place: Place,
    /// Where it goes if it is given back.
    home: Place,
}

/// Something used, and who paid for it: a unit, or the bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Payer {
    Nobody,
    Unit(usize),
    Bill,
}

#[derive(Debug, Default)]
pub struct Oracle {
    units: Vec<Unit>,
    /// The last paid one is last; whoever is not paid is behind all.
    uses: Vec<Payer>,
}

/// Quarters in each place, by grant, of those that have begun.
pub type Counts = BTreeMap<char, [u64; 4]>;

impl Oracle {
    /// The world up to an instant: with its changes, but before its deeds.
    pub fn at(world: &World, end: i64) -> Self {
        let mut oracle = Self::default();
        for tick in 0..=end {
            oracle.change(world, tick);
            if tick == end {
                break;
            }
            for (_, deed) in world.deeds.iter().filter(|(at, _)| *at == tick) {
                match *deed {
                    Deed::Use(quarters) => {
                        for _ in 0..quarters {
                            oracle.uses.push(Payer::Nobody);
                            oracle.pay(world);
                        }
                    }
                    Deed::Refund(quarters) => (0..quarters).for_each(|_| oracle.refund()),
                }
            }
        }
        oracle
    }

    pub fn counts(&self, world: &World, end: i64) -> Counts {
        let begun = world
            .grants
            .iter()
            .filter(|grant| grant.effective <= end && grant.voided.is_none_or(|voided| voided > grant.effective));
        let count = |id, place| self.units.iter().filter(|unit| unit.grant == id && unit.place == place).count() as u64;
        let places = [Place::Left, Place::Burnt, Place::Expired, Place::Voided];
        begun.map(|grant| (grant.id, places.map(|place| count(grant.id, place)))).collect()
    }

    pub fn owed(&self) -> u64 {
        self.uses.iter().filter(|payer| **payer == Payer::Nobody).count() as u64
    }

    pub fn billed(&self) -> u64 {
        self.uses.iter().filter(|payer| **payer == Payer::Bill).count() as u64
    }

    fn change(&mut self, world: &World, tick: i64) {
        for grant in &world.grants {
            let is_voided_first =
                grant.voided.is_some_and(|voided| grant.expires.is_none_or(|expires| voided < expires));
            if is_voided_first && grant.voided == Some(tick) {
                self.lapse(grant.id, Place::Voided);
            } else if !is_voided_first && grant.expires == Some(tick) {
                self.lapse(grant.id, Place::Expired);
            }
        }
        if world.resets.contains(&tick) {
            world.grants.iter().filter(|grant| grant.effective < tick && counts_at(grant, tick)).for_each(|grant| {
                if let Some((minimum, maximum)) = grant.rollover {
                    self.roll_over(grant.id, minimum, maximum.unwrap_or(u64::MAX));
                }
            });
            if world.at_reset == OverageAtReset::Bill {
                self.uses.iter_mut().filter(|payer| **payer == Payer::Nobody).for_each(|payer| *payer = Payer::Bill);
            }
        }
        for grant in world.grants.iter().filter(|grant| counts_at(grant, tick)) {
            if grant.effective == tick || (grant.effective < tick && recurs_at(grant, tick)) {
                self.lapse(grant.id, Place::Expired);
                for _ in 0..grant.amount {
                    self.units.push(Unit { grant: grant.id, place: Place::Left, home: Place::Left });
                }
            }
        }
        self.pay(world);
    }

    fn lapse(&mut self, grant: char, place: Place) {
        for unit in self.units.iter_mut().filter(|unit| unit.grant == grant) {
            if unit.place == Place::Left {
                unit.place = place;
            }
            if unit.home == Place::Left {
                unit.home = place;
            }
        }
    }

    /// A unit that was burnt is worth something to its grant if the grant would have more with it.
    fn roll_over(&mut self, grant: char, minimum: u64, maximum: u64) {
        let mut left: Vec<usize> = (0..self.units.len())
            .filter(|index| self.units[*index].grant == grant && self.units[*index].place == Place::Left)
            .collect();
        let rolled = |left: u64| maximum.min(minimum.max(left));
        let mut would_have = left.len() as u64;
        for payer in self.uses.iter().rev() {
            let Payer::Unit(index) = *payer else { continue };
            let unit = &mut self.units[index];
            if unit.grant != grant || unit.home != Place::Left {
                continue;
            }
            if rolled(would_have + 1) == rolled(would_have) {
                unit.home = Place::Expired;
            }
            would_have += 1;
        }
        let goal = rolled(left.len() as u64) as usize;
        for _ in left.len()..goal {
            self.units.push(Unit { grant, place: Place::Left, home: Place::Left });
        }
        for index in left.drain(goal.min(left.len())..) {
            self.units[index].place = Place::Expired;
        }
    }

    /// Each use that nobody has paid takes the first unit in the burning order.
    fn pay(&mut self, world: &World) {
        let rank = |id: char| {
            let grant = world.grants.iter().find(|grant| grant.id == id).expect("its grant");
            (grant.priority, grant.expires.unwrap_or(i64::MAX), grant.created, grant.id)
        };
        while let Some(first_unpaid) = self.uses.iter().position(|payer| *payer == Payer::Nobody) {
            let left = (0..self.units.len()).filter(|index| self.units[*index].place == Place::Left);
            let Some(unit) = left.min_by_key(|index| rank(self.units[*index].grant)) else { return };
            self.units[unit].place = Place::Burnt;
            self.uses[first_unpaid] = Payer::Unit(unit);
        }
    }

    fn refund(&mut self) {
        if let Some(Payer::Unit(unit)) = self.uses.pop() {
            self.units[unit].place = self.units[unit].home;
        }
    }
}

fn counts_at(grant: &Spec, tick: i64) -> bool {
    grant.effective <= tick
        && grant.expires.is_none_or(|expires| tick < expires)
        && grant.voided.is_none_or(|voided| tick < voided)
}

fn recurs_at(grant: &Spec, tick: i64) -> bool {
    match &grant.recurs {
        None => false,
        Some(Recurs::Daily) => tick % 4 == 0,
        Some(Recurs::DailyInDhaka) => tick % 4 == 3,
        Some(Recurs::Monthly) => tick == FEBRUARY,
        Some(Recurs::At(ticks)) => ticks.contains(&tick),
    }
}
