import type { Catalog } from '../../index.mjs'

const graduated = {
  model: 'graduated',
  tiers: [
    { upTo: '500', unitAmount: '0.01' },
    { upTo: null, unitAmount: '0.004' },
  ],
} as const

/** Meter and endpoint tell the price: hourly sums suffice. */
export const byEndpoint: Catalog = {
  id: 'by endpoint',
  version: '1',
  currency: 'USD',
  meters: ['api_request'],
  tiers: [{ id: 'pro', baseAmount: '9' }],
  prices: [
    { id: 'request', meter: 'api_request', price: graduated },
    { id: 'item', meter: 'api_request', route: '/api/items/:id', price: { model: 'per_unit', unitAmount: '0.02' } },
  ],
}

/** The model tells the price too: each event must be read. */
export const byMetadata: Catalog = {
  ...byEndpoint,
  id: 'by metadata',
  prices: [
    ...(byEndpoint.prices ?? []),
    {
      id: 'large model',
      meter: 'api_request',
      dimensions: { model: 'large' },
      price: { model: 'per_unit', unitAmount: '0.05' },
    },
  ],
}
