import { connect } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import { afterEach, describe, expect, test } from "@jest/globals";
import {
  startHealthServer,
  type HealthServer,
  type HealthServerOptions,
} from "../../src/adapters/http/health-server.js";

const open: HealthServer[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.close()));
});

async function start(options: Partial<HealthServerOptions> = {}): Promise<HealthServer> {
  const server = await startHealthServer({
    host: "127.0.0.1",
    port: 0,
    checks: {},
    started: () => true,
    draining: () => false,
    metrics: { text: () => Promise.resolve("sluice_x 1\n"), contentType: "text/plain; version=0.0.4" },
    ...options,
  });
  open.push(server);
  return server;
}

async function get(
  server: HealthServer,
  path: string,
  method = "GET",
): Promise<readonly [status: number, text: string]> {
  const response = await fetch(server.url + path, { method });
  return [response.status, await response.text()];
}

async function waitUntil(holds: () => boolean): Promise<void> {
  while (!holds()) await nextTurn(); // one turn after the other until the request has come
}

describe("the health server", () => {
  test("is ready when every check holds", async () => {
    const server = await start({
      checks: { postgres: () => Promise.resolve(null), kafka: () => Promise.resolve(null) },
    });
    expect(await get(server, "/readyz")).toEqual([200, "ok\n"]);
    expect(await get(server, "/readyz?verbose")).toEqual([
      200,
      "[+] started ok\n[+] not draining ok\n[+] postgres ok\n[+] kafka ok\nok\n",
    ]);
  });

  test("is not ready when one check fails, and says which and why", async () => {
    const server = await start({
      checks: { postgres: () => Promise.reject(new Error("connection refused")), kafka: () => Promise.resolve(null) },
    });
    expect(await get(server, "/readyz")).toEqual([503, "[-] postgres: connection refused\nnot ready\n"]);
  });

  test("stays alive while its checks fail", async () => {
    const server = await start({ checks: { kafka: () => Promise.resolve("all brokers are down") } });
    expect(await get(server, "/livez")).toEqual([200, "ok\n"]);
  });

  test("is not ready from the moment it drains", async () => {
    let draining = false;
    const server = await start({ draining: () => draining });
    expect((await get(server, "/readyz"))[0]).toBe(200);
    draining = true;
    expect(await get(server, "/readyz")).toEqual([503, "[-] not draining: the router is stopping\nnot ready\n"]);
    expect((await get(server, "/livez"))[0]).toBe(200);
  });

  test("is neither started nor ready before the start is done", async () => {
    let started = false;
    const server = await start({ started: () => started });
    expect([(await get(server, "/startupz"))[0], (await get(server, "/readyz"))[0]]).toEqual([503, 503]);
    started = true;
    expect([(await get(server, "/startupz"))[0], (await get(server, "/readyz"))[0]]).toEqual([200, 200]);
  });

  test("gives up on a check that never answers", async () => {
    const server = await start({ checks: { postgres: () => new Promise(() => undefined) }, checkTimeoutMs: 20 });
    expect(await get(server, "/readyz")).toEqual([503, "[-] postgres: does not answer within 20 ms\nnot ready\n"]);
  });

  test("runs its checks once for probes that come together", async () => {
    let runs = 0;
    let finish: (trouble: null) => void = () => undefined;
    const gate = new Promise<null>((resolve) => {
      finish = resolve;
    });
    const check = (): Promise<null> => {
      runs += 1;
      return gate;
    };
    const server = await start({ checks: { postgres: check } });
    // Sent in one write on one connection, so all three have come before any of them is answered.
    const answers = await new Promise<string>((resolve) => {
      let received = "";
      const socket = connect(server.port, "127.0.0.1", () =>
        socket.write("GET /readyz HTTP/1.1\r\nhost: h\r\n\r\n".repeat(3)),
      );
      socket.setEncoding("utf8").on("data", (chunk: string) => {
        received += chunk;
        if (received.split("HTTP/1.1 200").length === 4) {
          socket.destroy();
          resolve(received);
        }
      });
      void waitUntil(() => runs > 0).then(() => {
        finish(null);
      });
    });
    expect([answers.split("HTTP/1.1").length - 1, runs]).toEqual([3, 1]);
  });

  test("hands out the metrics with their content type", async () => {
    const server = await start();
    const response = await fetch(`${server.url}/metrics`);
    expect([response.status, response.headers.get("content-type"), await response.text()]).toEqual([
      200,
      "text/plain; version=0.0.4",
      "sluice_x 1\n",
    ]);
  });

  test("answers 500 when the metrics can't be collected", async () => {
    const server = await start({ metrics: { text: () => Promise.reject(new Error("no")), contentType: "text/plain" } });
    expect((await get(server, "/metrics"))[0]).toBe(500);
  });

  test.each([
    ["/", "GET", 404],
    ["//", "GET", 404],
    ["/livez", "POST", 405],
    ["/livez", "HEAD", 200],
  ])("answers %s by %s with %i", async (path, method, status) => {
    const server = await start();
    expect((await get(server, path, method))[0]).toBe(status);
  });

  test("refuses a port that is taken", async () => {
    const server = await start();
    await expect(start({ port: server.port })).rejects.toMatchObject({ code: "EADDRINUSE" });
  });

  test("closes twice without harm", async () => {
    const server = await start();
    await Promise.all([server.close(), server.close()]);
    await expect(fetch(`${server.url}/livez`)).rejects.toThrow();
  });
});
