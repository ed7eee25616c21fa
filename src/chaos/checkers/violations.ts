import type { Violation } from "../evidence/evidence.js";

/** Whom a violation is about, as far as that is known. */
interface Subject {
  readonly tenant?: string | null;
  readonly jobId?: string | null;
}

/** Collects one checker's violations. */
export class Violations {
  readonly list: Violation[] = [];
  readonly #checker: string;

  constructor(checker: string) {
    this.#checker = checker;
  }

  add(rule: string, subject: Subject, detail: string): void {
    this.list.push({
      checker: this.#checker,
      rule,
      tenant: subject.tenant ?? null,
      jobId: subject.jobId ?? null,
      detail,
    });
  }
}

export const NOBODY: Subject = {};
