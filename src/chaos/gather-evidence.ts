import pg from "pg";
import type { Evidence, Fault, PublishedRecord, RunParameters, Samples, SinkReading } from "./evidence/evidence.js";
import { readBill } from "./evidence/read-bill.js";
import { readLedger } from "./evidence/read-ledger.js";
import { readTopicEvidence } from "./evidence/read-topics.js";
import { TOPICS, type ChaosPlace } from "./chaos-place.js";

const TOPICS_TIMEOUT_MS = 180_000;

/** What the run itself knows; the rest is read from the servers. */
export interface OwnEvidence {
  readonly run: RunParameters;
  readonly published: readonly PublishedRecord[];
  readonly faults: readonly Fault[];
  readonly samples: Samples;
  readonly sinks: readonly SinkReading[];
}

/** Reads topics, ledger and bill, past all proxies, when nothing of the gateway runs any more. */
export async function gatherEvidence(place: ChaosPlace, own: OwnEvidence): Promise<Evidence> {
  const client = new pg.Client({ connectionString: place.stack.addresses.databaseUrl });
  await client.connect();
  try {
    const topics = await readTopicEvidence({
      brokers: place.brokers,
      topics: {
        jobs: [TOPICS.jobs],
        results: [TOPICS.results],
        costs: TOPICS.costs,
        deadLetters: [TOPICS.deadLetters],
        events: TOPICS.events,
      },
      timeoutMs: TOPICS_TIMEOUT_MS,
    });
    return { ...own, topics, ledger: await readLedger(client), bill: await readBill(place.billFile) };
  } finally {
    await client.end();
  }
}
