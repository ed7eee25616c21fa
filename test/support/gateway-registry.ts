import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import avro from "avsc";

export interface JobSchema {
  readonly type: "record";
  readonly name: string;
  readonly fields: readonly { readonly name: string; readonly type: unknown }[];
}

/** The schema of a job as it is published. */
export const JOB_SCHEMA = JSON.parse(
  readFileSync(new URL("../../schemas/job.avsc", import.meta.url), "utf8"),
) as JobSchema; // the published file

/** A record's value in Avro, without the registry's frame; fields that are not named are null. */
export function avroValue(schema: JobSchema, fields: Readonly<Record<string, unknown>>): Buffer {
  const type = avro.Type.forSchema(schema as avro.Schema); // a schema that was read from a file
  const all = Object.fromEntries(schema.fields.map(({ name }) => [name, fields[name] ?? null]));
  return type.toBuffer(all);
}

/** A chat job whose prompt is its id. */
export function avroJob(jobId: string): Buffer {
  const body = { model: "cheap", messages: [{ role: "user", content: jobId }], max_tokens: 64 };
  return avroValue(JOB_SCHEMA, { jobId, tenant: "acme", bodyJson: JSON.stringify(body) });
}

/** A door in front of the schema registry: counts the questions for a schema, and hides ids as a registry does that has not heard of them yet. */
export class RegistryDoor {
  readonly #registryUrl: string;
  readonly #server: Server;
  readonly #asked: number[] = [];
  readonly hidden = new Set<number>();
  /** While it is true every question is answered as by a registry that has lost its store. */
  isDown = false;

  private constructor(registryUrl: string) {
    this.#registryUrl = registryUrl;
    this.#server = createServer((request, response) => {
      void this.#answer(request.url ?? "").then(({ status, text }) => {
        response.writeHead(status, { "content-type": "application/vnd.schemaregistry.v1+json" }).end(text);
      });
    });
  }

  static async open(registryUrl: string): Promise<RegistryDoor> {
    const door = new RegistryDoor(registryUrl);
    await new Promise<void>((resolve) => door.#server.listen(0, "127.0.0.1", resolve));
    return door;
  }

  get url(): string {
    return `http://127.0.0.1:${String((this.#server.address() as AddressInfo).port)}`; // it listens on TCP
  }

  /** How often the schema of this id was asked for. */
  asked(id: number): number {
    return this.#asked.filter((one) => one === id).length;
  }

  async #answer(path: string): Promise<{ readonly status: number; readonly text: string }> {
    const id = Number(/^\/schemas\/ids\/(\d+)/.exec(path)?.[1] ?? Number.NaN);
    if (Number.isInteger(id)) this.#asked.push(id);
    if (this.isDown) return { status: 500, text: '{"error_code":50001,"message":"Error in the backend datastore"}' };
    if (this.hidden.has(id)) return { status: 404, text: '{"error_code":40403,"message":"Schema not found"}' };
    const answer = await fetch(`${this.#registryUrl}${path}`);
    return { status: answer.status, text: await answer.text() };
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
  }
}

/** Registers a schema under a subject. @returns its id. @throws Error with the registry's words. */
export async function registerSchema(
  registryUrl: string,
  subject: string,
  schema: unknown,
  schemaType: "AVRO" | "JSON" = "AVRO",
): Promise<number> {
  const response = await fetch(`${registryUrl}/subjects/${encodeURIComponent(subject)}/versions`, {
    method: "POST",
    headers: { "content-type": "application/vnd.schemaregistry.v1+json" },
    body: JSON.stringify({ schema: JSON.stringify(schema), schemaType }),
  });
  const answer = (await response.json()) as { id?: number; message?: string }; // the registry's API
  if (answer.id === undefined) throw new Error(`${subject}: ${answer.message ?? String(response.status)}`);
  return answer.id;
}

/** The wire format of Confluent's serialisers: the byte 0, the schema's id in four bytes, the value. */
export function framed(schemaId: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(schemaId, 1);
  return Buffer.concat([head, payload]);
}
