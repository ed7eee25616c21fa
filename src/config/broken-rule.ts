import type { ConfigPath } from "./config-path.js";

/** A rule between keys that is broken. `path` is where to point; the rule is only believed when none of `reads` is itself wrong. */
export interface BrokenRule {
  readonly path: ConfigPath;
  readonly reads: readonly ConfigPath[];
  readonly message: string;
}
