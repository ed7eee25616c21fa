import { describe, expect, test } from "@jest/globals";
import { ERROR_CODES, FAILURE_POLICY } from "../../src/domain/failure.js";

/**
 * As contract.md lists them, written down anew and computed from nothing: class, R (a failed result), D (a dead letter), and whether an
 * operator may replay it, which takes a job that failed or expired and a letter about it (of `REPLY_UNDELIVERABLE`: the record itself).
 */
const CONTRACT = {
  TENANT_MISMATCH: ["rejected", "D", "no"],
  BAD_SIGNATURE: ["rejected", "D", "no"],
  ID_CONFLICT: ["rejected", "D", "no"],
  REPLY_NOT_ALLOWED: ["rejected", "D", "no"],
  BAD_JSON: ["caller", "D", "no"],
  BAD_AVRO: ["caller", "D", "no"],
  BAD_UTF8: ["caller", "D", "no"],
  BAD_UNICODE: ["caller", "D", "no"],
  NULL_VALUE: ["caller", "D", "no"],
  TOO_LARGE: ["caller", "D", "no"],
  TOO_DEEP: ["caller", "D", "no"],
  UNKNOWN_SCHEMA: ["caller", "D", "no"],
  BAD_JOB: ["caller", "R D", "no"],
  BAD_DEADLINE: ["caller", "R D", "no"],
  UNKNOWN_MODEL: ["caller", "R D", "no"],
  NO_ROUTE: ["caller", "R D", "yes"],
  CONTEXT_TOO_LONG: ["caller", "R D", "yes"],
  CONTENT_REFUSED: ["caller", "R D", "yes"],
  PROVIDER_REFUSED: ["caller", "R D", "yes"],
  BUDGET_EXCEEDED: ["budget", "R D", "yes"],
  DEADLINE_EXCEEDED: ["deadline", "R D", "yes"],
  NO_ROUTE_IN_TIME: ["deadline", "R D", "yes"],
  PROVIDER_UNAVAILABLE: ["capacity", "R D", "yes"],
  RESULT_TOO_LARGE: ["capacity", "R", "no"],
  PROVIDER_BAD_RESPONSE: ["provider", "R D", "yes"],
  PROVIDER_LOST: ["provider", "R D", "yes"],
  BAD_ANSWER: ["provider", "R D", "yes"],
  IN_DOUBT: ["in_doubt", "R D", "yes"],
  CANCELLED: ["cancelled", "R", "no"],
  NO_PRICE: ["internal", "R D", "yes"],
  CRASH_SUSPECT: ["internal", "R D", "yes"],
  INTERNAL: ["internal", "R D", "yes"],
  REPLY_UNDELIVERABLE: ["internal", "D", "yes"],
};

test("the codes are those of the contract, each with its class, what is published, and whether it can be replayed", () => {
  const codes = Object.entries(ERROR_CODES).map(([code, facts]) => {
    const published = [facts.result ? ["R"] : [], facts.deadLetter ? ["D"] : []].flat().join(" ");
    return [code, [facts.class, published, facts.replayable ? "yes" : "no"]];
  });
  expect(Object.fromEntries(codes)).toEqual(CONTRACT);
});

describe("what follows an attempt that did not succeed", () => {
  test("is never an end that says a job expired or was cancelled: those have a status of their own", () => {
    const codes: string[] = Object.values(FAILURE_POLICY).map(({ code }) => code);
    expect(codes).not.toContain("DEADLINE_EXCEEDED");
    expect(codes).not.toContain("CANCELLED");
  });
});
