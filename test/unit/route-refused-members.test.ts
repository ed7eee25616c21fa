import { expect, test } from "@jest/globals";
import { reasonOfMembers, type RefusedMembers } from "../../src/domain/route/refused-members.js";

const REFUSED: RefusedMembers = { body: ["logprobs", "logit_bias"], messages: ["name"], choicesMax: 1 };
const message = (more: object) => ({
  messages: [
    { role: "user", content: "Hi" },
    { role: "user", ...more },
  ],
});
const call = { id: "c", type: "function", function: { name: "f", arguments: "{}" } };

test.each<[string, object, string | null]>([
  ["nothing of it", message({ content: "logprobs" }), null],
  ["members of the body", { logprobs: true, logit_bias: {} }, "x takes no logprobs, logit_bias"],
  ["a member that is null", { logprobs: null }, null],
  ["a member of a message, named once", message({ content: "a", name: "Ann" }), "x takes no messages[].name"],
  ["the same name deeper inside", message({ tool_calls: [call] }), null],
  ["one answer", { n: 1 }, null],
  ["two answers", { n: 2 }, "x gives 1 answer(s) at most (n)"],
])("a body with %s", (_what, body, reason) => {
  expect(reasonOfMembers("x", REFUSED, JSON.stringify(body))).toBe(reason);
  expect(reasonOfMembers("x", null, JSON.stringify(body))).toBeNull();
});
