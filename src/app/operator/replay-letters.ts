import { isAboutDelivery } from "../../domain/dead-letter/replay.js";
import type { ReplaySettings } from "../../domain/dead-letter/replay-settings.js";
import type { AdmittedJob } from "../../domain/job/job.js";
import type { JobAdmission } from "../../domain/job/admit.js";
import { parseEnvelope } from "../../domain/result/envelope.js";
import { isRegistryFramed, type ValueDecoder } from "../../ports/value-decoder.js";
import { loadLetter, type Letter } from "../../adapters/postgres/operator/letter-rows.js";
import { envelopeOf } from "../../adapters/postgres/operator/job-rows.js";
import { redeliverLetter, type RedeliverOutcome } from "../../adapters/postgres/operator/redeliver-letter.js";
import { replayLetter, type ReplayOutcome } from "../../adapters/postgres/operator/replay-letter.js";
import type { LetterFilter } from "../../adapters/postgres/operator/sql-filter.js";
import { createAvroDecoder } from "../../adapters/registry/avro-decoder.js";
import { createFindSchema } from "../../adapters/registry/registry-client.js";
import { systemClock } from "../../adapters/system/system-clock.js";
import { buildAdmission, buildReuse } from "../build-domain.js";
import type { Operator } from "./open-operator.js";
import { RefusedCounts, type ReplayPlan } from "./plan-replay.js";
import { selectLetters } from "./select-letters.js";

export interface ReplayOptions {
  readonly filter: LetterFilter;
  readonly settings: ReplaySettings;
  readonly parked: boolean;
  /** Letters a second at most; null: as fast as the ledger takes them. */
  readonly ratePerSecond: number | null;
  /** Ends between two letters; what was replayed stays. */
  readonly signal: AbortSignal;
}

export interface ReplayReport {
  readonly replayed: number;
  /** `redelivered`: a record that its topic had not taken goes out again. */
  readonly how: {
    readonly queued: number;
    readonly joined: number;
    readonly cached: number;
    readonly redelivered: number;
  };
  /** Somebody else replayed or discarded these after they were selected. */
  readonly endedMeanwhile: number;
  readonly refused: ReplayPlan["refused"];
  readonly stopped: boolean;
}

/** Replays all letters that the filter means, one transaction each. Repeating it replays nothing twice. */
export async function replayLetters(operator: Operator, options: ReplayOptions): Promise<ReplayReport> {
  const replayer = new Replayer(operator, options);
  const refused = new RefusedCounts();
  const how = { queued: 0, joined: 0, cached: 0, redelivered: 0 };
  let endedMeanwhile = 0;
  for await (const page of selectLetters(operator, options.filter)) {
    for (const letter of page) {
      if (options.signal.aborted) return reportOf(how, endedMeanwhile, refused, true);
      // Serial: the pace is a promise, and one transaction a letter keeps locks short.
      const outcome = await replayer.replay(letter);
      if (outcome.kind !== "refused") operator.context.reach("replay.after_letter");
      if (outcome.kind === "redelivered") how.redelivered += 1;
      else if (outcome.kind === "replayed") how[outcome.how] += 1;
      else if (
        letter.state !== "replayed" &&
        letter.state !== "discarded" &&
        (outcome.why === "replayed_already" || outcome.why === "discarded")
      )
        endedMeanwhile += 1;
      else refused.add(outcome.why, letter.no);
    }
  }
  return reportOf(how, endedMeanwhile, refused, false);
}

function reportOf(
  how: ReplayReport["how"],
  endedMeanwhile: number,
  refused: RefusedCounts,
  stopped: boolean,
): ReplayReport {
  return {
    replayed: how.queued + how.joined + how.cached + how.redelivered,
    how,
    endedMeanwhile,
    refused: refused.all,
    stopped,
  };
}

class Replayer {
  readonly #operator: Operator;
  readonly #options: ReplayOptions;
  readonly #admission: JobAdmission;
  readonly #decoder: ValueDecoder | null;
  #nextAtMs = 0;

  constructor(operator: Operator, options: ReplayOptions) {
    this.#operator = operator;
    this.#options = options;
    this.#admission = buildAdmission(operator.config, "");
    const { url, username, password, timeoutMs, negativeCacheMs } = operator.config.registry;
    const { valueBytesMax } = operator.config.limits.intake;
    this.#decoder =
      url === null
        ? null
        : createAvroDecoder(
            { valueBytesMax, negativeCacheMs },
            createFindSchema({ url, username, password, timeoutMs }),
            systemClock,
          );
  }

  async replay(letter: Letter): Promise<ReplayOutcome | RedeliverOutcome> {
    await this.#keepPace();
    if (isAboutDelivery(letter.code)) {
      const { context, byWhom } = this.#operator;
      const session = await this.#operator.session();
      const redelivery = { letterNo: letter.no, byWhom, session, parked: this.#options.parked };
      return redeliverLetter(context, redelivery, await this.#operator.render());
    }
    const first = await this.#once(letter, null);
    if (first.kind === "replayed" || first.why !== "no_request") return first;
    const readmitted = await this.#readmit(letter);
    return readmitted === null ? first : this.#once(letter, readmitted);
  }

  async #once(letter: Letter, readmitted: AdmittedJob | null): Promise<ReplayOutcome> {
    const { context, byWhom } = this.#operator;
    const { settings, parked } = this.#options;
    const render = await this.#operator.render();
    const session = await this.#operator.session();
    const reuse = buildReuse(this.#operator.config);
    return replayLetter(context, { letterNo: letter.no, byWhom, session, settings, parked, readmitted, reuse }, render);
  }

  async #keepPace(): Promise<void> {
    const { ratePerSecond, signal } = this.#options;
    if (ratePerSecond === null) return;
    const nowMs = systemClock.monotonicMs();
    if (this.#nextAtMs > nowMs) await systemClock.sleep(this.#nextAtMs - nowMs, signal);
    this.#nextAtMs = Math.max(nowMs, this.#nextAtMs) + 1000 / ratePerSecond;
  }

  /** A job whose deadline had passed at intake never had an execution: its request is in its record alone. */
  async #readmit(letter: Letter): Promise<AdmittedJob | null> {
    const { pools } = this.#operator;
    const [full, envelopeText] = await Promise.all([
      loadLetter(pools.durable, letter.no),
      letter.job === null ? null : envelopeOf(pools.durable, letter.job),
    ]);
    if (full === null || envelopeText === null) return null;
    const envelope = parseEnvelope(envelopeText);
    const { value, headersText } = full.record;
    const headers = JSON.parse(headersText) as [string, string][]; // written by keptHeaders
    const record = {
      ...envelope.source,
      timestampMs: envelope.submittedAtMs,
      key: envelope.reply.key === null ? null : Buffer.from(envelope.reply.key, "base64"),
      value,
      headers: headers.map(([name, base64]) => ({ name, value: Buffer.from(base64, "base64") })),
    };
    const nowMs = this.#operator.nowMs();
    const decoded = isRegistryFramed(value) ? await this.#decoder?.decode(value, this.#options.signal) : undefined;
    if (isRegistryFramed(value) && decoded?.kind !== "decoded") return null;
    const admission =
      decoded?.kind === "decoded"
        ? this.#admission.admitAvro(record, decoded.document, nowMs)
        : this.#admission.admit(record, nowMs);
    return admission.kind === "job" && admission.job.tenant === letter.tenant ? admission.job : null;
  }
}
