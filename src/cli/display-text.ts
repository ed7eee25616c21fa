/** Nano-dollars as dollars, exact, without zeros at the end. */
export function dollarsText(nanoUsd: bigint): string {
  const sign = nanoUsd < 0n ? "-" : "";
  const digits = (nanoUsd < 0n ? -nanoUsd : nanoUsd).toString().padStart(10, "0");
  const fraction = digits.slice(-9).replace(/0+$/, "").padEnd(2, "0");
  return `${sign}$${digits.slice(0, -9)}.${fraction}`;
}

/** A time to the second, UTC. */
export function timeText(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

export function isoOrNull(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}

const AGE_UNITS = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1000],
] as const;

/** A span of time in its two largest units: `3d 4h`, `5m 12s`, `0s`. */
export function spanText(ms: number): string {
  const first = AGE_UNITS.findIndex(([, unitMs]) => ms >= unitMs);
  if (first < 0) return "0s";
  let leftMs = ms;
  const parts = AGE_UNITS.slice(first, first + 2).map(([name, unitMs]) => {
    const count = Math.floor(leftMs / unitMs);
    leftMs -= count * unitMs;
    return count === 0 ? "" : `${String(count)}${name}`;
  });
  return parts.filter((part) => part !== "").join(" ");
}

const CONTROL = /[\u0000-\u001f\u007f-\u009f]/g;

/** A caller's text for a terminal: control characters, which could move the cursor, are shown as their numbers. */
export function safeText(text: string): string {
  return text.replace(CONTROL, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`);
}
