import { expect, test } from "@jest/globals";
import pg from "pg";
import { DependencyError, isConnectionTrouble } from "../../src/adapters/postgres/connection.js";

function refusal(code: string): Error {
  const error = new pg.DatabaseError("refused", 7, "error");
  error.code = code;
  return error;
}

test.each([
  ["a connection that broke", new Error("Connection terminated unexpectedly")],
  [
    "a client that was checked out and then lost",
    new Error("Client has encountered a connection error and is not queryable"),
  ],
  ["a client that was closed", new Error("Client was closed and is not queryable")],
  ["a server that is not there", Object.assign(new Error("connect"), { code: "ECONNREFUSED" })],
  ["a server that is silent", new Error("Query read timeout")],
  ["a pool without a free connection", new Error("timeout exceeded when trying to connect")],
  ["a server that goes down", refusal("57P01")],
  ["a crash of another backend", refusal("57P02")],
  ["a statement that took too long", refusal("57014")],
  ["a full disk", refusal("53100")],
  ["too many connections", refusal("53300")],
  ["a lock that was not had", refusal("55P03")],
  ["trouble that was known before", new DependencyError("postgres", "away", null)],
])("waiting mends %s, and no record is blamed", (_what, error) => {
  expect(isConnectionTrouble(error)).toBe(true);
});

test.each([
  ["a NUL in text", refusal("22021")],
  ["a constraint", refusal("23514")],
  ["a wrong statement", refusal("42601")],
  ["a mistake of our own", new TypeError("x is not a function")],
])("waiting does not mend %s", (_what, error) => {
  expect(isConnectionTrouble(error)).toBe(false);
});
