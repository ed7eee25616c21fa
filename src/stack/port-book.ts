import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findFreePorts, isFreePort } from "./free-ports.js";

/**
 * Remembers in the data folder which server has which ports, so that clients find a server again after a restart, and a
 * kept stack has the same addresses each time as long as nobody else took the ports.
 */
export class PortBook {
  readonly #file: string;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(dataFolder: string) {
    this.#file = join(dataFolder, "ports.json");
  }

  /** @returns `count` free ports for the label: those of the last time where they are still free. */
  portsFor(label: string, count: number): Promise<readonly number[]> {
    // One at a time, since each reads and writes the whole book.
    const ports = this.#queue.then(() => this.#find(label, count));
    this.#queue = ports.catch(() => undefined);
    return ports;
  }

  async #find(label: string, count: number): Promise<readonly number[]> {
    const book = this.#read();
    const known = book[label];
    if (known?.length === count && (await areFree(known))) return known;
    const taken = new Set(Object.values(book).flat());
    const found = (await findFreePorts(count + taken.size)).filter((port) => !taken.has(port)).slice(0, count);
    writeFileSync(this.#file, JSON.stringify({ ...book, [label]: found }));
    return found;
  }

  #read(): Readonly<Record<string, readonly number[]>> {
    if (!existsSync(this.#file)) return {};
    // Written by ourselves above.
    return JSON.parse(readFileSync(this.#file, "utf8")) as Record<string, readonly number[]>;
  }
}

async function areFree(ports: readonly number[]): Promise<boolean> {
  return (await Promise.all(ports.map(isFreePort))).every(Boolean);
}
