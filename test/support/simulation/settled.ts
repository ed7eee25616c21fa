/** Each of so many turns goes through Node's event loop, where rejections that nobody handles are told. */
const LOOP_EVERY = 16;

/**
 * Every promise that can go on has gone on: Node takes the next tick, like the next turn of its loop, only when no microtask is left.
 * A tick costs a tenth of a turn of the loop, which asks the system for work each time.
 */
export function settled(turn: number): Promise<void> {
  return new Promise((resolve) => {
    if (turn % LOOP_EVERY === 0) setImmediate(resolve);
    else process.nextTick(resolve);
  });
}
