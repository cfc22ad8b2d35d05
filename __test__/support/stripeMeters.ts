import { serve } from './http'
import { MeterServer } from './meterServer'

/** A {@link MeterServer} on a port of its own, until the end of the test. */
export class StripeMeters extends MeterServer {
  port = 0

  static async start({ now = Date.now, takesMs = 2 } = {}): Promise<StripeMeters> {
    const meters = new StripeMeters(now, takesMs)
    meters.port = await serve(meters.listener)
    return meters
  }

  get baseUrl(): string {
    return `http://127.0.0.1:${this.port}`
  }
}
