/** A command of the `weighbridge` program. */
export interface Command {
  /** One line. */
  summary: string
  /** How it is used, whole. */
  help: string
  /** Runs it with its arguments, and answers with the exit code: 0 where it has done all that was asked. */
  run(args: string[]): Promise<number>
}
