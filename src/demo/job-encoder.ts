import { SchemaRegistry } from "@kafkajs/confluent-schema-registry";
import type { FilmJob } from "./film-jobs.js";
import type { JobEncoder } from "./publisher.js";

/** Encodes jobs as JSON only. */
export function jsonJobEncoder(): JobEncoder {
  return (job) => Promise.resolve(jsonJob(job));
}

/**
 * Encodes each job the way it asks for: JSON, or Avro by the schema registered for the jobs topic.
 * @throws Error when the registry does not answer or knows no schema of the topic's subject.
 */
export async function registryJobEncoder(registryUrl: string, topic: string): Promise<JobEncoder> {
  const registry = new SchemaRegistry({ host: registryUrl });
  const schemaId = await registry.getLatestSchemaId(`${topic}-value`);
  return async (job) => (job.encoding === "avro" ? await registry.encode(schemaId, avroJob(job)) : jsonJob(job));
}

function jsonJob(job: FilmJob): Buffer {
  return Buffer.from(
    JSON.stringify({ jobId: job.jobId, tenant: job.tenant, format: job.format, ...job.terms, body: job.body }),
    "utf8",
  );
}

/** In Avro the body travels as JSON text; fields left out take the schema's defaults. */
function avroJob(job: FilmJob): Readonly<Record<string, unknown>> {
  return { jobId: job.jobId, tenant: job.tenant, format: job.format, ...job.terms, bodyJson: JSON.stringify(job.body) };
}
