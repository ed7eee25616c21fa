/**
 * The line before the sockets. Never more items are handed on than there may be sockets: what undici has queued can't be taken out again,
 * and while a provider's address swallows connections, calls that were given up would pile up there with their bodies.
 */
export class SocketLine<Item> {
  readonly #room: number;
  readonly #handOn: (item: Item) => void;
  /** In the order they came; an item that is given up leaves from the middle. */
  readonly #waiting = new Set<Item>();
  #handedOn = 0;

  /** @param handOn may end the item at once. */
  constructor(room: number, handOn: (item: Item) => void) {
    this.#room = room;
    this.#handOn = handOn;
  }

  enter(item: Item): void {
    if (this.#handedOn >= this.#room) {
      this.#waiting.add(item);
      return;
    }
    this.#handedOn += 1;
    this.#handOn(item);
  }

  /** It is not wanted any more. One that was handed on stays so until `ended`. */
  leave(item: Item): void {
    if (this.#waiting.size > 0) this.#waiting.delete(item);
  }

  /** Once for each item that was handed on, whatever became of it. */
  ended(): void {
    this.#handedOn -= 1;
    const [next] = this.#waiting;
    if (next === undefined || this.#handedOn >= this.#room) return;
    this.#waiting.delete(next);
    this.enter(next);
  }

  /** @returns what waited; nothing of it will be handed on. */
  empty(): readonly Item[] {
    const left = [...this.#waiting];
    this.#waiting.clear();
    return left;
  }
}
