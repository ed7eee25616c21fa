import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Evidence } from "../evidence/evidence.js";
import type { ChaosReport } from "./chaos-report.js";
import { reportPage } from "./report-page.js";

/** Writes `report.json` and `report.md`; what was there is replaced. */
export async function writeReport(folder: string, report: ChaosReport, evidence: Evidence): Promise<void> {
  await mkdir(folder, { recursive: true });
  const { figures, violations, broken, facts } = report;
  const json = { figures, broken, violations, facts, faults: evidence.faults };
  await writeFile(join(folder, "report.json"), `${JSON.stringify(json, bigintAsText, 2)}\n`);
  await writeFile(join(folder, "report.md"), reportPage(report, evidence));
}

/** All that the checkers were given, one list a line, for a look afterwards; records without their bytes. */
export async function writeEvidence(file: string, { topics, ledger, samples, ...rest }: Evidence): Promise<void> {
  const parts = [
    ...Object.entries(rest),
    // Topics and ledger both have costs and dead letters.
    ...Object.entries(topics).map(([name, part]) => [`topics.${name}`, part] as const),
    ...Object.entries(ledger).map(([name, part]) => [`ledger.${name}`, part] as const),
    ["samples", samples] as const,
  ];
  const lines = parts.map(([name, part]) => `${JSON.stringify(name)}:${JSON.stringify(part, bigintAsText)}`);
  await writeFile(file, `{${lines.join(",\n")}}\n`);
}

function bigintAsText(_name: string, value: unknown): unknown {
  if (typeof value === "bigint") return String(value);
  if (value instanceof Map) return undefined; // a record's headers
  return isBuffer(value) ? undefined : value;
}

/** As JSON sees one. */
function isBuffer(value: unknown): boolean {
  return typeof value === "object" && value !== null && "type" in value && value.type === "Buffer" && "data" in value;
}
