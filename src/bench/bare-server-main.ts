import { createServer } from "node:http";

/**
 * What Node's own HTTP server costs, beside which the simulator is measured: takes in each body whole and answers with a text of the same length and
 * as many headers as OpenAI's chat answers have, without a look at either. Ends with its stdin.
 */
const BODY = JSON.stringify({ text: "a".repeat(900) });
const HEADERS = [
  "x-request-id",
  "req_0123456789abcdef0123456789abcdef",
  "content-length",
  String(BODY.length),
  "content-type",
  "application/json",
  ...["limit", "remaining", "reset"].flatMap((name) => [`x-ratelimit-${name}-requests`, "1000"]),
  ...["limit", "remaining", "reset"].flatMap((name) => [`x-ratelimit-${name}-tokens`, "1000"]),
];

const server = createServer({ keepAliveTimeout: 75_000, requestTimeout: 0 }, (request, response) => {
  const pieces: Buffer[] = [];
  request.on("data", (piece: Buffer) => {
    pieces.push(piece);
  });
  request.on("end", () => {
    Buffer.concat(pieces);
    response.writeHead(200, HEADERS);
    response.end(BODY);
  });
});
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  process.stdout.write(`${JSON.stringify({ port })}\n`);
});
process.stdin.on("end", () => process.exit(0)).resume();
