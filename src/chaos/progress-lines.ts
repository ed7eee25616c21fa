/** Says on stderr how far the run is, every few seconds, until stopped. */
export class ProgressLines {
  readonly #timer: NodeJS.Timeout;

  constructor(words: () => string, say: (line: string) => void, everyMs = 5000) {
    this.#timer = setInterval(() => {
      say(words());
    }, everyMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
