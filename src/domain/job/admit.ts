import { ERROR_CODES } from "../failure.js";
import type { ErrorCode } from "../failure.js";
import type { EpochMs } from "../ids.js";
import type { AdmissionSettings } from "./admission-settings.js";
import { buildJob, labelsOf } from "./build-job.js";
import { bodyTextOf } from "./canonical.js";
import { chooseDeadline } from "./deadline.js";
import { findJobId, findTenant, ownOrDerivedJobId } from "./identify.js";
import type { JobDocument, ShapeProblem } from "./job-document.js";
import { REQUEST_FORMATS } from "./job.js";
import type { Admission, IncomingRecord, Refusal, RefusedIdentity, ReplyEnvelope, RequestFormat } from "./job.js";
import { readAvroDocument, readJsonDocument } from "./read-document.js";
import type { DecodedJob, ReadDocument, ReadProblem, UnknownField } from "./read-document.js";
import { headerBytes, readHeaders } from "./record-headers.js";
import type { ReadHeaders } from "./record-headers.js";
import { chooseReply, defaultReply, forTenant } from "./reply.js";
import type { ReplyRequest } from "./reply.js";
import { kindOf, nearestName, quoted } from "./wording.js";

/**
 * Admission: what one Kafka record means. Pure; it never throws for what a record holds, and its messages never quote a
 * prompt. The order of the checks is that of trust: limits on raw bytes before anything is decoded, text before it is parsed, whose
 * job it is before what it asks for. So whatever is wrong with a job's members can be answered to its sender.
 */
export interface JobAdmission {
  /** @param nowMs wall clock; only matters for records without a timestamp or with one in the future. */
  admit(record: IncomingRecord, nowMs: EpochMs): Admission;
  /** For a value that was decoded from Avro. The record's own value only counts for the size limit. */
  admitAvro(record: IncomingRecord, decoded: DecodedJob, nowMs: EpochMs): Admission;
  /** For a value that could not be had: why not, and whose job it was, as far as topic and headers tell. */
  refuse(record: IncomingRecord, problem: RecordProblem, nowMs: EpochMs): Admission;
}

export function createAdmission(settings: AdmissionSettings): JobAdmission {
  return new Admitter(settings);
}

/** Formats that have an adapter. The others are known words and refused by name. */
const SERVED_FORMATS: ReadonlySet<RequestFormat> = new Set<RequestFormat>([
  "openai.chat",
  "openai.embeddings",
  "anthropic.messages",
  "gemini.generate",
  "gemini.embed",
]);
const FORMAT_DEFAULT: RequestFormat = "openai.chat";
/** Longest model name; providers' own names stay below 100. */
const MODEL_CHARACTERS_MAX = 256;

export interface RecordProblem {
  readonly code: ErrorCode;
  readonly message: string;
}

interface OpenRecord {
  readonly record: IncomingRecord;
  readonly headers: ReadHeaders;
  readonly nowMs: EpochMs;
}

/** A record that is proven to be a certain tenant's and to have a certain id. */
interface NamedRecord extends OpenRecord, ReplyRequest {
  readonly jobId: string;
  readonly read: ReadDocument;
}

class Admitter implements JobAdmission {
  private readonly settings: AdmissionSettings;

  constructor(settings: AdmissionSettings) {
    this.settings = settings;
  }

  admit(record: IncomingRecord, nowMs: EpochMs): Admission {
    return this.open(record, nowMs, (value, headers) =>
      readJsonDocument(value, headers, this.settings.limits.depthMax),
    );
  }

  admitAvro(record: IncomingRecord, decoded: DecodedJob, nowMs: EpochMs): Admission {
    return this.open(record, nowMs, () => readAvroDocument(decoded, this.settings.limits.depthMax));
  }

  refuse(record: IncomingRecord, problem: RecordProblem, nowMs: EpochMs): Admission {
    // Headers beyond the limits are not looked into, whatever else is wrong.
    if (this.headersTooLarge(record) !== null) return refused(problem.code, problem.message);
    return this.unread({ record, headers: readHeaders(record.headers, this.settings.copiedHeaders), nowMs }, problem);
  }

  private open(
    record: IncomingRecord,
    nowMs: EpochMs,
    read: (value: Buffer, headers: ReadHeaders) => ReadDocument | ReadProblem,
  ): Admission {
    const headersTooLarge = this.headersTooLarge(record);
    if (headersTooLarge !== null) return refused("TOO_LARGE", headersTooLarge);
    const headers = readHeaders(record.headers, this.settings.copiedHeaders);
    const open: OpenRecord = { record, headers, nowMs };
    const { value } = record;
    const { valueBytesMax } = this.settings.limits;
    if (value !== null && value.length > valueBytesMax) {
      const message = `value: expected at most ${String(valueBytesMax)} bytes (limits.intake.valueBytesMax), got ${String(value.length)}`;
      return this.unread(open, { code: "TOO_LARGE", message });
    }
    if (headers.problem !== null) return refused(headers.problem.code, headers.problem.message);
    if (value === null || value.length === 0) return this.withoutValue(open);
    if (headers.action !== null) {
      return refused(
        "BAD_JOB",
        `header llm-action: expected it on an empty value only, got a value of ${String(value.length)} bytes`,
      );
    }
    const document = read(value, headers);
    return document.kind === "problem" ? this.unread(open, document) : this.identified(open, document);
  }

  private headersTooLarge(record: IncomingRecord): string | null {
    const { limits } = this.settings;
    const { length } = record.headers;
    if (length > limits.headerCountMax) {
      return `headers: expected at most ${String(limits.headerCountMax)} (limits.intake.headerCountMax), got ${String(length)}`;
    }
    const bytes = length === 0 ? 0 : headerBytes(record.headers);
    return bytes > limits.headerBytesMax
      ? `headers: expected at most ${String(limits.headerBytesMax)} bytes (limits.intake.headerBytesMax), got ${String(bytes)}`
      : null;
  }

  private withoutValue(open: OpenRecord): Admission {
    const { action } = open.headers;
    if (action === null) {
      const message =
        "value: expected a job, got nothing; to cancel a job add the headers llm-action: cancel and llm-job-id";
      return this.unread(open, { code: "NULL_VALUE", message });
    }
    if (action !== "cancel") {
      const message = `value: expected a job, got nothing; header llm-action: expected cancel, got ${quoted(action)}`;
      return this.unread(open, { code: "NULL_VALUE", message });
    }
    const found = findJobId(null, open.headers);
    if (found.kind !== "job_id") {
      const expected =
        found.kind === "bad" ? found.message : "expected the header llm-job-id beside llm-action: cancel, got none";
      const message = `value: expected a job, got nothing, which cancels no job either; ${expected}`;
      return this.unread(open, { code: "NULL_VALUE", message });
    }
    return this.cancelling(open, found.jobId);
  }

  /**
   * A value that is empty can't say its tenant. Where nothing else does it is the config's only one; of several any may have a job of this
   * id, and nobody's is cancelled.
   */
  private cancelling(open: OpenRecord, jobId: string): Admission {
    const { tenantFrom, tenants } = this.settings;
    const [only = null] = tenantFrom === "body" && tenants.size === 1 ? tenants.keys() : [];
    const claim = open.headers.tenant ?? only;
    if (tenantFrom === "body" && claim === null) {
      const message =
        "expected the header llm-tenant beside llm-action: cancel, got none, and several tenants may have a job of this id; send it again with the job's tenant";
      return refused("TENANT_MISMATCH", message, { tenant: null, jobId });
    }
    const owner = findTenant(this.settings, open.record.topic, [claim]);
    return owner.kind === "tenant"
      ? { kind: "cancel", tenant: owner.tenant, jobId }
      : refused("TENANT_MISMATCH", owner.message, { tenant: null, jobId });
  }

  /** No job could be made of the value; what was read of it, the headers and the topic may still name it, for whoever reads the dead letter. */
  private unread(open: OpenRecord, problem: RecordProblem & Pick<ReadProblem, "document">): Admission {
    const { headers } = open;
    // Of headers that contradict each other none is believed.
    if (headers.problem !== null) return refused(problem.code, problem.message);
    const { jobId, tenant } = problem.document ?? {};
    const claim = typeof tenant === "string" ? tenant : null;
    const owner = findTenant(this.settings, open.record.topic, [claim, headers.tenant]);
    const found = findJobId(jobId, headers);
    return refused(problem.code, problem.message, {
      tenant: owner.kind === "tenant" ? owner.tenant : null,
      jobId: found.kind === "job_id" ? found.jobId : null,
    });
  }

  private identified(open: OpenRecord, read: ReadDocument): Admission {
    const { document } = read;
    const found = findJobId(document["jobId"], open.headers);
    const jobId = ownOrDerivedJobId(found, open.record, this.settings.cluster);
    const claim = typeof document["tenant"] === "string" ? document["tenant"] : null;
    const owner = findTenant(this.settings, open.record.topic, [claim, open.headers.tenant]);
    if (owner.kind === "unproven") return refused("TENANT_MISMATCH", owner.message, { tenant: null, jobId });
    const { tenant, terms } = owner;
    if (found.kind === "bad" || jobId === null) {
      return refused("BAD_JOB", found.kind === "bad" ? found.message : "jobId: expected an id", {
        tenant,
        jobId: null,
      });
    }
    const { record, headers, nowMs } = open; // one by one: a spread here costs microseconds of each record
    return this.named({
      record,
      headers,
      nowMs,
      tenant,
      terms,
      jobId,
      read,
      resultsTopic: forTenant(this.settings.resultsTopic, tenant),
    });
  }

  private named(named: NamedRecord): Admission {
    const problem = this.settings.checkShape(named.read.document);
    if (problem !== null) return refusedByShape(named, problem);
    // What the check has just proven; a test compares type and schema.
    const document = named.read.document as JobDocument;
    const unserved = whatIsNotServed(named.read, document);
    if (unserved !== null) return refusedJob(named, "BAD_JOB", unserved, document);
    const chainProblem = this.chainProblem(document.chain ?? null);
    if (chainProblem !== null) return refusedJob(named, "BAD_JOB", chainProblem, document);
    const format = formatOf(document);
    const model = modelOf(document.body ?? {});
    if (model === null) return refusedJob(named, "BAD_JOB", modelExpected(document.body?.["model"]), document);
    const reply = chooseReply(named, document.replyTo ?? null);
    if (reply === null) return refusedJob(named, "REPLY_NOT_ALLOWED", replyExpected(named, document), document);
    const submittedAtMs = submittedAt(named.record, named.nowMs);
    const chosen = chooseDeadline(
      { deadline: document.deadline ?? null, ttlMs: document.ttlMs ?? null, isBatch: document.mode === "batch" },
      submittedAtMs,
      this.settings.lifetime,
    );
    if (chosen.kind === "bad") return refusedJob(named, "BAD_DEADLINE", chosen.message, document);
    const bodyText = bodyTextOf(named.read.text, named.read.shape);
    const { record, tenant, terms, jobId } = named;
    const { configRevision, reuse, routing } = this.settings;
    const deadlineMs = chosen.atMs;
    return {
      kind: "job",
      job: buildJob({
        record,
        tenant,
        terms,
        jobId,
        format,
        model,
        document,
        bodyText,
        submittedAtMs,
        deadlineMs,
        reply,
        headersDropped: named.headers.droppedCount,
        configRevision,
        reuse,
        routing,
        nowMs: named.nowMs,
      }),
    };
  }

  private chainProblem(chain: string | null): string | null {
    const { chains } = this.settings.routing;
    return chain === null || chains.has(chain)
      ? null
      : `chain: expected one of ${[...chains].join(", ")}, got ${quoted(chain)}`;
  }
}

/** The record's own time. A producer's clock that runs ahead must not stretch a deadline, so never later than now. */
function submittedAt(record: IncomingRecord, nowMs: EpochMs): EpochMs {
  return record.timestampMs > 0 ? Math.min(record.timestampMs, nowMs) : nowMs;
}

function formatOf(document: JobDocument): RequestFormat {
  return REQUEST_FORMATS.find((format) => format === document.format) ?? FORMAT_DEFAULT; // other words didn't pass the schema
}

/** What the contract has a name for and this version no code; null when there is nothing of it. */
function whatIsNotServed(read: ReadDocument, document: JobDocument): string | null {
  const [unknownField] = read.unknownFields;
  if (unknownField !== undefined) return unknownFieldWords(unknownField, " in the writer's schema");
  const format = formatOf(document);
  if (!SERVED_FORMATS.has(format))
    return `format: expected one of ${[...SERVED_FORMATS].join(", ")}, got ${format}, which is not served yet`;
  if ((document.bodyRef ?? null) !== null) return "bodyRef: not served yet; send the request in body";
  if (document.cache?.semantic === true) return "cache.semantic: expected false, got true, which is not served yet";
  if (read.shape.body === null || (document.body ?? null) === null) return "body: expected the request, got nothing";
  return null;
}

function modelOf(body: Readonly<Record<string, unknown>>): string | null {
  const { model } = body;
  return typeof model === "string" && model !== "" && model.length <= MODEL_CHARACTERS_MAX && !model.includes("\u0000")
    ? model
    : null;
}

function modelExpected(model: unknown): string {
  return `body.model: expected an alias, provider/model or a model's name of 1 to ${String(MODEL_CHARACTERS_MAX)} characters, got ${kindOf(model)}`;
}

function replyExpected(named: NamedRecord, document: JobDocument): string {
  const topic = document.replyTo ?? named.headers.replyTopic ?? "";
  return `replyTo: expected ${named.resultsTopic} or one of the tenant's replyTopics, got ${quoted(topic)}`;
}

function refusedByShape(named: NamedRecord, problem: ShapeProblem): Admission {
  const code = problem.path === "deadline" || problem.path === "ttlMs" ? "BAD_DEADLINE" : "BAD_JOB";
  const { path, expected, got, unknownField: name, knownFields: known } = problem;
  const message =
    name === null ? `${placeWords(path)}expected ${expected}, got ${got}` : unknownFieldWords({ path, name, known });
  return refusedJob(named, code, message, null);
}

function unknownFieldWords({ path, name, known }: UnknownField, where = ""): string {
  const nearest = nearestName(name, known);
  const hint = nearest === null ? `known are ${known.join(", ")}` : `did you mean ${quoted(nearest)}?`;
  return `${placeWords(path)}unknown field ${quoted(name)}${where}; ${hint}`;
}

function placeWords(path: string): string {
  return path === "" ? "" : `${path}: `;
}

/** @param document null while its shape is not proven: then labels and format are unknown. */
function refusedJob(named: NamedRecord, code: ErrorCode, message: string, document: JobDocument | null): Admission {
  const { tenant, jobId } = named;
  if (!ERROR_CODES[code].result) return refused(code, message, { tenant, jobId });
  const identity: RefusedIdentity = {
    tenant,
    jobId,
    format: document === null ? null : formatOf(document),
    labels: document === null ? {} : labelsOf(named.terms, document),
    submittedAtMs: submittedAt(named.record, named.nowMs),
    reply: replyOfRefusal(named),
    ...droppedOf(named),
  };
  return { kind: "refused", refusal: { code, message, tenant, jobId, identity } };
}

function droppedOf({ headers: { droppedCount } }: NamedRecord): { readonly headersDropped?: number } {
  return droppedCount === 0 ? {} : { headersDropped: droppedCount };
}

/** A wish that can be followed is followed, even when the job has another fault. */
function replyOfRefusal(named: NamedRecord): ReplyEnvelope {
  const asked = named.read.document["replyTo"];
  return chooseReply(named, typeof asked === "string" ? asked : null) ?? defaultReply(named);
}

function refused(
  code: ErrorCode,
  message: string,
  known: Pick<Refusal, "tenant" | "jobId"> = { tenant: null, jobId: null },
): Admission {
  return { kind: "refused", refusal: { code, message, ...known, identity: null } };
}
