import { BadRequest } from './badRequest.js'
import { type FundingProgramme, fundingProgrammes } from './fundingProgrammes.js'

/** GET /api/scan-funding?keyword=…: the programmes that a keyword is about, in short. */
export function scanFunding(query: { keyword?: unknown }): { keyword: string; found: object[] } {
  const { keyword } = query
  if (typeof keyword !== 'string' || keyword.trim() === '') {
    throw new BadRequest('say what to look for: /api/scan-funding?keyword=energy')
  }
  const sought = keyword.trim().toLowerCase()
  const found = fundingProgrammes.filter((programme) => textOf(programme).includes(sought))
  return { keyword, found: found.map(({ id, title, field }) => ({ id, title, field })) }
}

function textOf({ title, field, applicants, description }: FundingProgramme): string {
  return [title, field, ...applicants, description].join('\n').toLowerCase()
}
