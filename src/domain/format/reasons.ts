/** More are not listed: a body may hold any number of unknown members, and a routing reason is read by people. */
const REASONS_MAX = 20;

/** Why something can't be carried to a target, in words for a routing reason; each said once, in the order found. */
export class Reasons {
  /** What carries it: "gemini". */
  readonly target: string;
  private readonly said = new Set<string>();

  constructor(target: string) {
    this.target = target;
  }

  /** A whole sentence. */
  add(sentence: string): void {
    if (this.said.size < REASONS_MAX) this.said.add(sentence);
  }

  /** The target has no place for it: "gemini has no logit_bias". */
  missing(what: string): void {
    this.add(`${this.target} has no ${what}`);
  }

  list(): readonly string[] {
    return [...this.said];
  }
}
