//! Recorded usage priced by a catalog: previews of invoices and simulations, against an oracle that looks at every single event
//! and calculates in rational numbers.

#[path = "../rating/oracle.rs"]
#[expect(dead_code, reason = "the tests of prices use all of it")]
mod oracle;
#[path = "../invoice/prices.rs"]
mod prices;
#[path = "../support/mod.rs"]
mod support;
mod terms;
mod world;

use proptest::prelude::*;
use weighbridge::domain::{Decimal, Rounding, Timestamp};
use weighbridge::engine::invoices::{self, Preview};
use weighbridge::engine::simulation::{self, Plan};
use weighbridge::store::Store;

use oracle::{integer, rational};
use world::World;

fn preview(world: &World, customer: &str, at: Timestamp) -> Preview {
    let question = invoices::Question {
        customer_id: support::customer_id(customer),
        at,
        tier: Some(world.catalog().tiers()[world.tier_of(customer)].id.clone()),
        catalog: Some(world.catalog()),
        held: None,
        credits: Vec::new(),
    };
    invoices::preview(&world.store, &world.store.catalog().unwrap(), &question).unwrap().expect("a customer")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_preview_is_the_sum_of_the_period_s_events(world in World::arbitrary(), event in any::<prop::sample::Index>()) {
        let event = event.get(&world.events);
        let preview = preview(&world, &event.customer, event.at());
        let expected = world.period(&event.customer, event.at());
        let period = preview.tally.period;
        prop_assert_eq!((period.start.as_millis(), period.end.as_millis()), expected.bounds);
        prop_assert_eq!(preview.tally.events, expected.events);
        prop_assert_eq!(preview.tally.unpriced_events, expected.unpriced_events);
        prop_assert_eq!(support::trillionths(preview.tally.cost), expected.cost);
        prop_assert_eq!(rational(&preview.invoice.subtotal().to_string()), expected.due(&world, None));
        prop_assert_eq!(preview.missing_events, 0);
        let unknown: u64 = preview.tally.unknown.iter().map(|row| row.usage.quantity.to_string().parse::<u64>().unwrap()).sum();
        prop_assert_eq!(unknown, expected.unknown_units);
    }

    #[test]
    fn a_simulation_is_the_sum_of_all_previews(
        world in World::arbitrary(),
        other in World::arbitrary(),
        span in world::span(),
        against_catalog in any::<bool>(),
    ) {
        let plan = |world: &World| Plan { catalog: world.catalog(), assignment: world.assignment() };
        let baseline = against_catalog.then(|| plan(&other));
        let question = simulation::Question { plan: plan(&world), baseline, span };
        let settings = world.store.catalog().unwrap();
        let answer = simulation::simulate(&world.store, &settings, &question).unwrap();
        let simulation = answer.simulation;
        let (mut old_sum, mut new_sum, mut events) = (integer(0), integer(0), 0);
        let (mut winners, mut losers) = ((0, integer(0)), (0, integer(0)));
        let expected = world.customers_in(span);
        prop_assert_eq!(simulation.customers.len(), expected.len());
        for (outcome, (customer, periods)) in simulation.customers.iter().zip(&expected) {
            prop_assert_eq!(outcome.id.as_ref(), customer.as_str());
            prop_assert_eq!(outcome.periods as usize, periods.len());
            let new = periods.iter().fold(integer(0), |sum, period| sum + period.due(&world, Some(span)));
            let old = periods.iter().fold(integer(0), |sum, period| {
                sum + if against_catalog { period.due(&other, Some(span)) } else { period.recorded_cost() }
            });
            prop_assert_eq!(rational(&outcome.new.to_string()), new.clone());
            prop_assert_eq!(rational(&outcome.old.as_ref().unwrap().to_string()), old.clone());
            events += periods.iter().map(|period| period.events).sum::<u64>();
            if new != old {
                let side = if new < old { &mut winners } else { &mut losers };
                side.0 += 1;
                side.1 += if new < old { &old - &new } else { &new - &old };
            }
            old_sum += old;
            new_sum += new;
        }
        prop_assert_eq!(simulation.events, events);
        prop_assert_eq!(rational(&simulation.new.to_string()), new_sum);
        prop_assert_eq!(rational(&simulation.old.unwrap().to_string()), old_sum);
        prop_assert_eq!((simulation.winners.customers, rational(&simulation.winners.amount.to_string())), winners);
        prop_assert_eq!((simulation.losers.customers, rational(&simulation.losers.amount.to_string())), losers);
        prop_assert!(simulation.unassigned.is_empty());
        prop_assert_eq!(answer.missing_events, 0);
    }
}

/// The gate, the preview and the simulation have no other way to a price than `quote`.
#[test]
fn quote_preview_and_simulation_say_the_same() {
    let world = World::example();
    let at = world.events[0].at();
    let catalog = world.catalog();
    let preview = preview(&world, "ann", at);
    let quoted: Decimal = preview
        .tally
        .usage
        .iter()
        .map(|row| {
            let price = row.price.as_deref().and_then(|id| catalog.price(id)).expect("every event has a price");
            price.price.quote(&row.usage).amount()
        })
        .sum();
    assert_eq!(quoted, preview.invoice.subtotal());
    let question = simulation::Question {
        plan: Plan { catalog, assignment: world.assignment() },
        baseline: None,
        span: preview.tally.period,
    };
    let simulation = simulation::simulate(&world.store, &world.store.catalog().unwrap(), &question).unwrap().simulation;
    assert_eq!(simulation.new, preview.invoice.total());
    assert_eq!(
        preview.invoice.payable(Rounding::default()),
        preview.invoice.currency.round(&quoted, Rounding::default())
    );
}
