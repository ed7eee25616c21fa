/** Results, cost records and events in Avro (`topics.<name>.encoding: avro`), read as any consumer reads them: through the registry's own client. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { SchemaRegistry } from "@kafkajs/confluent-schema-registry";
import { Gateway } from "../support/gateway.js";
import { chatJob, digestOf, headerText, type FoundRecord } from "../support/gateway-records.js";
import { servers } from "../support/servers.js";

const OWN_TOPIC = `results-avro.${randomUUID()}.answers`;

let gateway: Gateway;
let registry: SchemaRegistry;
beforeAll(async () => {
  const tenants = { acme: { tier: "standard", replyTopics: [OWN_TOPIC] } };
  gateway = await Gateway.open({ name: "results-avro", config: { encoding: "avro", sections: { tenants } } });
  registry = new SchemaRegistry({ host: servers().registryUrl });
});
afterAll(async () => {
  await gateway.close();
});

interface Fields {
  readonly [name: string]: unknown;
}

async function decoded(record: FoundRecord): Promise<Fields> {
  expect(headerText(record, "content-type")).toBe("application/vnd.apache.avro");
  return { ...((await registry.decode(record.value ?? Buffer.alloc(0))) as Fields) }; // a record of the registry's schema
}

const resultsOf = (jobId: string): readonly FoundRecord[] =>
  gateway.topics.results.filter((record) => headerText(record, "llm-job-id") === jobId);
const resultOf = (jobId: string): Promise<FoundRecord> =>
  gateway.until(`a result of ${jobId}`, () => resultsOf(jobId)[0] ?? null);

/** The cost record of one job: only its value says whose it is. */
const costOf = (jobId: string): Promise<Fields> =>
  gateway.until(`a cost record of ${jobId}`, async () => {
    const all = await Promise.all(gateway.topics.costs.map(decoded));
    return all.find((cost) => cost["jobId"] === jobId) ?? null;
  });

test("a router does not start before the schemas are registered, and says what to run", async () => {
  const failure = await gateway.startRouter("too-early").then(
    () => "it started",
    (error: unknown) => String(error),
  );
  expect(failure).toContain("exit code 3");
  expect(failure).toContain(`${gateway.topics.names.results}-value, ${OWN_TOPIC}-value`);
  expect(failure).toContain("run: sluice schemas register");
});

test("schemas register then has a subject for each topic that holds Avro", async () => {
  const reports = JSON.parse(await gateway.command("schemas", "register", "--json")) as readonly Fields[]; // its own format
  expect(reports.map(({ subject, state, file }) => [subject, state, file])).toEqual([
    [`${gateway.topics.names.jobs}-value`, "registered", "job.avsc"],
    [`${gateway.topics.names.results}-value`, "registered", "result.avsc"],
    [`${OWN_TOPIC}-value`, "registered", "result.avsc"],
    [`${gateway.topics.names.costs}-value`, "registered", "cost.avsc"],
    [`${gateway.topics.names.events}-value`, "registered", "event.avsc"],
  ]);
});

test("a consumer decodes a result and its cost record, and they equal the bill", async () => {
  await gateway.startRouter();
  await gateway.publish({
    key: "k",
    value: chatJob("paid", "a question", { labels: { department: "risk", team: "blue" } }),
  });
  const record = await resultOf("paid");
  const result = await decoded(record);
  const [bill] = await gateway.simulator.bill();
  expect(result).toMatchObject({
    v: 1,
    jobId: "paid",
    tenant: "acme",
    generation: 0,
    status: "succeeded",
    format: "openai.chat",
    errorCode: null,
    provider: "openai",
    served: "call",
    nanoUsd: Number(bill?.nanoUsd),
    billing: "charged",
    department: "risk",
    application: null,
    labelsJson: '{"department":"risk","team":"blue"}',
  });
  const body = JSON.parse(String(result["bodyJson"])) as {
    readonly choices: readonly { readonly message: { readonly content: string } }[];
  }; // an answer of the simulator
  expect(body.choices[0]?.message.content).toContain(`digest=${digestOf("a question")}`);
  expect(Math.abs(Number(result["finishedAt"]) - Date.now())).toBeLessThan(60_000);
  expect(headerText(record, "ce_id")).toBe(result["resultId"]);
  const cost = await costOf("paid");
  expect(cost).toMatchObject({
    kind: "charge",
    billing: "charged",
    jobId: "paid",
    resultId: result["resultId"],
    costId: result["costId"],
    account: "openai-main",
    nanoUsd: Number(bill?.nanoUsd),
    department: "risk",
  });
});

test("the same job again brings the same bytes", async () => {
  await gateway.publish({ key: "k", value: chatJob("paid", "a question") });
  const repeat = await gateway.until("the repeat", () => resultsOf("paid")[1] ?? null);
  expect(headerText(repeat, "llm-duplicate")).toBe("true");
  expect(headerText(repeat, "content-type")).toBe("application/vnd.apache.avro");
  expect(repeat.value).toEqual(resultsOf("paid")[0]?.value);
});

test("a refused job has a failed result in Avro beside its dead letter of the original bytes", async () => {
  const value = chatJob("refused", "a question", { body: { model: "nobody-knows-it", messages: [] } });
  const offset = await gateway.publish({ value });
  expect(await decoded(await resultOf("refused"))).toMatchObject({
    generation: -1,
    status: "failed",
    bodyJson: null,
    errorCode: "UNKNOWN_MODEL",
    errorClass: "caller",
    nanoUsd: 0,
    costId: null,
  });
  expect((await gateway.deadLetterOf(offset)).value).toEqual(Buffer.from(value));
});

test("an id that comes with another body brings an event in Avro", async () => {
  const offset = await gateway.publish({ value: chatJob("paid", "another question") });
  const record = await gateway.until("the event", () => gateway.topics.events[0] ?? null);
  const event = await decoded(record);
  expect(event).toMatchObject({
    eventId: headerText(record, "ce_id"),
    kind: "job.id_conflict",
    severity: "warning",
    tenant: "acme",
    jobId: "paid",
    generation: null,
    account: null,
  });
  expect(JSON.parse(String(event["detailsJson"]))).toMatchObject({ topic: gateway.topics.names.jobs });
  expect(Math.abs(Number(event["at"]) - Date.now())).toBeLessThan(60_000);
  expect((await gateway.deadLetterOf(offset)).value?.toString()).toContain("another question");
});

test("an operator's cancel writes Avro too, and results get prints it as JSON", async () => {
  await gateway.simulator.setLatency(30_000);
  await gateway.publish({ value: chatJob("stopped", "a long question") });
  await gateway.until("the call", async () => (await gateway.simulator.openCalls()) > 0);
  await gateway.command("jobs", "cancel", "stopped");
  expect(await decoded(await resultOf("stopped"))).toMatchObject({ status: "cancelled", errorCode: "CANCELLED" });
  const printed = JSON.parse(await gateway.command("results", "get", "stopped")) as Fields; // a line of JSON, as its help says
  expect(printed).toMatchObject({ jobId: "stopped", status: "cancelled", bodyJson: null });
});
