import { type Catalog, checkCatalog } from './checkedCatalog.js'
import type { InstantInput } from './credits.js'
import type { EngineSource } from './defaultEngine.js'
import { checkOptions } from './options.js'
import type { Period } from './periods.js'
import type { DecimalInput, QuoteLine, RoundingMode } from './prices.js'
import { ask, json } from './question.js'

/** A half-open span of time: it holds its start and not its end. */
export interface PeriodInput {
  start: InstantInput
  end: InstantInput
}

/** What both previews are asked. */
interface Terms {
  /** For which part of the billing period the tier is due, where that is not all of it: to the second, as Stripe prorates. */
  held?: PeriodInput
  /** Money that is taken off, in this order, each as far as something is due: decimals from 0. */
  credits?: readonly DecimalInput[]
  /** How `payable` is rounded: `half_away_from_zero` by default. */
  rounding?: RoundingMode
}

/** Whose invoice, and of when. */
export interface InvoiceQuestion extends Terms {
  customerId: string
  /**
   * The price list by which usage is priced, whatever it cost when it was recorded: by default the version of the store's own
   * catalog that the customer has.
   */
  catalog?: Catalog
  /** An instant in the billing period: by default now. */
  at?: InstantInput
  /** The tier in the catalog: by default the one with the id of the customer's own. */
  tierId?: string
}

/** What {@link previewInvoice} is asked. */
export interface InvoiceTerms extends Terms {
  /** The price list by which usage is priced. */
  catalog: Catalog
  /** The tier in the catalog. */
  tierId: string
  /** In any order: what has one price is added up before it is priced. */
  usage: readonly UsageInput[]
  /** The billing period of which the tier was `held` for a part. */
  period?: PeriodInput
}

/** Some usage: an event, or many that are alike. */
export interface UsageInput {
  meter: string
  /** The request's method: by default `GET`. */
  method?: string
  /** The request's full path. Without one only prices without a route apply. */
  path?: string
  /** Metadata of the usage: `{ model: 'gpt-4' }`. */
  dimensions?: Readonly<Record<string, string>>
  /** From 0, not necessarily whole. */
  quantity: DecimalInput
  /** In how many events it came: 1 by default. */
  events?: DecimalInput
}

/**
 * What a billing period comes to. Amounts are decimal strings in the currency's major unit, exact but for shares of the base
 * amount and the minimum (which are rounded to the currency's minor unit) and `payable`.
 */
export interface Invoice {
  catalog: { id: string; version: string }
  tierId: string
  /** In capitals. */
  currency: string
  /** What was used, with the price that applies. */
  usage: UsageByPrice[]
  /** For each meter of the catalog: `used` is `included` + `overage`. */
  meters: MeterTotals[]
  /**
   * The base amount, or that of each tier that was held in the period; for each meter included units and usage by price; by how
   * much its events cost something else when they were counted (`recorded`); what is missing to the minimum; and what credit for
   * units has paid (`credited`, below 0). The last two kinds only where this is what is recorded, by the customer's own
   * catalog and tier.
   */
  lines: InvoiceLine[]
  /**
   * One for each grant of money (`billing.credits`) that usage of the period has burnt, by the customer's own catalog and tier;
   * then one for each of `credits`, without a `grant`.
   */
  credits: { grant: string | null; amount: string; applied: string }[]
  /** The sum of the lines. */
  subtotal: string
  /** The subtotal less what credits take off: never negative, and not rounded. */
  total: string
  /** The total, rounded once to what can be paid, with all decimal places of the minor unit. */
  payable: string
}

/** What was used of a meter at a price. */
export interface UsageByPrice {
  meter: string
  /** The price's id in the catalog; `null` where none applies. */
  price: string | null
  quantity: string
  events: string
}

/** What was used of a meter in all. */
export interface MeterTotals {
  meter: string
  used: string
  /** Units that the tier's base amount pays for. */
  included: string
  /** Those above. */
  overage: string
}

/** A part of an invoice: `amount` is `units` × `unitAmount` + `flatAmount`, to the last digit. */
export interface InvoiceLine extends QuoteLine {
  type: 'base' | 'included' | 'usage' | 'unpriced' | 'recorded' | 'minimum' | 'credited'
  /** `null` of the base amount and the minimum. */
  meter: string | null
  /** The price's id in the catalog, where the line is of `usage`. */
  price: string | null
}

/** A customer's billing period, out of what is recorded. */
export interface InvoicePreview extends Invoice {
  customerId: string
  /** The billing period, in milliseconds since the epoch. */
  period: Period
  /** Usage of meters that the catalog does not name: it costs nothing. */
  unknownMeters: UsageByPrice[]
  /** How many events were recorded in the period. */
  events: number
  /**
   * Events that only their metadata could price, and that the store has dropped (`postgres.retentionMonths`): they are not in
   * the invoice. 0 for all that is kept.
   */
  missingEvents: number
  /**
   * What the events cost when they were counted, each at the price of its time: the sum of their `cost`. By the customer's own
   * catalog and tier it is, to the last digit, the sum of the lines but for `base` and `minimum`.
   */
  recordedCost: string
}

const TERMS = ['catalog', 'tierId', 'held', 'credits', 'rounding'] satisfies (keyof InvoiceTerms)[]

/** Invoices, calculated and not issued. */
export class Invoices {
  readonly #engine: EngineSource

  /** @internal */
  constructor(engine: EngineSource) {
    this.#engine = engine
  }

  /**
   * What a customer's billing period comes to by a catalog, out of what is recorded, as it is now: asked again after the next
   * event, it has that too. Nothing is changed. `null` for a customer never seen.
   *
   * The price of an event is that of its event type as the meter, its endpoint as the path, with its method (`POST /api/execute`)
   * or the text `method` of its metadata as the method (without one `GET`), and the texts in its metadata as dimensions.
   *
   * @throws CatalogError where the catalog is none; BillingError `unknown_tier` where it has neither `tierId` nor the
   * customer's own tier; `invalid_catalog` where none is given and the store has none; `invalid_argument`, `closed`, or a
   * `store_*` code.
   */
  async preview(question: InvoiceQuestion): Promise<InvoicePreview | null> {
    checkOptions('invoices.preview', question, [...TERMS, 'customerId', 'at'])
    const engine = this.#engine()
    const { at = engine.now(), catalog, ...rest } = question
    const text = json('a question', { ...rest, at, ...(catalog !== undefined && { catalog: checkCatalog(catalog) }) })
    const answer = await engine.call<string>((native, ticket) => native.previewInvoice(ticket, text))
    return JSON.parse(answer) as InvoicePreview | null
  }
}

/**
 * The same for usage that is given: a pure function, for anyone to check us. The same usage comes to the same invoice, in
 * whatever order and however it is divided.
 *
 * @throws CatalogError where the catalog is none; BillingError `unknown_tier`, `invalid_argument` with the place of the mistake.
 */
export function previewInvoice(question: InvoiceTerms): Invoice {
  checkOptions('previewInvoice', question, [...TERMS, 'usage', 'period'])
  const text = json('a question', { ...question, catalog: checkCatalog(question.catalog) })
  return JSON.parse(ask(({ previewInvoice }) => previewInvoice(text))) as Invoice
}
