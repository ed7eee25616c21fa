import type { RateLimitReading } from "../adapters/providers/rate-limit-reading.js";
import type { ProviderLimit } from "../pipeline/dispatch/rate-limits.js";

type Listener = (account: string, model: string, said: readonly ProviderLimit[]) => void;

/** Passes on what providers say of their limits; adapters are opened before there is somebody who wants to know. */
export class LimitEars {
  #listener: Listener | null = null;

  listen(listener: Listener): void {
    this.#listener = listener;
  }

  heard(account: string, model: string, readings: readonly RateLimitReading[]): void {
    if (this.#listener === null) return;
    const said = providerLimits(readings);
    if (said.length > 0) this.#listener(account, model, said);
  }
}

/** What the readings say in our words. Prompt and answer counted apart (Anthropic) are a limit of both together, unless that is said too. */
export function providerLimits(readings: readonly RateLimitReading[]): readonly ProviderLimit[] {
  const limitOf = (name: string): number | null => readings.find((one) => one.name === name)?.limit ?? null;
  const apart = [limitOf("input-tokens"), limitOf("output-tokens")];
  const together = apart.includes(null) ? null : apart.reduce<number>((sum, limit) => sum + (limit ?? 0), 0);
  const found = [
    { unit: "requests", window: "minute", limit: limitOf("requests") },
    { unit: "tokens", window: "minute", limit: limitOf("tokens") ?? limitOf("tokens-per-minute") ?? together },
    { unit: "requests", window: "day", limit: limitOf("requests-per-day") },
  ] as const;
  return found.flatMap(({ unit, window, limit }) => (limit === null ? [] : [{ unit, window, limit }]));
}
