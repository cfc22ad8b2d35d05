//! What every store must do. A new one is held to it by one line, `store_conformance!(ItsFixture)`, in a module of its own.

use weighbridge::store::Store;

pub mod access;
pub mod catalog;
pub mod charges;
pub mod customers;
pub mod event_ids;
pub mod keys;
pub mod limits;
pub mod model;
pub mod takeover;
pub mod usage;

/// A place for a store.
pub trait Fixture: Sync {
    /// A fresh, empty place.
    fn new() -> Self
    where
        Self: Sized;

    /// Opens a store there, once more each time it is called, as another process would.
    fn open(&self) -> Box<dyn Store>;
}

/// Makes each case of the suite a test of its own. A case that is missing here is dead code, which clippy refuses.
macro_rules! store_conformance {
    ($fixture:ty) => {
        store_conformance! { $fixture:
            charges {
                ten_times_a_tenth_is_one,
                meters_are_counted_apart,
                the_standing_tells_what_is_used_after_the_charge,
                an_id_counts_once_within_a_group,
                an_id_counts_once_across_groups_stores_and_reopening,
                an_id_at_another_time_is_the_same_event,
                an_id_of_another_customer_is_another_event,
                an_id_with_other_contents_is_refused,
                events_without_an_id_are_all_counted,
                a_sum_of_units_that_overflows_is_refused_alone,
                a_sum_of_money_that_overflows_is_refused_alone,
                a_refused_change_leaves_its_neighbours,
                an_empty_group_changes_nothing,
            }
            event_ids {
                an_id_is_remembered_for_35_days,
                a_clock_that_leaps_ahead_for_a_moment_makes_nothing_forgotten,
                a_clock_that_is_set_back_makes_nothing_forgotten,
                the_ids_of_a_huge_group_count_once,
                a_group_that_fails_claims_none_of_its_ids,
                stores_on_one_place_count_each_id_once_between_them,
                what_is_remembered_agrees_with_an_independent_memory,
            }
            limits {
                the_limit_is_admitted_exactly_within_a_group,
                the_limit_is_admitted_exactly_across_groups,
                stores_on_one_place_admit_the_limit_between_them,
                several_units_are_admitted_whole_or_not_at_all,
                what_has_happened_is_recorded_past_the_limit,
                a_retry_is_let_through_at_the_limit,
                a_limit_of_zero_admits_nothing,
                customers_and_meters_have_limits_of_their_own,
                without_a_tier_the_default_limits_apply,
                a_change_of_tier_changes_the_limit_at_once,
                the_event_time_decides_the_month,
            }
            access {
                an_unknown_key_is_refused,
                a_revoked_key_is_refused_from_the_very_next_charge_on,
                a_key_is_refused_from_the_instant_it_expires,
                a_suspended_customer_is_refused_but_facts_still_count,
                a_required_tier_admits_itself_and_higher_ones,
                the_key_is_judged_before_the_customer_the_tier_and_the_limit,
                a_refused_charge_leaves_no_trace,
            }
            keys {
                a_key_is_found_by_its_hash_with_its_customer,
                a_new_key_leaves_an_existing_customer_alone,
                a_secret_is_a_key_only_once,
                keys_are_listed_the_oldest_first_and_revoked_ones_too,
                revoking_twice_keeps_the_first_time,
                unknown_keys_are_neither_revoked_nor_rotated,
                rotating_without_overlap_ends_the_old_key_at_once,
                rotating_with_overlap_lets_the_old_key_live_until_then,
                rotating_never_lengthens_a_life,
                a_dead_key_is_not_rotated,
                rotating_to_a_secret_that_exists_changes_nothing,
            }
            customers {
                an_upsert_changes_what_it_names_and_nothing_else,
                an_unknown_tier_is_refused_and_creates_nobody,
                an_unknown_customer_is_nobody,
                customers_are_paged_by_id,
                an_event_creates_its_customer_once,
            }
            catalog {
                a_new_store_has_no_tiers_and_counts_in_utc,
                a_catalog_is_read_as_it_was_written_by_every_store,
                tiers_in_use_stay_below_the_listed_ones,
                the_revision_grows_with_every_change_that_caches_depend_on,
                the_revision_stands_still_otherwise,
                a_new_time_zone_sorts_the_counters_again,
                a_new_time_zone_decides_within_its_own_group,
            }
            takeover {
                a_stretch_is_taken_over_only_where_the_store_stands,
                files_are_taken_over_apart,
                customers_come_into_being_without_an_event,
                of_two_stores_one_takes_a_stretch_over,
                a_stretch_that_overflows_is_not_taken_over_even_in_part,
            }
            usage {
                an_hour_is_one_row_for_each_customer_meter_and_endpoint,
                spans_are_half_open,
                one_customer_is_visited_alone,
                an_empty_endpoint_is_none,
                a_visitor_that_fails_ends_the_visit,
            }
            model {
                rollups_events_and_counters_equal_an_independent_count,
            }
        }
    };
    ($fixture:ty: $($topic:ident { $($case:ident,)+ })+) => {
        $(mod $topic {
            use super::*;

            $(#[test]
            fn $case() {
                let place = <$fixture as crate::conformance::Fixture>::new();
                crate::conformance::$topic::$case(&place);
            })+
        })+
    };
}
