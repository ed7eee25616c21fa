/** What has to be undone, in reverse order. One that fails is said and does not keep the others from running. */
export class CleanupStack {
  readonly #steps: { readonly name: string; readonly undo: () => Promise<void> }[] = [];

  add(name: string, undo: () => Promise<void>): void {
    this.#steps.push({ name, undo });
  }

  async run(say: (line: string) => void): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      // Serial: servers have to outlive what talks to them.
      await step.undo().catch((error: unknown) => {
        say(`could not end the ${step.name}: ${error instanceof Error ? error.message : String(error)}`);
      });
    }
  }
}
