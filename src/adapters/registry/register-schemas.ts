import { readFileSync } from "node:fs";
import { COMPATIBILITY, SchemaType } from "@kafkajs/confluent-schema-registry";
import { SCHEMAS_DIRECTORY } from "./job-schema.js";
import { createRegistryClient, messageOf, statusOf } from "./registry-client.js";
import type { RegistrySettings } from "./registry-client.js";

/** The topics whose values have a schema. */
export interface SchemaTopics {
  readonly jobs: readonly string[];
  readonly results: string;
  /** Topics of the tenants' own that results go to; named only where results are Avro. */
  readonly replies: readonly string[];
  readonly costs: string;
  readonly events: string;
}

export interface SchemaSubject {
  /** `<topic>-value`. */
  readonly subject: string;
  /** A file of schemas/. */
  readonly file: string;
  readonly compatibility: "BACKWARD_TRANSITIVE" | "FULL_TRANSITIVE";
}

/** What became of one subject. `same`: this very schema is there. `failed`: the message says why. */
export type SubjectReport = SchemaSubject &
  (
    | { readonly state: "same" | "registered"; readonly id: number }
    | { readonly state: "missing" | "compatible" }
    | { readonly state: "failed"; readonly reachable: boolean; readonly message: string }
  );

/** We read jobs, so new readers must take old writers' values; others read what we write, in versions older and newer. */
export function schemaSubjects(topics: SchemaTopics): readonly SchemaSubject[] {
  return [
    ...topics.jobs.map((topic) => subject(topic, "job.avsc", "BACKWARD_TRANSITIVE")),
    ...[topics.results, ...topics.replies].map((topic) => subject(topic, "result.avsc", "FULL_TRANSITIVE")),
    subject(topics.costs, "cost.avsc", "FULL_TRANSITIVE"),
    subject(topics.events, "event.avsc", "FULL_TRANSITIVE"),
  ];
}

function subject(topic: string, file: string, compatibility: SchemaSubject["compatibility"]): SchemaSubject {
  return { subject: `${topic}-value`, file, compatibility };
}

/**
 * Registers the published schemas under `<topic>-value`, each with its compatibility. Idempotent: a schema that is there keeps its id.
 * Never throws for the registry: each subject's report says what happened.
 */
export async function registerSchemas(
  settings: RegistrySettings,
  topics: SchemaTopics,
  directory: URL = SCHEMAS_DIRECTORY,
): Promise<readonly SubjectReport[]> {
  const client = createRegistryClient(settings);
  const reports: SubjectReport[] = [];
  for (const item of schemaSubjects(topics)) {
    const schema = schemaText(item.file, directory);
    try {
      // One after the other: a registry without transactions may give two subjects one id when asked at once.
      const before = await registeredId(client, item.subject, schema);
      const { id } = await client.register(
        { type: SchemaType.AVRO, schema },
        { subject: item.subject, compatibility: COMPATIBILITY[item.compatibility] },
      );
      reports.push({ ...item, state: before === id ? "same" : "registered", id });
    } catch (error) {
      reports.push(failed(item, error));
    }
  }
  return reports;
}

/** Says what `registerSchemas` would meet, and changes nothing. */
export async function checkSchemas(
  settings: RegistrySettings,
  topics: SchemaTopics,
  directory: URL = SCHEMAS_DIRECTORY,
): Promise<readonly SubjectReport[]> {
  const client = createRegistryClient(settings);
  const reports: SubjectReport[] = [];
  for (const item of schemaSubjects(topics)) {
    const schema = schemaText(item.file, directory);
    try {
      const id = await registeredId(client, item.subject, schema); // serial like the registration, for reports in one order
      reports.push(id === null ? await compatibility(settings, item, schema) : { ...item, state: "same", id });
    } catch (error) {
      reports.push(failed(item, error));
    }
  }
  return reports;
}

/** The id under which this very schema is in a subject; null when it is not there. */
export async function registeredId(
  client: ReturnType<typeof createRegistryClient>,
  name: string,
  schema: string,
): Promise<number | null> {
  try {
    return await client.getRegistryIdBySchema(name, { type: SchemaType.AVRO, schema });
  } catch (error) {
    // The client wraps a 404 of this question in an error of its own without a status.
    if (statusOf(error) === 404 || (error instanceof Error && error.name === "ConfluentSchemaRegistryError"))
      return null;
    throw error;
  }
}

/** The client keeps this question to itself, so it is asked directly (Confluent API reference, "Compatibility"). */
async function compatibility(settings: RegistrySettings, item: SchemaSubject, schema: string): Promise<SubjectReport> {
  const path = `compatibility/subjects/${encodeURIComponent(item.subject)}/versions/latest?verbose=true`;
  const { username, password } = settings;
  const response = await fetch(`${settings.url.replace(/\/+$/, "")}/${path}`, {
    method: "POST",
    headers: {
      "content-type": "application/vnd.schemaregistry.v1+json",
      ...(username === null || password === null
        ? {}
        : { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}` }),
    },
    body: JSON.stringify({ schema }),
    signal: AbortSignal.timeout(settings.timeoutMs),
  });
  if (response.status === 404) return { ...item, state: "missing" };
  const answer: unknown = await response.json();
  if (!response.ok)
    return { ...item, state: "failed", reachable: true, message: `the registry answered ${String(response.status)}` };
  const isCompatible =
    typeof answer === "object" && answer !== null && "is_compatible" in answer && answer.is_compatible === true;
  return isCompatible
    ? { ...item, state: "compatible" }
    : {
        ...item,
        state: "failed",
        reachable: true,
        message: `expected a schema that the last version of ${item.subject} is compatible with, got another`,
      };
}

function failed(item: SchemaSubject, error: unknown): SubjectReport {
  return { ...item, state: "failed", reachable: statusOf(error) !== null, message: messageOf(error) };
}

/** Without layout and in the file's order: what is registered is the same text on every machine. */
export function schemaText(file: string, directory: URL): string {
  return JSON.stringify(JSON.parse(readFileSync(new URL(file, directory), "utf8")));
}
