import { createServer, type Socket } from "node:net";

/**
 * The provider of the benchmarks: answers every POST with the same completion after `--latency-ms`. Plain sockets and no parsing of bodies, so
 * that it takes as little of the shared cores as it can; what is proven about answers and bills is proven against the simulator.
 * `GET /calls` says how many it answered.
 */
const latencyMs = Number(process.argv[process.argv.indexOf("--latency-ms") + 1] ?? 0);

const BODY = JSON.stringify({
  id: "chatcmpl-mock",
  object: "chat.completion",
  created: 1790000000,
  model: "gpt-4.1-mini-2025-04-14",
  choices: [
    {
      index: 0,
      message: {
        role: "assistant",
        content: "A short answer of about the usual length for a film catalogue.",
        refusal: null,
      },
      logprobs: null,
      finish_reason: "stop",
    },
  ],
  usage: { prompt_tokens: 42, completion_tokens: 14, total_tokens: 56, prompt_tokens_details: { cached_tokens: 0 } },
});
const ANSWER = Buffer.from(
  `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_mock\r\ncontent-length: ${String(Buffer.byteLength(BODY))}\r\n\r\n${BODY}`,
);
let calls = 0;

function serve(socket: Socket): void {
  let pending: Buffer = Buffer.alloc(0);
  socket.setNoDelay(true);
  socket.on("error", () => undefined);
  socket.on("data", (chunk) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    for (;;) {
      const end = pending.indexOf("\r\n\r\n");
      if (end < 0) return;
      const head = pending.toString("latin1", 0, end);
      const length = Number(/content-length: *(\d+)/i.exec(head)?.[1] ?? 0);
      if (pending.length < end + 4 + length) return;
      pending = pending.subarray(end + 4 + length);
      answer(socket, head);
    }
  });
}

function answer(socket: Socket, head: string): void {
  if (head.startsWith("GET")) {
    const text = JSON.stringify({ calls });
    socket.write(
      `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${String(text.length)}\r\n\r\n${text}`,
    );
    return;
  }
  calls += 1;
  if (latencyMs === 0) socket.write(ANSWER);
  else
    setTimeout(() => {
      if (!socket.destroyed) socket.write(ANSWER);
    }, latencyMs);
}

const server = createServer(serve);
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  process.stdout.write(
    `${JSON.stringify({ port: typeof address === "object" && address !== null ? address.port : 0 })}\n`,
  );
});
// The benchmark holds this pipe; when it ends, however it ends, so does the mock.
process.stdin.on("end", () => process.exit(0)).resume();
