import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** One request as it came in, its body read to the end unless the script took it over. */
export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

type Answer = { readonly status?: number; readonly headers?: Record<string, string>; readonly body?: string | object };
/** What becomes of a request; `raw` takes it over before its body is read. */
export interface Script {
  answer?(request: SeenRequest): Answer | null;
  raw?(request: IncomingMessage, response: ServerResponse): void;
}

/** An HTTP server that answers by a script and remembers what it was asked. */
export class ScriptedServer {
  readonly seen: SeenRequest[] = [];
  connections = 0;
  readonly #server: Server;

  private constructor(script: Script) {
    this.#server = createServer((request, response) => {
      if (script.raw !== undefined) script.raw(request, response);
      else void this.#answer(script, request, response);
    });
    this.#server.on("connection", () => (this.connections += 1));
  }

  static async start(script: Script | ((request: SeenRequest) => Answer | null)): Promise<ScriptedServer> {
    const server = new ScriptedServer(typeof script === "function" ? { answer: script } : script);
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get origin(): string {
    return `http://127.0.0.1:${String((this.#server.address() as AddressInfo).port)}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Null of the script cuts the connection without an answer. */
  async #answer(script: Script, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = "", url = "", headers } = request;
    const seen = { method, url, headers, body: Buffer.concat(chunks).toString("utf8") };
    this.seen.push(seen);
    const answer = script.answer?.(seen) ?? null;
    if (answer === null) {
      request.socket.destroy();
      return;
    }
    const { status = 200, body = {} } = answer;
    response.writeHead(status, { "content-type": "application/json", ...answer.headers });
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  }
}
