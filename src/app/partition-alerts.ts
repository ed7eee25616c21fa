import type { PartitionAlert } from "../domain/event/partition-event.js";

/**
 * Which alerts of this process were published: a partition stops again in each generation of the group, and one event a cause is enough.
 * Grows with partitions and causes alone.
 */
export class PartitionAlerts {
  readonly #published = new Set<string>();

  /** @returns whether nobody took this alert before; it counts as published then. */
  take(alert: PartitionAlert): boolean {
    const key = keyOf(alert);
    if (this.#published.has(key)) return false;
    this.#published.add(key);
    return true;
  }

  /** It could not be published: the next alert of the same kind is taken again. */
  giveBack(alert: PartitionAlert): void {
    this.#published.delete(keyOf(alert));
  }
}

function keyOf({ cause, topic, partition }: PartitionAlert): string {
  return `${cause}\0${topic}\0${String(partition)}`;
}
