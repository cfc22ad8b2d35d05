/// <reference path="../../../node_modules/stripe17/types/index.d.ts" />
import type Stripe from 'stripe'

/** The same for the requests that API versions from 2025-03-31.basil on no longer have. */
export interface Requests {
  'POST /v1/subscription_items/{id}/usage_records': Stripe.SubscriptionItemCreateUsageRecordParams
  'GET /v1/subscription_items/{id}/usage_record_summaries': Stripe.SubscriptionItemListUsageRecordSummariesParams
}
