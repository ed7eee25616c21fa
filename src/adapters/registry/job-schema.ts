import { readFileSync } from "node:fs";
import type { ErrorObject } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import { kindOf, quoted } from "../../domain/job/wording.js";
import type { JobShapeCheck, ShapeProblem } from "../../domain/job/job-document.js";

/** Where the published schemas lie: beside `src` and `dist` alike. */
export const SCHEMAS_DIRECTORY = new URL("../../../schemas/", import.meta.url);

/**
 * The shape check that intake runs, compiled once from the published schemas/job.schema.json. It stops at the first problem,
 * so a hostile record of a hundred thousand mistakes costs no more than one.
 * @param directory where job.schema.json lies, as a URL that ends in a slash.
 * @throws what reading or compiling throws: only at start.
 */
export function compileJobShapeCheck(directory: URL = SCHEMAS_DIRECTORY): JobShapeCheck {
  // The file is ours and a test compiles it, so its type is known here.
  const schema = JSON.parse(readFileSync(new URL("job.schema.json", directory), "utf8")) as Record<string, unknown>;
  const ajv = new Ajv2020({ allErrors: false, verbose: true, allowUnionTypes: true });
  const validate = ajv.compile(schema);
  return (document) => {
    if (validate(document)) return null;
    const [first] = validate.errors ?? [];
    return first === undefined ? { ...NO_PROBLEM_NAMED } : toProblem(first);
  };
}

const NO_PROBLEM_NAMED: ShapeProblem = {
  path: "",
  expected: "a job as in job.schema.json",
  got: "something else",
  unknownField: null,
  knownFields: [],
};

function toProblem(error: ErrorObject): ShapeProblem {
  const path = error.instancePath.slice(1).split("/").map(unescapedPointer).join(".");
  const unknownField = error.keyword === "additionalProperties" ? String(error.params["additionalProperty"]) : null;
  const knownFields = unknownField === null ? [] : Object.keys(propertiesOf(error));
  return { path, expected: expectedBy(error), got: gotIn(error), unknownField, knownFields };
}

function propertiesOf(error: ErrorObject): Readonly<Record<string, unknown>> {
  const parent: unknown = error.parentSchema?.["properties"];
  return typeof parent === "object" && parent !== null ? { ...parent } : {};
}

/** The schema's keyword in words that a producer understands without the schema at hand. */
function expectedBy(error: ErrorObject): string {
  const limit = String(error.params["limit"]);
  switch (error.keyword) {
    case "type":
      return [error.schema]
        .flat()
        .map(String)
        .filter((type) => type !== "null")
        .map(withArticle)
        .join(" or ");
    case "enum":
      return `one of ${[error.schema]
        .flat()
        .filter((word) => word !== null)
        .map(String)
        .join(", ")}`;
    case "minimum":
      return `at least ${limit}`;
    case "maximum":
      return `at most ${limit}`;
    case "minLength":
      return `at least ${limit} character`;
    case "maxLength":
      return `at most ${limit} characters`;
    case "maxItems":
    case "maxProperties":
      return `at most ${limit} entries`;
    case "pattern":
      return error.schema === "^[^\\u0000]*$"
        ? "text without the character NUL"
        : `text of the form ${String(error.schema)}`;
    default:
      return `a value that passes ${error.keyword} in job.schema.json`;
  }
}

/** Only where the schema lists the words is the word itself shown; any other text might be a prompt in the wrong place. */
function gotIn(error: ErrorObject): string {
  return error.keyword === "enum" && typeof error.data === "string" ? quoted(error.data) : kindOf(error.data);
}

function withArticle(type: string): string {
  return /^[aeio]/.test(type) ? `an ${type}` : `a ${type}`;
}

function unescapedPointer(part: string): string {
  return part.replaceAll("~1", "/").replaceAll("~0", "~");
}
