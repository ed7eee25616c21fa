/**
 * The demo's independent reader, a process of its own. It imports nothing of the gateway: it knows the publisher's list and the
 * bill file, reads the topics from their start, and prints one JSON report as the last line of stdout.
 * Exit 0 when there is no finding, 1 when there is one, 2 when it could not read.
 */
import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { check } from "./check.js";
import type { ReaderReport } from "./check.js";
import { parsePriceList } from "./list-price.js";
import { parsePublishedList } from "./published-list.js";
import { readTopics } from "./read-topics.js";

const TIMEOUT_MS = 60_000;
/** A report names at most this many findings; `findingCount` has them all. */
const FINDINGS_MAX = 200;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      brokers: { type: "string" },
      list: { type: "string" },
      bill: { type: "string" },
      "no-bill": { type: "boolean", default: false },
      pricing: { type: "string" },
      "first-model": { type: "string", multiple: true, default: [] },
      results: { type: "string", multiple: true },
      costs: { type: "string" },
      "dead-letters": { type: "string", multiple: true },
      "direct-may-expire": { type: "boolean", default: false },
      "allow-failure": { type: "string", multiple: true, default: [] },
    },
  });
  const { brokers, list, bill, pricing, results, costs } = values;
  const deadLetters = values["dead-letters"];
  if (
    brokers === undefined ||
    list === undefined ||
    (bill === undefined) !== values["no-bill"] ||
    pricing === undefined ||
    results === undefined ||
    costs === undefined ||
    deadLetters === undefined
  ) {
    process.stderr.write(
      "usage: reader-main --brokers A,B --list FILE (--bill FILE | --no-bill) --pricing FILE [--first-model ALIAS=PROVIDER/MODEL …] --results TOPIC … --costs TOPIC --dead-letters TOPIC … [--allow-failure CODE …] [--direct-may-expire]\n",
    );
    return 2;
  }
  const records = await readTopics({
    brokers: brokers.split(","),
    topics: [...results, costs, ...deadLetters],
    timeoutMs: TIMEOUT_MS,
  });
  const report = check({
    published: parsePublishedList(await readFile(list, "utf8")),
    results: records.filter((record) => results.includes(record.topic)),
    costs: records.filter((record) => record.topic === costs),
    deadLetters: records.filter((record) => deadLetters.includes(record.topic)),
    billText: bill === undefined ? null : await readFile(bill, "utf8"),
    prices: parsePriceList(await readFile(pricing, "utf8")),
    firstModels: new Map(values["first-model"].map(aliasAndModel)),
    failureCodesAllowed: new Set(values["allow-failure"]),
    directMayExpire: values["direct-may-expire"],
  });
  process.stdout.write(`${reportJson(report)}\n`);
  return report.findings.length === 0 ? 0 : 1;
}

function aliasAndModel(text: string): readonly [string, string] {
  const at = text.indexOf("=");
  return [text.slice(0, at), text.slice(at + 1)];
}

function reportJson(report: ReaderReport): string {
  const shown = { ...report, findingCount: report.findings.length, findings: report.findings.slice(0, FINDINGS_MAX) };
  return JSON.stringify(shown, (_name, value: unknown) => (typeof value === "bigint" ? String(value) : value));
}

main().then(
  (exitCode) => {
    process.exitCode = exitCode;
  },
  (error: unknown) => {
    process.stderr.write(`the reader could not read: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 2;
  },
);
