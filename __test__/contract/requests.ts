import type Stripe from 'stripe'
// The package does not export this one by name.
import type { V2 } from '../../node_modules/stripe/cjs/resources/V2/Billing/MeterEventStream'

/** The parameters of each request that Weighbridge can send, as the types of Stripe's own package have them. */
export interface Requests {
  'POST /v1/customers': Stripe.CustomerCreateParams
  'GET /v1/customers/{id}': Stripe.CustomerRetrieveParams
  'POST /v1/subscriptions': Stripe.SubscriptionCreateParams
  'GET /v1/subscriptions/{id}': Stripe.SubscriptionRetrieveParams
  'POST /v1/subscriptions/{id}': Stripe.SubscriptionUpdateParams
  'DELETE /v1/subscriptions/{id}': Stripe.SubscriptionCancelParams
  'GET /v1/subscription_items': Stripe.SubscriptionItemListParams
  'POST /v1/checkout/sessions': Stripe.Checkout.SessionCreateParams
  'POST /v1/billing_portal/sessions': Stripe.BillingPortal.SessionCreateParams
  'POST /v1/invoices/create_preview': Stripe.InvoiceCreatePreviewParams
  'GET /v1/products/{id}': Stripe.ProductRetrieveParams
  'POST /v1/products': Stripe.ProductCreateParams
  'GET /v1/prices': Stripe.PriceListParams
  'POST /v1/prices': Stripe.PriceCreateParams
  'GET /v1/billing/meters': Stripe.Billing.MeterListParams
  'GET /v1/billing/meters/{id}': Stripe.Billing.MeterRetrieveParams
  'POST /v1/billing/meters': Stripe.Billing.MeterCreateParams
  'GET /v1/billing/meters/{id}/event_summaries': Stripe.Billing.MeterListEventSummariesParams
  'POST /v1/billing/meter_events': Stripe.Billing.MeterEventCreateParams
  'POST /v1/billing/meter_event_adjustments': Stripe.Billing.MeterEventAdjustmentCreateParams
  'POST /v2/billing/meter_event_session': Record<string, never>
  'POST /v2/billing/meter_event_stream': V2.Billing.MeterEventStreamCreateParams
}
