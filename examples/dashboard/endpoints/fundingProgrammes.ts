/** A funding programme. These are made up, as examples. */
export interface FundingProgramme {
  id: string
  title: string
  field: string
  /** The most that one applicant gets, in euros. */
  maximumAmount: number
  /** Which part of the costs is paid. */
  share: number
  applicants: string[]
  description: string
}

export const fundingProgrammes: FundingProgramme[] = [
  {
    id: 'clean-energy-pilots',
    title: 'Clean energy pilots',
    field: 'energy',
    maximumAmount: 250_000,
    share: 0.5,
    applicants: ['company', 'municipality'],
    description: 'First installations of solar, wind and storage technology that is ready to leave the laboratory.',
  },
  {
    id: 'building-renovation',
    title: 'Renovation of buildings',
    field: 'energy',
    maximumAmount: 80_000,
    share: 0.3,
    applicants: ['company', 'municipality', 'association'],
    description: 'Insulation, windows and heating that lower the energy that an existing building needs.',
  },
  {
    id: 'digital-workplace',
    title: 'Digital workplace',
    field: 'digitalisation',
    maximumAmount: 20_000,
    share: 0.4,
    applicants: ['company'],
    description: 'Software, training and security for small companies that move their work online.',
  },
  {
    id: 'open-data-services',
    title: 'Services on open data',
    field: 'digitalisation',
    maximumAmount: 60_000,
    share: 0.7,
    applicants: ['company', 'association', 'university'],
    description: 'Services that make public data useful: transport, weather, maps and statistics.',
  },
  {
    id: 'applied-research',
    title: 'Applied research in partnership',
    field: 'research',
    maximumAmount: 400_000,
    share: 0.6,
    applicants: ['company', 'university'],
    description: 'A company and a university solve a technical question together and publish the result.',
  },
  {
    id: 'doctoral-placements',
    title: 'Doctoral placements in industry',
    field: 'research',
    maximumAmount: 45_000,
    share: 1,
    applicants: ['university'],
    description: 'A year of research inside a company for doctoral students of the natural and technical sciences.',
  },
  {
    id: 'cycle-paths',
    title: 'Cycle paths and safe crossings',
    field: 'mobility',
    maximumAmount: 900_000,
    share: 0.8,
    applicants: ['municipality'],
    description: 'Planning and building of cycle paths, crossings and parking for bicycles.',
  },
  {
    id: 'shared-mobility',
    title: 'Shared mobility in the country',
    field: 'mobility',
    maximumAmount: 120_000,
    share: 0.5,
    applicants: ['municipality', 'association', 'company'],
    description: 'Call buses, shared cars and their booking software where few buses run.',
  },
  {
    id: 'reading-rooms',
    title: 'Libraries as meeting places',
    field: 'culture',
    maximumAmount: 30_000,
    share: 0.9,
    applicants: ['municipality', 'association'],
    description: 'Rooms, equipment and programmes that make a library a place to meet and to learn.',
  },
  {
    id: 'community-orchards',
    title: 'Community orchards',
    field: 'environment',
    maximumAmount: 15_000,
    share: 0.8,
    applicants: ['association', 'municipality'],
    description: 'Planting and care of orchards with old varieties, open to everybody.',
  },
]
