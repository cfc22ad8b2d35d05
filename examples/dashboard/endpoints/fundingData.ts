import { type FundingProgramme, fundingProgrammes } from './fundingProgrammes.js'

/** GET /api/funding-data?field=…: whole records; of every field without one. The price list wants `professional` for it. */
export function fundingData(query: { field?: unknown }): { count: number; programmes: FundingProgramme[] } {
  const { field } = query
  const programmes =
    field === undefined ? fundingProgrammes : fundingProgrammes.filter((programme) => programme.field === field)
  return { count: programmes.length, programmes }
}
