import { Engine } from './engine.js'

/** Where a view of an engine gets it from: when it is first needed, not before. */
export type EngineSource = () => Engine

let engine: Engine | undefined

/** The engine behind the seed's exports: `logs/usage/` below the working directory, opened on first use. */
export const defaultEngine: EngineSource = () => (engine ??= new Engine())
