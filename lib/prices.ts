import { checkOptions } from './options.js'
import { ask, json } from './question.js'

/**
 * An exact decimal: an amount, a rate or a quantity.
 *
 * Best as a string: digits, with a point between them or not, at most 1,000 characters: `'0.10'`. A number is taken where it
 * is certainly exact: with at most 15 significant digits, or whole up to 2^53. The noise of float arithmetic (`0.1 + 0.2`),
 * NaN and Infinity are refused, never rounded. A bigint is taken as it is.
 */
export type DecimalInput = string | number | bigint

/**
 * What something costs, by one of six models; the field `model` says which. Amounts are in the currency's major unit, and in
 * which currency is for you to know: a price has none.
 *
 * Unknown fields are refused. A price that could be read prices every quantity from 0.
 */
export type Price =
  PerUnitPrice | PackagePrice | GraduatedPrice | VolumePrice | PercentagePrice | GraduatedPercentagePrice

/** The least and the most that a price ever asks, whatever its model. */
export interface PriceBounds {
  /** The total is at least this, also for quantity 0. */
  minimumAmount?: DecimalInput
  /** The total is at most this. It must not be below the minimum. */
  maximumAmount?: DecimalInput
}

/**
 * Every unit costs the same.
 *
 * ```ts
 * quote({ model: 'per_unit', unitAmount: '0.002', freeUnits: '100' }, '1600').amount // '3'
 * ```
 *
 * Stripe's `billing_scheme: 'per_unit'`, Lago's `standard`.
 *
 * @see https://docs.stripe.com/products-prices/pricing-models
 * @see https://docs.getlago.com/guide/plans/charges/charge-models/standard
 */
export interface PerUnitPrice extends PriceBounds {
  model: 'per_unit'
  /** What a unit costs, from 0. */
  unitAmount: DecimalInput
  /** So many of the first units cost nothing. */
  freeUnits?: DecimalInput
  /** Due once, also for quantity 0. */
  flatAmount?: DecimalInput
}

/**
 * Packages of so many units. A package that was begun counts whole.
 *
 * ```ts
 * quote({ model: 'package', amount: '5', packageSize: '100', freeUnits: '50' }, '151').amount // '10'
 * ```
 *
 * Stripe's `transform_quantity` with `round: 'up'`, Lago's `package`.
 *
 * @see https://docs.stripe.com/api/prices/object#price_object-transform_quantity
 * @see https://docs.getlago.com/guide/plans/charges/charge-models/package
 */
export interface PackagePrice extends PriceBounds {
  model: 'package'
  /** What a package costs, from 0. */
  amount: DecimalInput
  /** How many units are in a package: above 0, not necessarily whole. */
  packageSize: DecimalInput
  /** So many of the first units need no package. */
  freeUnits?: DecimalInput
  /** Due once, also for quantity 0. */
  flatAmount?: DecimalInput
}

/** What units of a tier cost. */
export interface PriceTier {
  /**
   * The last unit that the tier covers; it begins above the bound of the tier before it. `'10'` covers the 10th unit, and of
   * 10.5 units the last half lies in the next tier. Each bound is above the one before it. The last tier, and only that one,
   * has none: `null`.
   */
  upTo: DecimalInput | null
  /** What a unit costs, from 0. */
  unitAmount: DecimalInput
  /** Due once where the tier is reached. That of the first tier is due always, also for quantity 0. */
  flatAmount?: DecimalInput
}

/**
 * Every unit costs what the tier asks in which it lies, and every tier that is reached its flat amount.
 *
 * ```ts
 * quote(
 *   {
 *     model: 'graduated',
 *     tiers: [
 *       { upTo: '10', unitAmount: '1', flatAmount: '5' },
 *       { upTo: null, unitAmount: '0.5' },
 *     ],
 *   },
 *   '12',
 * ).amount // '16'
 * ```
 *
 * Stripe's `tiers_mode: 'graduated'`, Lago's `graduated`.
 *
 * @see https://docs.stripe.com/products-prices/pricing-models#tiered-pricing
 * @see https://docs.getlago.com/guide/plans/charges/charge-models/graduated
 */
export interface GraduatedPrice extends PriceBounds {
  model: 'graduated'
  /** By rising bounds; at least one. */
  tiers: readonly PriceTier[]
}

/**
 * All units cost what the tier asks in which the whole quantity lies, and only that tier's flat amount is due.
 *
 * ```ts
 * quote(
 *   {
 *     model: 'volume',
 *     tiers: [
 *       { upTo: '10', unitAmount: '1', flatAmount: '5' },
 *       { upTo: null, unitAmount: '0.5' },
 *     ],
 *   },
 *   '12',
 * ).amount // '6'
 * ```
 *
 * Stripe's `tiers_mode: 'volume'`, Lago's `volume`.
 *
 * @see https://docs.stripe.com/products-prices/pricing-models#tiered-pricing
 * @see https://docs.getlago.com/guide/plans/charges/charge-models/volume
 */
export interface VolumePrice extends PriceBounds {
  model: 'volume'
  /** By rising bounds; at least one. */
  tiers: readonly PriceTier[]
}

/**
 * A share of the quantity, such as the sum of payments, and a fixed amount for each event, such as a payment.
 *
 * ```ts
 * quote({ model: 'percentage', rate: '2.9', fixedAmount: '0.30' }, '200', { events: 3 }).amount // '6.7'
 * ```
 *
 * Lago's `percentage`, where free units and free events count apart from each other. Lago's minimum and maximum per
 * transaction depend on each transaction: quote it by itself, with `events: 1`, `minimumAmount` and `maximumAmount`.
 *
 * @see https://docs.getlago.com/guide/plans/charges/charge-models/percentage
 */
export interface PercentagePrice extends PriceBounds {
  model: 'percentage'
  /** In per cent of the quantity, from 0: `'2.9'` of 200 is 5.8. */
  rate: DecimalInput
  /**
   * Due for each event. How many there were is said by {@link QuoteOptions.events}; where that is left out none is due, and a
   * line of the quote says so.
   */
  fixedAmount?: DecimalInput
  /** So much of the quantity is free of the rate. */
  freeUnits?: DecimalInput
  /** So many events are free of the fixed amount: a whole number. */
  freeEvents?: DecimalInput
  /** Due once, also for quantity 0. */
  flatAmount?: DecimalInput
}

/** What a tier takes of the quantity within it. */
export interface PercentageTier {
  /** As in {@link PriceTier}. */
  upTo: DecimalInput | null
  /** In per cent of what lies in the tier, from 0. */
  rate: DecimalInput
  /** Due once where the tier is reached. That of the first tier is due always, also for quantity 0. */
  flatAmount?: DecimalInput
}

/**
 * A share of each part of the quantity, at the rate of the tier in which it lies.
 *
 * ```ts
 * quote(
 *   {
 *     model: 'graduated_percentage',
 *     tiers: [
 *       { upTo: '1000', rate: '3' },
 *       { upTo: null, rate: '1.5' },
 *     ],
 *   },
 *   '3000',
 * ).amount // '60'
 * ```
 *
 * Lago's `graduated_percentage`.
 *
 * @see https://docs.getlago.com/guide/plans/charges/charge-models/graduated-percentage
 */
export interface GraduatedPercentagePrice extends PriceBounds {
  model: 'graduated_percentage'
  /** By rising bounds; at least one. */
  tiers: readonly PercentageTier[]
}

/** What else is known of the quantity. */
export interface QuoteOptions {
  /**
   * The currency's ISO 4217 code, such as `'USD'`, in capitals or not. It is checked and repeated in the quote; it changes no
   * amount, because a quote is not rounded.
   */
  currency?: string
  /** In how many events the quantity came, a whole number: for the fixed amount of {@link PercentagePrice}. */
  events?: DecimalInput
}

/**
 * What a quantity costs, and how that comes about. All decimals are strings in their shortest form: no exponent, no zeros at
 * the end (`'3'`, `'0.1'`).
 */
export interface Quote {
  /** The sum of the lines, exact and not rounded: see {@link round}. */
  amount: string
  /** In capitals, where one was given. */
  currency?: string
  /** At least one. */
  lines: QuoteLine[]
}

/** A part of a quote: `amount` is `units` × `unitAmount` + `flatAmount`, to the last digit. */
export interface QuoteLine {
  /** For people, in English: `Units above 10 up to 20`. Do not take it apart: its wording may change. */
  description: string
  /** How many of what the description names: units, packages or events. */
  units: string
  /** What one of them costs; of a rate of 2.9 per cent, `'0.029'`. */
  unitAmount: string
  /** What is due besides. Negative where a maximum takes something off. */
  flatAmount: string
  amount: string
}

/**
 * How an amount is rounded that lies exactly in the middle: `half_away_from_zero` makes 0.13 of 0.125 and -0.13 of -0.125,
 * `half_even` makes 0.12 of 0.125 and 0.14 of 0.135. All others go to the nearest.
 */
export type RoundingMode = 'half_away_from_zero' | 'half_even'

/**
 * What a quantity costs at a price, to the last digit. Nothing is rounded and nothing is remembered: the same question always
 * has the same answer.
 *
 * ```ts
 * quote({ model: 'per_unit', unitAmount: '0.00125' }, '3333').amount // '4.16625'
 * round('4.16625', 'USD') // '4.17'
 * ```
 *
 * @param quantity From 0, not necessarily whole.
 * @throws BillingError `invalid_argument` where something is missing, unknown or no decimal from 0, `invalid_catalog` where
 * the price contradicts itself (tiers that overlap or leave a gap, a maximum below the minimum). The message names the
 * place: `price.tiers[1].upTo`.
 */
export function quote(price: Price, quantity: DecimalInput, options: QuoteOptions = {}): Quote {
  checkOptions('quote', options, ['currency', 'events'])
  const { currency, events } = options
  const output = ask(({ quote }) => quote(json('a price', { price, quantity, currency, events })))
  const { amount, lines } = output
  return output.currency === undefined ? { amount, lines } : { amount, currency: output.currency, lines }
}

/**
 * Rounds an amount, once, to what can be paid in a currency: to the decimal places of its minor unit in ISO 4217, all of
 * which are written. The yen has none, the dollar two, the Kuwaiti dinar three, the Unidad de Fomento four.
 *
 * ```ts
 * round('1.005', 'USD') // '1.01'
 * round('1.005', 'USD', 'half_even') // '1.00'
 * round('2.5', 'JPY') // '3'
 * round('1.5', 'KWD') // '1.500'
 * ```
 *
 * Round totals, not parts: the sum of rounded parts is another amount. Stripe counts some currencies otherwise than ISO
 * (`ISK`, `UGX` and `MGA`, and three decimal places of which the last must be 0).
 *
 * @param amount May be negative, such as a refund.
 * @param currency The ISO 4217 code, in capitals or not.
 * @param mode `half_away_from_zero` by default.
 * @throws BillingError `invalid_argument` for what is no decimal, an unknown currency, or one without a minor unit (`XAU`).
 * @see https://docs.stripe.com/currencies
 */
export function round(amount: DecimalInput, currency: string, mode: RoundingMode = 'half_away_from_zero'): string {
  return ask(({ round }) => round(json('an amount', { amount, currency, mode })))
}
