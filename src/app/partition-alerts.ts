import type { PartitionAlert } from "../domain/event/partition-event.js";

/**
 * Which alerts of this process were published: a partition stops again in each generation of the group, and is found without the same
 * records again, and one event a cause is enough. Grows with partitions and causes alone.
 */
export class PartitionAlerts {
  readonly #published = new Map<string, number>();

  /** @returns whether nobody took this alert before; it counts as published then. */
  take(alert: PartitionAlert): boolean {
    const key = keyOf(alert);
    const upto = lostUpto(alert);
    if ((this.#published.get(key) ?? -1) >= upto) return false;
    this.#published.set(key, upto);
    return true;
  }

  /** It could not be published: the next alert of the same kind is taken again. */
  giveBack(alert: PartitionAlert): void {
    this.#published.delete(keyOf(alert));
  }
}

/** A gap further on is another one. */
function lostUpto(alert: PartitionAlert): number {
  return alert.cause === "gap" ? alert.logStart : 0;
}

function keyOf({ cause, topic, partition }: PartitionAlert): string {
  return `${cause}\0${topic}\0${String(partition)}`;
}
