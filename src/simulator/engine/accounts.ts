import { digestOf } from "./chat-answer.js";

const LABELS_MAX = 1024;

/**
 * Turns an API key into the label of its account, which is what the bill shows. With stated keys (key to label) any other
 * key is wrong (null); without, every key is right and its label is `key-` and the first 12 hex characters of its sha256.
 */
export class Accounts {
  readonly #stated: ReadonlyMap<string, string> | null;
  readonly #labels = new Map<string, string>();

  constructor(keys: Readonly<Record<string, string>> | null) {
    this.#stated = keys === null ? null : new Map(Object.entries(keys));
  }

  labelOf(key: string): string | null {
    if (this.#stated !== null) return this.#stated.get(key) ?? null;
    const known = this.#labels.get(key);
    if (known !== undefined) return known;
    const label = `key-${digestOf(key).slice(0, 12)}`;
    if (this.#labels.size >= LABELS_MAX) this.#labels.clear();
    this.#labels.set(key, label);
    return label;
  }
}
