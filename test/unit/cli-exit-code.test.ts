import { describe, expect, test } from "@jest/globals";
import { RegistryUnavailableError, SchemaMissingError } from "../../src/adapters/registry/avro-encoder.js";
import { CommandError, errorText, EXIT, exitCodeFrom, exitCodeOf } from "../../src/cli/exit-code.js";
import { ConfigError } from "../../src/config/config-error.js";
import { ServerUnreachableError } from "../../src/stack/stack.js";

const coded = (code: string): Error => Object.assign(new Error("from the system"), { code });
const named = (name: string): Error => Object.assign(new Error("from a client"), { name });

describe("the exit code of an error", () => {
  const cases: readonly (readonly [name: string, error: unknown, code: number])[] = [
    ["of a command with its own", new CommandError(EXIT.notFound, "no such job"), 7],
    ["of a wrong config", new ConfigError("sluice.yaml", []), 3],
    ["of a refused connection", coded("ECONNREFUSED"), 4],
    ["of a name that leads nowhere", coded("ENOTFOUND"), 4],
    ["of Postgres that is starting", coded("57P03"), 4],
    ["of a wrong password", coded("28P01"), 5],
    ["of a missing right", coded("42501"), 5],
    ["of a schema that is not registered", new SchemaMissingError("expected it"), 3],
    ["of a registry that is away", new RegistryUnavailableError("no answer"), 4],
    ["of a given server that is away", new ServerUnreachableError("nothing answers"), 4],
    ["of unreachable brokers", named("KafkaJSConnectionError"), 4],
    ["of refused Kafka credentials", named("KafkaJSSASLAuthenticationError"), 5],
    ["of a refused Kafka operation", Object.assign(new Error("no"), { type: "TOPIC_AUTHORIZATION_FAILED" }), 5],
    ["of a cause within", new Error("outer", { cause: new Error("middle", { cause: coded("ECONNRESET") }) }), 4],
    ["of several addresses that all refuse", new AggregateError([coded("ECONNREFUSED"), coded("ECONNREFUSED")]), 4],
    ["of anything else", new Error("a bug"), 1],
    ["of something that is no error", "text", 1],
  ];
  test.each(cases)("%s", (_name, error, code) => {
    expect(exitCodeOf(error)).toBe(code);
  });

  test("is found through causes that lead in a circle", () => {
    const one = new Error("one");
    const two = new Error("two", { cause: one });
    one.cause = two;
    expect(exitCodeOf(one)).toBe(1);
  });
});

describe("a part's own end", () => {
  test.each([
    [0, 0],
    [8, 8],
    [143, 143],
    [77, 1],
  ])("%i becomes %i", (code, expected) => {
    expect(exitCodeFrom(code)).toBe(expected);
  });
});

test("says what the addresses of a host answered, each once", () => {
  expect(errorText(new AggregateError([new Error("refused"), new Error("refused"), new Error("no route")]))).toBe(
    "refused; no route",
  );
});
