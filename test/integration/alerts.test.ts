/** Alerts on real servers: two routers, one event, and a webhook that is away at first. */
import { createHmac } from "node:crypto";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Gateway } from "../support/gateway.js";
import { chatJob, headerText, resultIn } from "../support/gateway-records.js";

const SECRET = "the-receiver-knows-it-too";

interface Delivery {
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly answered: number;
}

/** A receiver that refuses everything until it is opened. */
class Receiver {
  readonly deliveries: Delivery[] = [];
  open = false;
  readonly #server: Server;

  constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const answered = this.open ? 204 : 503;
        this.deliveries.push({ headers: request.headers, body: Buffer.concat(chunks), answered });
        response.writeHead(answered).end();
      });
    });
  }

  async url(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${String((this.#server.address() as AddressInfo).port)}/hook`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

let gateway: Gateway;
const receiver = new Receiver();

beforeAll(async () => {
  gateway = await Gateway.open({
    name: "alerts",
    env: { ALERT_SECRET: SECRET },
    config: {
      delivery: { backoffBaseMs: 50, backoffMaxMs: 100, attemptsMax: 3 },
      sections: {
        alerts: {
          everyMs: 200,
          windowMs: 2000,
          raiseAfterMs: 200,
          clearAfterMs: 400,
          againAfterMs: 60_000,
          downCallsMin: 3,
          webhook: { url: await receiver.url(), secret: "${ALERT_SECRET}", backoffBaseMs: 100, backoffMaxMs: 300 },
        },
      },
    },
  });
  await Promise.all(["one", "two"].map((name) => gateway.startRouter(name)));
});
afterAll(async () => {
  await gateway.close();
  receiver.close();
});

interface EventDocument {
  readonly eventId: string;
  readonly kind: string;
  readonly severity: string;
  readonly account: string | null;
  readonly message: string;
  readonly detailsJson: string;
}

/** Of the alert that says the account is down; each with its `ce_id`. */
function downEvents(): readonly EventDocument[] {
  return gateway.topics.events.flatMap((record) => {
    const document = JSON.parse(record.value?.toString() ?? "") as EventDocument; // the published schema
    const details = JSON.parse(document.detailsJson) as { readonly alert?: string };
    if (details.alert !== "provider_down:openai-main") return [];
    expect([record.key?.toString(), headerText(record, "ce_id")]).toEqual(["openai-main", document.eventId]);
    return [document];
  });
}

/** As a receiver checks it, from the bytes that came. */
function isSigned({ headers, body }: Delivery): boolean {
  const timestamp = String(headers["sluice-timestamp"]);
  const hmac = createHmac("sha256", SECRET).update(`${timestamp}.`).update(body).digest("hex");
  const ageS = Date.now() / 1000 - Number(timestamp);
  return headers["sluice-signature"] === `v1=${hmac}` && Math.abs(ageS) < 300;
}

test("two routers raise an alert once, tell a webhook that is away at first, and take it back once", async () => {
  await gateway.simulator.setFaults([{ match: {}, fault: { kind: "status", status: 503 } }]);
  for (const no of [1, 2, 3, 4]) await gateway.publish({ value: chatJob(`down-${String(no)}`, `down ${String(no)}`) });
  const raised = await gateway.until("the alert", () => downEvents()[0] ?? null);
  expect(raised).toMatchObject({ kind: "alert.raised", severity: "critical", account: "openai-main" });
  expect(raised.message).toMatch(/^all \d+ calls of openai-main failed/);

  // The receiver refuses: the notice stays, and is tried again.
  await gateway.until("two refused tries", () => receiver.deliveries.length >= 2);
  expect(await gateway.query("SELECT event_id FROM alert_notices WHERE event_id = $1", [raised.eventId])).toHaveLength(
    1,
  );
  const status = await gateway.cli("status", "--json");
  expect(status.exitCode).toBe(6);
  const { alerts, needs } = JSON.parse(status.data.join("\n")) as {
    alerts: readonly unknown[];
    needs: readonly string[];
  };
  expect(alerts).toContainEqual(expect.objectContaining({ alert: "provider_down:openai-main", severity: "critical" }));
  expect(needs.join()).toContain("alert provider_down:openai-main: all ");
  const listed = await gateway.cli("alerts", "ls");
  expect([listed.exitCode, listed.data.join("\n")]).toEqual([0, expect.stringContaining("provider_down:openai-main")]);

  receiver.open = true;
  await gateway.simulator.setFaults([]);
  await gateway.publish({ value: chatJob("up", "up") });
  expect(resultIn(await gateway.result("up")).status).toBe("succeeded");
  const recovered = await gateway.until("the recovery", () => downEvents()[1] ?? null);
  expect(recovered).toMatchObject({ kind: "alert.recovered", severity: "info", account: "openai-main" });
  await gateway.until("all notices delivered", async () => {
    return (await gateway.query("SELECT 1 FROM alert_notices")).length === 0;
  });
  const now = await gateway.cli("alerts", "ls", "--all", "--json");
  expect(JSON.parse(now.data.join("\n"))).toMatchObject({
    alerts: expect.arrayContaining([expect.objectContaining({ alert: "provider_down:openai-main", state: "clear" })]),
  });

  // Both routers have looked many times since: still one event each.
  expect(downEvents()).toEqual([raised, recovered]);
  expect(receiver.deliveries.filter((delivery) => !isSigned(delivery))).toEqual([]);
  const taken = receiver.deliveries.filter(({ answered }) => answered === 204);
  const idsOf = (deliveries: readonly Delivery[]) => deliveries.map(({ headers }) => headers["sluice-event-id"]);
  expect(idsOf(taken).filter((id) => id === raised.eventId || id === recovered.eventId)).toEqual([
    raised.eventId,
    recovered.eventId,
  ]);
  expect(
    JSON.parse(taken.find(({ headers }) => headers["sluice-event-id"] === raised.eventId)?.body.toString() ?? "{}"),
  ).toEqual(raised);
  expect(idsOf(receiver.deliveries.filter(({ answered }) => answered === 503))).toContain(raised.eventId);
  for (const router of gateway.routers)
    expect(await router.metrics()).toContain('sluice_alerts{rule="provider_down"} 0');
});
