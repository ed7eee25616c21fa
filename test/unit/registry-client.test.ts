import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "@jest/globals";
import { createFindSchema, type SchemaAnswer } from "../../src/adapters/registry/registry-client.js";

const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.close().closeAllConnections();
});

/** What the client makes of one answer to its question for a schema. */
async function asked(status: number, type: string, body: string): Promise<SchemaAnswer> {
  const server = createServer((_request, response) => {
    response.writeHead(status, { "content-type": type }).end(body);
  });
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // it listens on a port
  const url = `http://127.0.0.1:${String(port)}`;
  return createFindSchema({ url, username: null, password: null, timeoutMs: 5000 })(7);
}

const JSON_TYPE = "application/vnd.schemaregistry.v1+json";

describe("a 404 of the registry", () => {
  test.each([
    ["Confluent", { error_code: 40403, message: "Schema 7 not found" }],
    ["Karapace", { error_code: 40403, message: "Schema not found" }],
    ["Apicurio", { error_code: 40403, message: "No content with id/hash '7' was found." }],
  ])("that speaks of the schema means that there is none (%s)", async (_whose, body) => {
    expect(await asked(404, JSON_TYPE, JSON.stringify(body))).toEqual({ kind: "unknown" });
  });

  test.each([
    ["an address that it does not have", JSON_TYPE, '{"error_code":404,"message":"HTTP 404 Not Found"}'],
    ["another server's page", "text/html", "<html><h1>Not Found</h1></html>"],
    ["nothing at all", "text/plain", ""],
  ])("that does not, of %s, is no answer", async (_what, type, body) => {
    const answer = await asked(404, type, body);
    expect(answer).toMatchObject({ kind: "unavailable" });
    expect(answer).toHaveProperty("message", expect.stringContaining("is registry.url right?"));
  });
});
