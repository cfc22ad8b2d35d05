import { Billing } from './billing.js'
import { defaultEngine } from './defaultEngine.js'
import type { BillingHandler } from './express.js'
import { createLazyMiddleware, type MiddlewareOptions } from './middleware.js'
import { StripeService } from './stripeService.js'
import { UsageTracker } from './usageTracker.js'

export {
  type AccessLogPlan,
  type AccessLogQuestion,
  type AccessLogSimulation,
  type BadLine,
  simulateAccessLog,
} from './accessLog.js'
export type { ActionLogger } from './actionLog.js'
export { type Alert, type AlertPage, type AlertQuery, Alerts, type AlertState } from './alerts.js'
export type { AlertReceiver } from './alertSender.js'
export { type ApiKeyOptions, ApiKeys, type CreatedApiKey, type KeyVerification } from './apiKeys.js'
export { type BillingOptions } from './billing.js'
export { BillingStripe, type BillingStripeOptions } from './billingStripe.js'
export { type PostgresOptions } from './engine.js'
export type {
  ApiKey,
  Customer,
  JournalReport,
  StripeEventRecord,
  TakeoverReport,
  UsageBacklog,
  UsageReport,
  UsageRow,
} from './binding.js'
export {
  type EndpointPricing,
  endpointPricing,
  type PricingOptions,
  type SubscriptionTier,
  subscriptionTiers,
} from './catalog.js'
export {
  type Catalog,
  type CatalogLimit,
  type CatalogPrice,
  type CatalogRoute,
  type CatalogTier,
  checkCatalog,
  type CheckedCatalog,
  type CheckedTier,
  type IncludedUnits,
  type LimitWindow,
  type PriceQuestion,
  type PriceResolution,
  resolvePrice,
} from './checkedCatalog.js'
export { type Clock, ManualClock } from './clock.js'
export {
  type CreditActivity,
  creditBalance,
  type CreditBalance,
  type CreditChange,
  type CreditQuestion,
  type CreditSegment,
  type Grant,
  type GrantBalance,
  type GrantRecurrence,
  type GrantRollover,
  type InstantInput,
} from './credits.js'
export {
  type CreditGrant,
  type CreditGrantInput,
  type CreditRefund,
  type CreditRefundInput,
  type CustomerCredit,
  type CustomerCreditQuestion,
  CustomerCredits,
} from './customerCredits.js'
export { type CustomerPage, Customers, type CustomerUpdate } from './customers.js'
export type { Quota } from './decision.js'
export { BillingError, type BillingErrorCode, CatalogError, type CatalogMistake, StripeError } from './errors.js'
export type { Explanation, Question } from './explanation.js'
export type { BillingHandler, BillingRequest, BillingResponse, Next } from './express.js'
export {
  type Invoice,
  type InvoiceLine,
  type InvoicePreview,
  type InvoiceQuestion,
  Invoices,
  type InvoiceTerms,
  type MeterTotals,
  type PeriodInput,
  previewInvoice,
  type UsageByPrice,
  type UsageInput,
} from './invoices.js'
export type { MiddlewareOptions } from './middleware.js'
export type { BillingEvents, CreditReached, LimitReached, SpendCapReached, ThresholdReached } from './notices.js'
export {
  type BillingCycle,
  type Interval,
  type Period,
  periodContaining,
  prorate,
  type ProrationQuestion,
} from './periods.js'
export {
  type DecimalInput,
  type GraduatedPercentagePrice,
  type GraduatedPrice,
  type PackagePrice,
  type PercentagePrice,
  type PercentageTier,
  type PerUnitPrice,
  type Price,
  type PriceBounds,
  type PriceTier,
  quote,
  type Quote,
  type QuoteLine,
  type QuoteOptions,
  round,
  type RoundingMode,
  type VolumePrice,
} from './prices.js'
export type { ReconcileOptions, Reconciliation, UsageDifference } from './reconciliation.js'
export type { Refusal, RefusalCode } from './refusals.js'
export type { RequestBilling, Settlement } from './requestBilling.js'
export type {
  SimulatedCustomer,
  Simulation,
  SimulationPlan,
  SimulationQuestion,
  UnassignedCustomer,
} from './simulation.js'
export type { StripeCatalogMeter, StripeCatalogStep, StripeCatalogTier, SyncCatalogOptions } from './stripeCatalog.js'
export type {
  CheckoutSessionParams,
  InvoicePreviewParams,
  PortalSessionParams,
  StripeObject,
  StripeParams,
  StripeRequestOptions,
} from './stripeRequests.js'
export type { ChangeTierOptions, StripeServiceOptions } from './stripeService.js'
export type { StripeWebhookOptions } from './stripeWebhook.js'
export { StripeOutbox, type UsageReportPage } from './stripeOutbox.js'
export type { MeterExport, UsageExportOptions } from './usageExport.js'
export type { UsageRejection } from './usageRejections.js'
export type { UsageHandlerOptions } from './usageHandler.js'
export type {
  Consumption,
  ConsumptionResult,
  CustomerUsage,
  EventType,
  Recording,
  UsageEvent,
  UsageQuery,
} from './usageTracker.js'
export { constructEvent, generateTestHeader, type StripeEvent, type TestHeaderOptions } from './webhookSignatures.js'
export { Billing, StripeService, UsageTracker }

/**
 * Makes a middleware over the default engine in `logs/usage/`, which opens with the first request. That one has no `flush()`
 * and no `close()`: what it admits is in its journal, is recorded within a second or so, and where the process ends before
 * that, by the next one that opens the directory. Who wants to wait makes a `Billing`.
 */
export function createBillingMiddleware(options: MiddlewareOptions = {}): BillingHandler {
  return createLazyMiddleware(defaultEngine, options)
}

/** The middleware over the default engine, ready for `app.use`. */
export const billingMiddleware: BillingHandler = createBillingMiddleware()

/** The tracker over the default engine. */
export const usageTracker: UsageTracker = new UsageTracker()

/** Stripe, with the key in `STRIPE_SECRET_KEY`, which is read on the first call. */
export const stripeService: StripeService = new StripeService()
