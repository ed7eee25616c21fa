import { createServer } from "node:net";

/** Below the ephemeral range (32768 to 60999): a port from there could be taken by an outgoing connection during a restart. */
const PORT_MIN = 15_000;
const PORT_MAX = 30_000;
const TRIES_MAX = 200;

/** @returns that many different ports of 127.0.0.1 that are free now. @throws Error when 200 tries did not find them. */
export async function findFreePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  for (let tries = 0; ports.size < count; tries++) {
    if (tries >= TRIES_MAX)
      throw new Error(`no ${String(count)} free ports between ${String(PORT_MIN)} and ${String(PORT_MAX)}`);
    // A random start keeps two stacks that start at once from meeting at the same port.
    const port = PORT_MIN + Math.floor(Math.random() * (PORT_MAX - PORT_MIN));
    // One at a time: whether the next try is needed depends on this one.
    if (!ports.has(port) && (await isFreePort(port))) ports.add(port);
  }
  return [...ports];
}

/** @returns whether nobody listens on the port of 127.0.0.1 now. */
export function isFreePort(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => {
      resolve(false);
    });
    server.listen(port, "127.0.0.1", () => {
      server.close(() => {
        resolve(true);
      });
    });
  });
}
