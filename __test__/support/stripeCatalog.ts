import express from 'express'
import type Stripe from 'stripe'
import { serve } from './http'

/** What goes over the wire: decimals are text there, which the package's own client makes objects of. */
type Wire<T> = { [K in keyof T]: K extends 'unit_amount_decimal' ? string | null : T[K] }

/**
 * Products, prices and meters that remember what was made. Ours, since nobody else's knows meters: it does what these three
 * need and what the tests break, and is held to Stripe's own package, whose types its answers have and whose client reads
 * them.
 */
export class CatalogFake {
  readonly products: Stripe.Product[] = []
  readonly prices: Wire<Stripe.Price>[] = []
  readonly meters: Stripe.Billing.Meter[] = []
  /** Each POST, as `METHOD /path`. */
  readonly posts: string[] = []
  /** How many more POSTs succeed. */
  allowed = Infinity
  port = 0

  static async start(): Promise<CatalogFake> {
    const fake = new CatalogFake()
    const app = express()
    app.set('query parser', 'extended')
    app.use(express.urlencoded({ extended: true }))
    app.use((request, response, next) => {
      if (request.method === 'POST') {
        fake.posts.push(`POST ${request.path}`)
        if (fake.allowed-- <= 0) return void refuse(response, 400, 'The test says no.')
      }
      next()
    })
    app.get('/v1/products/:id', ({ params }, response) => {
      const product = fake.products.find(({ id }) => id === params.id)
      if (product === undefined)
        return void refuse(response, 404, `No such product: '${params.id}'`, 'resource_missing')
      response.json(product)
    })
    app.post('/v1/products', ({ body }, response) => {
      const id = String(body.id ?? `prod_${fake.products.length + 1}`)
      if (fake.products.some((product) => product.id === id)) {
        return void refuse(response, 400, 'Product already exists.', 'resource_already_exists')
      }
      response.json(added(fake.products, fake.#product(id, body.name)))
    })
    app.get('/v1/prices', ({ query }, response) => {
      const keys = Object.values((query['lookup_keys'] ?? {}) as Record<string, string>)
      if (keys.length > 10) return void refuse(response, 400, 'Too many lookup keys.')
      response.json(
        page(
          '/v1/prices',
          fake.prices.filter(({ lookup_key }) => keys.includes(lookup_key ?? '')),
          query,
        ),
      )
    })
    app.post('/v1/prices', ({ body }, response) => {
      const key = String(body.lookup_key)
      if (fake.prices.some(({ lookup_key }) => lookup_key === key)) {
        return void refuse(response, 400, `A price already uses that lookup key: ${key}.`)
      }
      if (!fake.products.some(({ id }) => id === body.product)) return void refuse(response, 400, 'No such product')
      const meter = body.recurring?.meter as string | undefined
      if (meter !== undefined && !fake.meters.some(({ id }) => id === meter)) {
        return void refuse(response, 400, 'No such meter')
      }
      response.json(added(fake.prices, fake.#price(body)))
    })
    app.get('/v1/billing/meters', ({ query }, response) => {
      response.json(
        page(
          '/v1/billing/meters',
          fake.meters.filter(({ status }) => status === query['status']),
          query,
        ),
      )
    })
    app.post('/v1/billing/meters', ({ body }, response) => {
      if (fake.meters.some(({ event_name, status }) => event_name === body.event_name && status === 'active')) {
        return void refuse(response, 400, 'An active meter has this event name.', 'resource_already_exists')
      }
      response.json(
        added(fake.meters, fake.#meter(body.event_name, body.display_name, body.default_aggregation.formula)),
      )
    })
    fake.port = await serve(app)
    return fake
  }

  #product(id: string, name: string): Stripe.Product {
    return {
      id,
      object: 'product',
      active: true,
      created: 0,
      default_price: null,
      description: null,
      images: [],
      livemode: false,
      marketing_features: [],
      metadata: {},
      name,
      package_dimensions: null,
      shippable: null,
      tax_code: null,
      tax_details: null,
      type: 'service',
      updated: 0,
      url: null,
    }
  }

  #price(body: {
    currency: string
    lookup_key: string
    product: string
    unit_amount_decimal: string
    recurring: { interval: 'month'; meter?: string; usage_type?: 'metered' }
  }): Wire<Stripe.Price> {
    const { currency, lookup_key, product, unit_amount_decimal, recurring } = body
    return {
      id: `price_${this.prices.length + 1}`,
      object: 'price',
      active: true,
      billing_scheme: 'per_unit',
      created: 0,
      currency,
      custom_unit_amount: null,
      livemode: false,
      lookup_key,
      metadata: {},
      nickname: null,
      product,
      recurring: {
        interval: recurring.interval,
        interval_count: 1,
        meter: recurring.meter ?? null,
        trial_period_days: null,
        usage_type: recurring.usage_type ?? 'licensed',
      },
      tax_behavior: 'unspecified',
      tiers_mode: null,
      transform_quantity: null,
      type: 'recurring',
      unit_amount: Number.isInteger(Number(unit_amount_decimal)) ? Number(unit_amount_decimal) : null,
      unit_amount_decimal,
    }
  }

  #meter(event_name: string, display_name: string, formula: 'sum' | 'count' | 'last'): Stripe.Billing.Meter {
    return {
      id: `mtr_${this.meters.length + 1}`,
      object: 'billing.meter',
      created: 0,
      customer_mapping: { event_payload_key: 'stripe_customer_id', type: 'by_id' },
      default_aggregation: { formula },
      display_name,
      event_name,
      event_time_window: null,
      livemode: false,
      status: 'active',
      status_transitions: { deactivated_at: null },
      updated: 0,
      value_settings: { event_payload_key: 'value' },
    }
  }
}

function added<T>(list: T[], item: T): T {
  list.push(item)
  return item
}

function page<T extends { id: string }>(url: string, all: T[], query: Record<string, unknown>): object {
  const first =
    query['starting_after'] === undefined ? 0 : all.findIndex(({ id }) => id === query['starting_after']) + 1
  const data = all.slice(first, first + Number(query['limit'] ?? 10))
  return { object: 'list', url, has_more: first + data.length < all.length, data }
}

function refuse(response: express.Response, status: number, message: string, code?: string): void {
  response.status(status).json({ error: { type: 'invalid_request_error', message, code } })
}
