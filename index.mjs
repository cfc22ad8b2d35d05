// The package is CommonJS; this names its exports for ESM, so that both see the same classes.
export {
  ApiKeys,
  Billing,
  BillingError,
  Customers,
  ManualClock,
  StripeError,
  StripeService,
  UsageTracker,
  billingMiddleware,
  createBillingMiddleware,
  endpointPricing,
  quote,
  round,
  stripeService,
  subscriptionTiers,
  usageTracker,
} from './dist/index.js'
