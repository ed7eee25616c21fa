/** Row locks, shared or exclusive, first come first served, with the detection of circles. */
export type LockMode = "share" | "exclusive";

export interface LockOwner {
  readonly state: string;
}

interface Waiting {
  readonly owner: LockOwner;
  readonly mode: LockMode;
  readonly resolve: () => void;
}

interface Lock {
  readonly holders: Map<LockOwner, LockMode>;
  readonly queue: Waiting[];
}

export class LockTable {
  readonly #locks = new Map<string, Lock>();
  readonly #held = new Map<LockOwner, Set<string>>();
  readonly #waits = new Map<LockOwner, string>();

  holds(owner: LockOwner, name: string): boolean {
    return this.#locks.get(name)?.holders.has(owner) === true;
  }

  tryAcquire(owner: LockOwner, name: string, mode: LockMode): boolean {
    const lock = this.#lockOf(name);
    if (!canHold(lock, owner, mode) || (lock.queue.length > 0 && !lock.holders.has(owner))) return false;
    this.#grant(lock, name, owner, mode);
    return true;
  }

  /** Resolves when the lock is held. Never resolves for an owner that was released while it waited. @throws what `circle` makes. */
  acquire(owner: LockOwner, name: string, mode: LockMode, circle: () => Error): Promise<void> {
    if (this.tryAcquire(owner, name, mode)) return Promise.resolve();
    const lock = this.#lockOf(name);
    if (this.#closesCircle(owner, name)) return Promise.reject(circle());
    return new Promise((resolve) => {
      this.#waits.set(owner, name);
      const waiting = { owner, mode, resolve };
      if (lock.holders.has(owner)) lock.queue.unshift(waiting);
      else lock.queue.push(waiting);
    });
  }

  releaseOne(owner: LockOwner, name: string): void {
    const lock = this.#locks.get(name);
    if (lock === undefined) return;
    lock.holders.delete(owner);
    this.#held.get(owner)?.delete(name);
    this.#wake(lock, name);
  }

  /** @param gone the process is dead: a wait of its never ends. */
  release(owner: LockOwner, gone: boolean): void {
    const waitsFor = this.#waits.get(owner);
    this.#waits.delete(owner);
    if (waitsFor !== undefined) this.#leaveQueue(owner, waitsFor, gone);
    for (const name of [...(this.#held.get(owner) ?? [])]) this.releaseOne(owner, name);
    this.#held.delete(owner);
  }

  #leaveQueue(owner: LockOwner, name: string, gone: boolean): void {
    const lock = this.#lockOf(name);
    const at = lock.queue.findIndex((waiting) => waiting.owner === owner);
    const [left] = at === -1 ? [] : lock.queue.splice(at, 1);
    this.#wake(lock, name);
    if (!gone) left?.resolve(); // it goes on and finds its transaction ended
  }

  #lockOf(name: string): Lock {
    const known = this.#locks.get(name);
    if (known !== undefined) return known;
    const lock: Lock = { holders: new Map(), queue: [] };
    this.#locks.set(name, lock);
    return lock;
  }

  #grant(lock: Lock, name: string, owner: LockOwner, mode: LockMode): void {
    if (lock.holders.get(owner) !== "exclusive") lock.holders.set(owner, mode);
    const held = this.#held.get(owner);
    if (held === undefined) this.#held.set(owner, new Set([name]));
    else held.add(name);
  }

  #wake(lock: Lock, name: string): void {
    for (let next = lock.queue[0]; next !== undefined && canHold(lock, next.owner, next.mode); next = lock.queue[0]) {
      lock.queue.shift();
      this.#waits.delete(next.owner);
      this.#grant(lock, name, next.owner, next.mode);
      next.resolve();
    }
    if (lock.holders.size === 0 && lock.queue.length === 0) this.#locks.delete(name);
  }

  /** Whether somebody who is in the way waits, through whatever chain, for what this owner holds. */
  #closesCircle(owner: LockOwner, name: string): boolean {
    const seen = new Set<LockOwner>();
    const visit = (wanted: string, first: boolean): boolean => {
      const lock = this.#locks.get(wanted);
      if (lock === undefined) return false;
      for (const other of [...lock.holders.keys(), ...lock.queue.map((waiting) => waiting.owner)]) {
        if (other === owner) {
          if (!first) return true;
          continue;
        }
        if (seen.has(other)) continue;
        seen.add(other);
        const next = this.#waits.get(other);
        if (next !== undefined && visit(next, false)) return true;
      }
      return false;
    };
    return visit(name, true);
  }
}

function canHold(lock: Lock, owner: LockOwner, mode: LockMode): boolean {
  for (const [holder, held] of lock.holders) {
    if (holder !== owner && (mode === "exclusive" || held === "exclusive")) return false;
  }
  return true;
}
