import { batchLedgerSuite } from "../contract/ledger-batch-cases.js";
import { ledgerSuite, type SuiteLedger } from "../contract/ledger-suite.js";
import { MemoryDatabase } from "../support/simulation/memory-database.js";
import { MemoryLedger } from "../support/simulation/memory-ledger.js";
import { START_MS } from "../support/simulation/fixture.js";

function open(): Promise<SuiteLedger & { readonly ledger: MemoryLedger }> {
  const nowMs = (): number => START_MS;
  const wire = { step: () => new Promise<void>((resolve) => setImmediate(resolve)), breaks: () => "no" as const };
  const ledger = new MemoryLedger(new MemoryDatabase(nowMs), wire);
  return Promise.resolve({
    ledger,
    operator: {
      openSession: () => ledger.openOperatorSession("operator"),
      replay: (request, render) => ledger.replayLetter(request, render),
    },
    nowMs,
    close: () => Promise.resolve(),
  });
}

ledgerSuite("the ledger in memory", open);
batchLedgerSuite("batches in the ledger in memory", open);
