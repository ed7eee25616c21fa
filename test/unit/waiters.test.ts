import { getEventListeners } from "node:events";
import { expect, jest, test } from "@jest/globals";
import { Waiters } from "../../src/pipeline/waiters.js";

test("all who wait are told once, in their order", async () => {
  const waiters = new Waiters();
  const told: string[] = [];
  const wait = (name: string) =>
    waiters.next().then(() => {
      told.push(name);
    });
  const first = [wait("a"), wait("b")];
  waiters.tell();
  await Promise.all(first);
  const next = wait("c");
  expect(told).toEqual(["a", "b"]);
  waiters.tell();
  await next;
  expect(told).toEqual(["a", "b", "c"]);
});

test("a wait that is over ends, and one that was told leaves nothing at its signal", async () => {
  const waiters = new Waiters();
  const over = new AbortController();
  const told = waiters.next(over.signal);
  waiters.tell();
  await told;
  expect(getEventListeners(over.signal, "abort")).toEqual([]);
  const ended = waiters.next(over.signal);
  over.abort("over");
  await ended;
  expect(getEventListeners(over.signal, "abort")).toEqual([]);
});

test("a wait that is over is not kept until it comes about", async () => {
  const waiters = new Waiters();
  const over = new AbortController();
  const ended = waiters.next(over.signal);
  over.abort("over");
  await ended;
  const touched = jest.spyOn(over.signal, "removeEventListener");
  waiters.tell();
  expect(touched).not.toHaveBeenCalled();
});
