import avro from "avsc";
import type { Schema, Type, types } from "avsc";
import type { UnknownField } from "../../domain/job/read-document.js";

/** How values of one writer's schema become jobs. */
export type SchemaMatch =
  | {
      readonly kind: "matches";
      readonly decode: (payload: Buffer) => unknown;
      readonly unknownFields: readonly UnknownField[];
    }
  | { readonly kind: "incompatible"; readonly message: string };

/** A schema as it stands in a file; only records are looked into. */
export type RawSchema = string | readonly RawSchema[] | RawRecord | Readonly<Record<string, unknown>>;

export interface RawRecord {
  readonly type: "record";
  readonly name: string;
  readonly fields: readonly { readonly name: string; readonly type: RawSchema }[];
}

/**
 * Resolves a writer's schema into ours, field by field, so that what doesn't fit is named. Records are matched by their fields: tools
 * that write schemas choose the records' names themselves. Fields that only the writer has are listed and not dropped: a mistyped
 * `regions` must not send data elsewhere.
 */
export function matchSchemas(ours: RawRecord, writer: Type): SchemaMatch {
  const writerFields = fieldsOf(writer);
  if (writerFields === null)
    return { kind: "incompatible", message: `expected a record in the writer's schema, got ${writer.typeName}` };
  const reader = avro.Type.forSchema(namedLike(ours, writer) as Schema); // our file, in avsc's own type of schemas
  for (const field of fieldsOf(reader) ?? []) {
    const written = writerFields.find(({ name }) => name === field.name);
    const problem = written === undefined ? lackOf(field) : misfitOf(field, written);
    if (problem !== null) return { kind: "incompatible", message: `field ${field.name}: ${problem}` };
  }
  try {
    const resolver = reader.createResolver(writer, { ignoreNamespaces: true });
    const decode = (payload: Buffer): unknown => reader.fromBuffer(payload, resolver);
    return { kind: "matches", decode, unknownFields: unknownFields(reader, writer, "") };
  } catch (error) {
    return { kind: "incompatible", message: error instanceof Error ? firstLine(error) : "the schemas don't match" };
  }
}

/** Our schema with the writer's record names as aliases, at each place where both have a record. */
function namedLike(ours: RawSchema, writer: Type): RawSchema {
  if (isList(ours)) return ours.map((branch) => namedLike(branch, writer));
  const fields = fieldsOf(writer);
  if (!isRecord(ours) || fields === null) return ours;
  return {
    ...ours,
    aliases: recordNames(writer),
    fields: ours.fields.map((field) => {
      const written = fields.find(({ name }) => name === field.name);
      return written === undefined ? field : { ...field, type: namedLike(field.type, written.type) };
    }),
  };
}

function isList(schema: RawSchema): schema is readonly RawSchema[] {
  return Array.isArray(schema);
}

function isRecord(schema: RawSchema): schema is RawRecord {
  return typeof schema === "object" && "fields" in schema;
}

function recordNames(type: Type): string[] {
  const record = recordIn(type);
  return record?.name === undefined ? [] : [record.name];
}

function lackOf(field: types.Field): string | null {
  return field.defaultValue() === undefined ? "expected it in the writer's schema, got none" : null;
}

function misfitOf(field: types.Field, written: types.Field): string | null {
  try {
    field.type.createResolver(written.type, { ignoreNamespaces: true });
    return null;
  } catch {
    return `expected ${typeWords(field.type)}, got ${typeWords(written.type)} in the writer's schema`;
  }
}

function typeWords(type: Type): string {
  return branchesOf(type)
    .map(({ typeName }) => typeName)
    .join(" or ");
}

function firstLine(error: Error): string {
  return error.message.split("\n")[0] ?? "";
}

function unknownFields(reader: Type, writer: Type, path: string): UnknownField[] {
  const [readerFields, writerFields] = [fieldsOf(reader), fieldsOf(writer)];
  if (readerFields === null || writerFields === null) return [];
  const known = readerFields.map(({ name }) => name);
  return writerFields.flatMap(({ name, type }) => {
    const own = readerFields.find((field) => field.name === name);
    if (own === undefined) return [{ path, name, known }];
    return unknownFields(own.type, type, path === "" ? name : `${path}.${name}`);
  });
}

/** Fields of a record, or of the one record in a union; null for all else. */
function fieldsOf(type: Type): readonly types.Field[] | null {
  return recordIn(type)?.fields ?? null;
}

function recordIn(type: Type): types.RecordType | null {
  return branchesOf(type).find((branch) => branch instanceof avro.types.RecordType) ?? null;
}

/** The branches of a union; of all else the type itself. */
function branchesOf(type: Type): readonly Type[] {
  const isUnion = type instanceof avro.types.UnwrappedUnionType || type instanceof avro.types.WrappedUnionType;
  return isUnion ? type.types : [type];
}
