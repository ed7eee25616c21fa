import { connect, type Socket } from "node:net";
import { Worker } from "node:worker_threads";

/** What the server counts, in the order of the array that both threads share. */
const OPEN = 0;
const CONNECTIONS = 1;
const REQUESTS = 2;

const SERVER = `
const { workerData, parentPort } = require("node:worker_threads");
const { createServer } = require("node:http");
const shared = new Int32Array(workerData.shared);
const server = createServer((request, response) => {
  Atomics.add(shared, ${String(REQUESTS)}, 1);
  request.resume();
  request.on("end", () => response.writeHead(200, { "content-type": "application/json" }).end(workerData.answer));
});
server.on("connection", () => Atomics.add(shared, ${String(CONNECTIONS)}, 1));
server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
  parentPort.postMessage(server.address().port);
  setImmediate(() => Atomics.wait(shared, ${String(OPEN)}, 0));
});
`;

/**
 * An HTTP server to which no connection can be opened until `open`: its thread stands still and its backlog is full. A client whose SYN was
 * dropped comes back with it about a second later, so opening a connection takes about that long once the server is open.
 */
export class SluggishServer {
  readonly baseUrl: string;
  readonly #worker: Worker;
  readonly #shared: Int32Array;
  readonly #fillers: readonly Socket[];

  static async start(answer: string): Promise<SluggishServer> {
    const shared = new SharedArrayBuffer(12);
    const worker = new Worker(SERVER, { eval: true, workerData: { shared, answer } });
    const port = await new Promise<number>((resolve) => worker.once("message", resolve));
    // A backlog of one holds two connections on Linux; more of these would wait as the calls under test do.
    const fillers = await Promise.all([filler(port), filler(port)]);
    return new SluggishServer(port, worker, new Int32Array(shared), fillers);
  }

  private constructor(port: number, worker: Worker, shared: Int32Array, fillers: readonly Socket[]) {
    this.baseUrl = `http://127.0.0.1:${String(port)}/v1`;
    this.#worker = worker;
    this.#shared = shared;
    this.#fillers = fillers;
  }

  open(): void {
    Atomics.store(this.#shared, OPEN, 1);
    Atomics.notify(this.#shared, OPEN);
  }

  /** Connections that the server has accepted, without those that filled its backlog. */
  get connections(): number {
    return Atomics.load(this.#shared, CONNECTIONS) - this.#fillers.length;
  }

  get requests(): number {
    return Atomics.load(this.#shared, REQUESTS);
  }

  async close(): Promise<void> {
    for (const socket of this.#fillers) socket.destroy();
    this.open();
    await this.#worker.terminate();
  }
}

function filler(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => {
      resolve(socket);
    });
    socket.on("error", reject);
  });
}
