/** What a value is by a JSON Schema that a caller wrote. */
export type SchemaVerdict =
  | { readonly kind: "fits" }
  /** `where`: a JSON pointer into the value and what was expected there, as "its /stars must be integer"; no value of it. */
  | { readonly kind: "misses"; readonly where: string }
  /** The schema can't be used, or took too long; the value was not judged. */
  | { readonly kind: "unusable"; readonly because: string };

/**
 * Judges a value by a schema, both parsed JSON. Bounded in time and memory whatever the schema is; fetches nothing. Never throws, and
 * the same schema is worked out once as long as it is remembered.
 */
export type CheckSchema = (schema: unknown, value: unknown) => SchemaVerdict;
