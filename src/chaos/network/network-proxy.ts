import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { CallWatch } from "./call-watch.js";

/** What a path does to bytes, in both directions. */
export type PathMode =
  | { readonly kind: "pass" }
  /** New connections are reset as they come, and those that are there are reset once, when this begins. */
  | { readonly kind: "refuse" }
  /** Each chunk comes so much later. */
  | { readonly kind: "delay"; readonly ms: number }
  /** So many bytes a second in each direction of each connection. */
  | { readonly kind: "throttle"; readonly bytesPerS: number }
  /** Half-open: connections stand and new ones come about, but no byte arrives until the mode ends; then those on their way do. */
  | { readonly kind: "hold" };

/** What was seen on a path since its start. */
export interface PathCounts {
  readonly connections: number;
  /** Reset by us while they stood. */
  readonly cut: number;
  /** Reset by us as they came. */
  readonly refused: number;
  /** Chunks that had to wait: delayed, throttled or held. */
  readonly slowed: number;
  /** Calls whose connection ended, by whomever, before their answer had passed in whole. */
  readonly callsBroken: number;
  /** Calls whose connection ended within a quarter of a second after their answer had passed: it may have been lost on its way into the ledger. */
  readonly callsJustAnswered: number;
}

/** What is out on a path at one moment. */
export interface PathTraffic {
  readonly callsOpen: number;
  /** Of them, those of whose answer a part has passed. */
  readonly callsBeingAnswered: number;
  /** Requests that cost nothing among them. */
  readonly exchangesOpen: number;
  /** Connections whose last call was just answered. */
  readonly callsAnswered: number;
}

export interface ProxyOptions {
  readonly name: string;
  readonly targetPort: number;
  readonly targetHost?: string;
  /** 0 or left out: any free port. */
  readonly listenPort?: number;
  /** Given for HTTP: which requests, by their first line, are calls that cost money. */
  readonly isCall?: (requestLine: string) => boolean;
}

/** An answer so young may not be in the ledger yet: a router needs a moment from its last byte to the commit. */
const ANSWERED_WITHIN_MS = 250;

const PASS: PathMode = { kind: "pass" };
const THROTTLE_STEP_MS = 50;
/** Waiting bytes of one direction beyond which its sender is no longer read. */
const WAITING_BYTES_MAX = 1 << 20;
/** Of the last connections that ended, so many are remembered: more than can be asked about. */
const LOSSES_MAX = 1000;

/**
 * A TCP proxy on the loopback address in front of one server, whose path can be broken and mended while it runs. Passing on is the only
 * thing that it does of itself: a connection's end, whoever began it, ends its other half the same way.
 */
export class NetworkProxy {
  readonly name: string;
  readonly #options: ProxyOptions;
  readonly #server: Server;
  readonly #links = new Set<Link>();
  readonly #sockets = new Set<Socket>();
  readonly #losses: { readonly atMs: number; readonly open: boolean; readonly answeredMsAgo: number }[] = [];
  #mode: PathMode = PASS;
  #counts = { connections: 0, cut: 0, refused: 0, slowed: 0, callsBroken: 0, callsJustAnswered: 0 };

  private constructor(options: ProxyOptions) {
    this.name = options.name;
    this.#options = options;
    // Half-open on purpose: a client may end its half and still wait for the answer.
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
      this.#accept(client);
    });
  }

  /** @returns the proxy, listening on 127.0.0.1. @throws Error when the port is taken. */
  static async open(options: ProxyOptions): Promise<NetworkProxy> {
    const proxy = new NetworkProxy(options);
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once("error", reject);
      proxy.#server.listen(options.listenPort ?? 0, "127.0.0.1", resolve);
    });
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port; // it listens on TCP
  }

  get counts(): PathCounts {
    return { ...this.#counts };
  }

  get mode(): PathMode {
    return this.#mode;
  }

  /** What is out now. */
  get traffic(): PathTraffic {
    const sinceMs = performance.now() - ANSWERED_WITHIN_MS;
    const watches = [...this.#links].flatMap(({ calls }) => (calls === null ? [] : [calls]));
    return {
      callsOpen: watches.filter((watch) => watch.callIsOpen).length,
      callsBeingAnswered: watches.filter((watch) => watch.callIsBeingAnswered).length,
      exchangesOpen: watches.filter((watch) => watch.exchangeIsOpen).length,
      callsAnswered: watches.filter(
        ({ callIsOpen, answeredAtMs }) => !callIsOpen && answeredAtMs !== null && answeredAtMs >= sinceMs,
      ).length,
    };
  }

  setMode(mode: PathMode): void {
    this.#mode = mode;
    if (mode.kind === "refuse") this.cut();
    for (const link of this.#links) link.pump();
  }

  /** Resets all connections that stand; new ones are taken. @returns how many. */
  cut(): number {
    const links = [...this.#links];
    for (const link of links) link.reset();
    this.#counts.cut += links.length;
    return links.length;
  }

  /** Calls whose caller has gone since then, by the monotonic clock, before their answer had passed or just after. */
  callsLostSince(ms: number): number {
    return this.#losses.filter((loss) => loss.atMs >= ms && (loss.open || loss.answeredMsAgo <= ANSWERED_WITHIN_MS))
      .length;
  }

  #lost(calls: CallWatch): void {
    const atMs = performance.now();
    if (calls.callIsOpen) this.#counts.callsBroken += 1;
    if (!calls.callIsOpen && calls.answeredAtMs === null) return;
    if (!calls.callIsOpen && atMs - (calls.answeredAtMs ?? 0) <= ANSWERED_WITHIN_MS)
      this.#counts.callsJustAnswered += 1;
    this.#losses.push({ atMs, open: calls.callIsOpen, answeredMsAgo: atMs - (calls.answeredAtMs ?? 0) });
    if (this.#losses.length > LOSSES_MAX) this.#losses.shift();
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
    for (const link of [...this.#links]) link.reset();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #accept(client: Socket): void {
    this.#sockets.add(client);
    client.on("close", () => {
      this.#sockets.delete(client);
    });
    if (this.#mode.kind === "refuse") {
      this.#counts.refused += 1;
      client.on("error", () => undefined);
      client.resetAndDestroy();
      return;
    }
    this.#counts.connections += 1;
    const { targetHost = "127.0.0.1", targetPort, isCall } = this.#options;
    const target = connect({ host: targetHost, port: targetPort, allowHalfOpen: true, noDelay: true });
    const link: Link = new Link(client, target, isCall === undefined ? null : new CallWatch(isCall), {
      mode: () => this.#mode,
      slowed: () => {
        this.#counts.slowed += 1;
      },
      clientGone: (calls) => {
        this.#lost(calls);
      },
      ended: () => {
        this.#links.delete(link);
      },
    });
    this.#links.add(link);
  }
}

interface LinkPath {
  readonly mode: () => PathMode;
  readonly slowed: () => void;
  /** Once a connection. */
  readonly clientGone: (calls: CallWatch) => void;
  readonly ended: () => void;
}

/** One connection: a client's half and a server's half, and bytes between them. */
class Link {
  readonly calls: CallWatch | null;
  readonly #client: Socket;
  readonly #target: Socket;
  readonly #path: LinkPath;
  readonly #ways: readonly [Way, Way];
  /** The client will not hear another byte: a process that is killed ends its half in order. */
  #clientIsGone = false;

  constructor(client: Socket, target: Socket, calls: CallWatch | null, path: LinkPath) {
    this.#client = client;
    this.#target = target;
    this.calls = calls;
    this.#path = path;
    const { mode, slowed } = path;
    this.#ways = [
      new Way(client, target, { mode, slowed, came: (chunk) => calls?.request(chunk) }),
      new Way(target, client, {
        mode,
        slowed,
        went: (chunk) => calls?.answer(chunk, performance.now()),
        ended: () => {
          // Whatever the client still does: it will not hear the rest of the answer.
          if (calls?.callIsOpen === true) this.#loseClient();
        },
      }),
    ];
    client.on("end", () => {
      this.#loseClient();
    });
    for (const [socket, other, way] of [
      [client, target, this.#ways[0]],
      [target, client, this.#ways[1]],
    ] as const) {
      socket.on("error", () => {
        // What broke one half breaks the other the same way.
        this.reset();
      });
      socket.on("close", () => {
        if (socket.readableEnded && socket.writableEnded) way.finish();
        else other.resetAndDestroy();
        if (other.destroyed) this.#end();
      });
    }
  }

  pump(): void {
    for (const way of this.#ways) way.pump();
  }

  reset(): void {
    this.#client.resetAndDestroy();
    this.#target.resetAndDestroy();
    this.#end();
  }

  #loseClient(): void {
    if (this.#clientIsGone) return;
    this.#clientIsGone = true;
    if (this.calls !== null) this.#path.clientGone(this.calls);
  }

  #end(): void {
    this.#loseClient();
    for (const way of this.#ways) way.stop();
    this.#path.ended();
  }
}

interface WayOptions {
  readonly mode: () => PathMode;
  readonly slowed: () => void;
  readonly came?: (chunk: Buffer) => void;
  readonly went?: (chunk: Buffer) => void;
  readonly ended?: () => void;
}

/** One direction of a connection. */
class Way {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #options: WayOptions;
  /** `dueMs` by the monotonic clock; null: the end of the stream. */
  readonly #waiting: { chunk: Buffer | null; readonly dueMs: number }[] = [];
  #waitingBytes = 0;
  #timer: NodeJS.Timeout | null = null;
  #stopped = false;
  #full = false;

  constructor(from: Socket, to: Socket, options: WayOptions) {
    this.#from = from;
    this.#to = to;
    this.#options = options;
    from.on("data", (chunk: Buffer) => {
      options.came?.(chunk);
      this.#take(chunk);
    });
    from.on("end", () => {
      this.#take(null);
    });
    to.on("drain", () => {
      this.#full = false;
      this.pump();
    });
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** The sender has ended in order: what it sent still goes out, whatever the mode, and the other half ends. */
  finish(): void {
    this.#full = false;
    while (this.#waiting.length > 0 && !this.#to.destroyed) this.#pass(this.#waiting.shift()?.chunk ?? null);
    this.stop();
    if (!this.#to.writableEnded) this.#to.end();
  }

  /** Passes on what may go now. */
  pump(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#stopped) return;
    const mode = this.#options.mode();
    if (mode.kind === "hold") return;
    if (mode.kind === "throttle") this.#throttled(Math.max(1, Math.floor((mode.bytesPerS * THROTTLE_STEP_MS) / 1000)));
    else this.#due(mode.kind === "delay" ? performance.now() : Number.POSITIVE_INFINITY);
    if (this.#waitingBytes <= WAITING_BYTES_MAX && this.#from.isPaused()) this.#from.resume();
  }

  #take(chunk: Buffer | null): void {
    const mode = this.#options.mode();
    this.#waiting.push({ chunk, dueMs: performance.now() + (mode.kind === "delay" ? mode.ms : 0) });
    this.#waitingBytes += chunk?.length ?? 0;
    if (mode.kind !== "pass") this.#options.slowed();
    if (this.#waitingBytes > WAITING_BYTES_MAX) this.#from.pause();
    // A throttled way goes by its own timer.
    if (mode.kind !== "throttle" || this.#timer === null) this.pump();
  }

  #due(nowMs: number): void {
    while (!this.#full) {
      const [first] = this.#waiting;
      if (first === undefined) return;
      if (first.dueMs > nowMs) {
        this.#later(first.dueMs - nowMs);
        return;
      }
      this.#waiting.shift();
      this.#pass(first.chunk);
    }
  }

  #throttled(bytes: number): void {
    let left = bytes;
    while (left > 0 && !this.#full) {
      const [first] = this.#waiting;
      if (first === undefined) break;
      const { chunk } = first;
      if (chunk === null || chunk.length <= left) {
        this.#waiting.shift();
        left -= chunk?.length ?? 0;
        this.#pass(chunk);
      } else {
        first.chunk = chunk.subarray(left);
        this.#pass(chunk.subarray(0, left));
        left = 0;
      }
    }
    if (this.#waiting.length > 0) this.#later(THROTTLE_STEP_MS);
  }

  #later(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.pump();
    }, Math.ceil(ms));
  }

  #pass(chunk: Buffer | null): void {
    if (chunk === null) {
      this.#to.end();
      this.#options.ended?.();
      return;
    }
    this.#waitingBytes -= chunk.length;
    if (this.#to.destroyed) return;
    this.#full = !this.#to.write(chunk);
    this.#options.went?.(chunk);
  }
}
