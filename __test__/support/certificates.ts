import { generate } from 'selfsigned'

export interface Certificates {
  /** Of whoever has signed the server's, in PEM. */
  issuer: string
  server: string
  key: string
}

/** A certificate authority of the test's own, and what it has signed for a host. */
export async function certificatesFor(host: string): Promise<Certificates> {
  const issuer = await generate([{ name: 'commonName', value: 'Certificate authority of a test' }], {
    keyType: 'ec',
    algorithm: 'sha256',
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, critical: true },
    ],
  })
  const server = await generate([{ name: 'commonName', value: host }], {
    keyType: 'ec',
    algorithm: 'sha256',
    ca: { key: issuer.private, cert: issuer.cert },
    extensions: [{ name: 'subjectAltName', altNames: [{ type: 2, value: host }] }],
  })
  return { issuer: issuer.cert, server: server.cert, key: server.private }
}
