import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { kindFacts, openProvider, PROVIDER_KINDS } from "../../src/adapters/providers/registry.js";
import { parsePriceTable } from "../../src/domain/cost/price-table.js";
import { familyOf } from "../../src/domain/route/format-family.js";
import { readFileSync } from "node:fs";

const paths: string[] = [];
let server: Server;
let baseUrl = "";

beforeAll(async () => {
  server = createServer((request, response) => {
    paths.push(request.url ?? "");
    response.writeHead(503, { "content-type": "application/json" }).end("{}");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  baseUrl = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
});

afterAll(() => new Promise((resolve) => server.close(resolve)));

describe.each(PROVIDER_KINDS.map((facts) => [facts.kind, facts] as const))("%s", (kind, facts) => {
  test.each(facts.formats)("speaks %s by itself, as its facts say", async (format) => {
    const provider = await openProvider(kind, {
      account: "a",
      baseUrl,
      apiKey: () => "k",
      connectionsMax: 1,
      connectTimeoutMs: 1000,
      idleTimeoutMs: 1000,
      responseBytesMax: 1000,
      nowMs: () => 0,
    });
    paths.length = 0;
    const outcome = await provider.call(
      {
        attemptId: "a1",
        format,
        model: "m",
        bodyText: '{"member":"of the caller alone"}',
        maxOutputTokensDefault: 1,
        timeoutMs: 1000,
        sendWithinMs: 1000,
        maySend: () => true,
      },
      new AbortController().signal,
    );
    await provider.close();
    // A body that no translation would carry has reached the provider as it is.
    expect(outcome).toMatchObject({ outcome: "overloaded", sent: "answered" });
    expect(paths).toHaveLength(1);
  });

  test("has facts that routing can use", () => {
    expect(new Set(facts.formats.map(familyOf)).size).toBe(facts.formats.length);
    expect(facts.billing.source).toMatch(/\w/);
    expect(kindFacts(kind)).toBe(facts);
  });

  test("has prices in the table that comes with Sluice, unless it is a server of one's own", () => {
    const table = parsePriceTable(readFileSync("schemas/pricing.json", "utf8"));
    const listed = [...table.models.keys()].some((key) => key.startsWith(`${kind}/`));
    expect(listed).toBe(!facts.selfHosted);
  });
});

test("a kind that is not in the registry is refused", () => {
  expect(() => kindFacts("nobody")).toThrow(RangeError);
});
