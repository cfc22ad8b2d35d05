//! What every store must do. A new one is held to it by one line, `store_conformance!(ItsFixture)`, in a module of its own.

use weighbridge::store::Store;

pub mod access;
pub mod alerts;
pub mod catalog;
pub mod charges;
pub mod credits;
pub mod customers;
pub mod event_ids;
pub mod journals;
pub mod keys;
pub mod leases;
pub mod leases_model;
pub mod limits;
pub mod model;
pub mod outbox;
pub mod periods;
pub mod previews;
pub mod rating;
pub mod spend_cap;
pub mod stripe_events;
pub mod takeover;
pub mod usage;
pub mod versions;
pub mod windows;

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
            versions {
                versions_are_read_as_they_were_given_by_every_store,
                a_version_never_changes,
                a_customer_stays_on_his_version_until_moved,
                customers_from_before_the_catalog_sign_up_to_its_first_latest_version,
                features_are_those_of_the_tier,
                the_catalogs_meters_are_counted_and_no_others,
            }
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
            spend_cap {
                a_cap_is_spent_to_the_last_digit_within_a_group,
                stores_on_one_place_spend_the_cap_between_them,
                all_meters_spend_the_same_cap,
                what_has_happened_passes_the_cap_and_counts,
                a_retry_passes_a_cap_that_is_spent,
                a_cap_holds_from_the_change_that_sets_it,
                a_period_has_a_cap_of_its_own,
                leases_of_money_leave_room_for_nobody_else,
            }
            windows {
                each_window_has_its_own_units,
                a_sliding_window_never_holds_more_than_its_limit,
                what_was_used_before_there_was_a_limit_counts,
                a_day_is_a_day_of_the_time_zone,
                leases_of_a_window_leave_room_for_nobody_else,
                leases_of_past_steps_count_while_the_window_does,
                a_clock_that_is_behind_finds_the_units_of_those_ahead,
                stores_on_one_place_share_a_window,
            }
            rating {
                an_event_pays_the_tiers_that_it_lies_in,
                the_event_that_begins_a_package_pays_it,
                a_volume_price_may_give_something_back,
                included_units_are_free_and_shared_by_the_prices_of_a_meter,
                prices_of_one_meter_are_rated_apart,
                customers_and_periods_are_rated_apart,
                what_is_not_counted_is_not_rated,
                a_journal_that_is_replayed_is_rated_once,
                an_id_is_the_same_event_at_another_price,
                a_cap_is_exact_within_tiers,
                meters_of_the_catalog_spend_the_cap,
                stores_on_one_place_rate_one_after_the_other,
                other_periods_sort_what_was_used_under_prices,
                a_price_of_an_older_version_rates_by_that_version,
                the_sum_of_the_events_is_the_invoice,
            }
            credits {
                what_is_counted_is_burnt_and_the_rest_is_owed,
                whoever_pays_beforehand_spends_to_the_last_digit,
                stores_on_one_place_spend_the_credit_between_them,
                units_that_credit_covers_cost_nothing,
                a_retry_burns_once,
                a_journal_that_is_replayed_burns_once,
                a_group_that_fails_burns_nothing,
                a_grant_is_given_once,
                a_void_ends_what_is_left,
                a_refund_is_made_once,
                an_event_of_another_time_burns_when_it_is_counted,
                a_new_anchor_gives_nothing_back_that_a_period_has_ended,
                a_new_anchor_does_not_change_the_past,
                every_balance_is_that_of_the_whole_history_from_its_beginning,
                leases_of_credit_leave_room_for_nobody_else,
                a_lease_of_credit_ends_where_time_changes_what_is_left,
                credit_for_units_and_of_others_is_not_leased,
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
                the_history_holds_each_event_once_with_its_metadata,
                an_empty_endpoint_is_none,
                a_visitor_that_fails_ends_the_visit,
            }
            periods {
                limits_are_for_a_month_from_the_anchor,
                an_anchor_sorts_what_was_used_before,
                another_time_zone_leaves_anchored_periods,
                an_anchor_decides_within_its_own_group,
                what_is_leased_for_other_periods_is_spoken_for,
                counters_equal_an_independent_count_whatever_the_anchors,
                nothing_is_counted_into_periods_that_are_over,
            }
            leases {
                a_wish_is_granted_as_needed_or_not_at_all,
                grants_shrink_towards_the_limit,
                an_answer_tells_where_the_customer_stands,
                without_a_limit_nothing_is_set_aside,
                an_unknown_customer_gets_the_default_limit_and_stays_unknown,
                what_is_leased_is_spoken_for_to_everybody_else,
                what_is_leased_is_spoken_for_within_a_group_too,
                customers_and_meters_are_leased_apart,
                a_charge_that_a_lease_pays_for_passes_at_the_limit,
                a_lease_pays_for_a_part_of_what_has_happened,
                facts_past_the_limit_end_all_grants,
                a_lower_limit_leaves_leases_and_ends_grants,
                a_higher_limit_is_granted_at_once,
                a_lease_belongs_to_its_period,
                what_is_leased_in_another_zone_is_spoken_for_in_every_month_it_touches,
                a_lease_reaches_as_far_as_the_longest_of_its_periods,
                a_wish_in_vain_recalls_what_others_hold,
                nothing_is_recalled_where_nobody_holds_anything,
                a_recall_ends_when_nothing_is_left_to_wait_for,
                a_recall_that_nobody_waits_for_ends_with_the_last_lease,
                what_one_holds_in_another_zone_is_recalled_from_oneself,
                a_lease_that_is_used_up_is_none,
                what_a_lease_does_not_hold_is_taken_from_nobody,
                holders_on_several_stores_use_up_the_limit_between_them,
            }
            journals {
                an_event_of_a_journal_is_counted_and_leaves_the_lease,
                an_event_of_a_journal_is_not_judged,
                a_journal_that_is_replayed_changes_nothing,
                every_holder_has_a_journal_of_his_own,
                a_repeated_id_settles_the_lease_and_does_not_count,
                what_was_not_paid_for_leaves_the_lease_alone,
                an_event_whose_sum_overflows_is_settled_and_not_counted,
                what_is_returned_is_exactly_what_is_not_used,
                a_taken_over_journal_gives_back_the_rest,
                a_forgotten_journal_begins_anew,
                holders_are_those_with_a_lease_or_a_journal,
                neither_leases_nor_journals_move_the_revision,
            }
            stripe_events {
                an_event_is_claimed_once_and_again_when_its_claim_has_ended,
                a_finished_event_does_nothing_again,
                an_event_that_means_nothing_is_kept,
                an_event_that_was_given_back_may_be_claimed_at_once,
                an_event_is_remembered_for_ninety_days,
                a_customer_follows_his_subscription_from_beginning_to_end,
                the_order_of_events_does_not_matter,
                what_is_late_does_not_undo_what_is_newer,
                what_was_told_before_a_customer_was_known_counts,
                metadata_name_a_customer_who_is_there,
                an_ended_subscription_gives_way_to_another_one,
                what_was_bought_is_followed_at_once,
                payments_fail_and_recover,
                several_customers_share_one_at_stripe,
                a_suspension_by_hand_stays_and_another_subscription_forgets_the_first,
                stores_on_one_place_claim_each_event_once_between_them,
                whoever_is_named_while_stripe_tells_is_not_missed,
            }
            alerts {
                a_share_of_a_limit_is_told_once_by_the_group_that_reaches_it,
                nobody_is_told_of_what_does_not_count,
                a_share_of_a_cap_is_told_by_the_last_digit_on_all_meters,
                a_share_of_credit_is_told_until_more_is_given,
                over_all_processes_each_share_is_told_once,
                an_alert_is_sent_by_one_until_it_is_delivered,
                what_was_given_up_can_be_sent_again,
                alerts_are_read_in_the_order_of_their_making_and_forgotten,
            }
            previews {
                a_time_without_a_tier_is_due_to_nobody,
                credit_that_is_burnt_late_pays_where_it_is_burnt,
                credit_for_units_is_taken_off_as_it_was_burnt,
                each_tier_is_due_for_as_long_as_it_was_held,
                a_bill_is_what_its_events_cost_whoever_said_so,
                credit_pays_what_it_has_paid_and_no_base_amount,
            }
            outbox {
                what_is_counted_is_reported_by_customer_meter_and_window,
                however_an_event_is_counted_it_is_reported_once,
                only_what_is_to_be_reported_is,
                without_a_rule_nothing_is_reported,
                a_group_that_fails_reports_nothing,
                a_report_that_was_claimed_grows_no_more,
                another_recipient_is_another_report,
                one_report_of_an_account_is_on_its_way,
                a_window_is_claimed_when_it_has_ended_or_early,
                a_claim_that_has_run_out_is_taken_over_in_doubt,
                an_attempt_leads_to_its_state,
                everybodys_turn_comes,
                the_backlog_tells_how_much_is_where,
                reports_are_paged_by_id,
                what_was_refused_is_sent_again_as_another_report,
                what_is_rejected_afterwards_is_dead,
                only_what_was_sent_is_forgotten,
                stores_on_one_place_claim_each_report_once,
                the_books_agree,
                a_report_is_divided_once,
                every_unit_is_in_exactly_one_report,
            }
            leases_model {
                no_schedule_passes_a_limit_loses_an_event_or_strands_a_unit,
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
