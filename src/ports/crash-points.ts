/**
 * Named places at which a test ends the process as SIGKILL ends it. They are compiled in and do nothing unless one is armed by the environment
 * (`SLUICE_CRASH_AT`, see `app/crash-point.ts`). A place is named when a kill there leaves something else behind than one a step before or
 * after it: in the ledger, at a broker, at a provider, or on its way to one of them.
 *
 * `router`: a router passes it; `command`: an operator's command does. The text says what stands at that moment.
 */
const POINTS = {
  "start.schema_checked": ["router", "the ledger's schema was found current; no server is open, no session begun"],
  "start.listening": ["router", "the health server answers; there is no session yet"],
  "start.ready": ["router", "the consumer is in its group and the usual statements are prepared"],
  "migrate.locked": ["command", "the advisory lock is held; no migration has run"],
  "migrate.before_file": ["command", "the migrations before this one stand; nothing of this one was sent"],
  "migrate.before_commit": ["command", "all of a migration was done in its transaction; its COMMIT was not sent"],
  "migrate.done": ["command", "all migrations stand; the lock is given back"],

  "session.opened": ["router", "the session's row stands; it has no journal and does not beat"],
  "session.journal_opened": ["router", "the journal's files are there; no loop runs"],
  "session.before_beat": ["router", "a beat is due and was not sent"],
  "session.after_beat": ["router", "a beat stands; dead sessions were not looked for"],
  "session.dead_declared": ["router", "silent sessions are declared dead; none of their calls is in doubt yet"],
  "session.doubts_stored": ["router", "a step of a dead session's calls is in doubt; others may be left"],
  "session.recovered": ["router", "all calls of a dead session are in doubt, and it is marked as recovered"],
  "session.draining": ["router", "told to end: intake and claims are stopped, calls are in the air"],
  "session.drained": ["router", "all is written and published as far as the grace went; the session's row still lives"],
  "session.ended": ["router", "the session has ended itself; the process has not"],
  "journal.read": ["router", "the journal of a session before was read; nothing of it was brought to the ledger"],
  "journal.forgotten": ["router", "what the journal of a session before held is under way here; its files are gone"],

  "intake.read": ["router", "records of a partition were read from the broker; intake has none of them"],
  "intake.before_accept": ["router", "a group is planned, its places are taken; nothing was sent to the ledger"],
  "intake.before_commit": ["router", "all statements of an accept were sent; its COMMIT was not"],
  "intake.commit_sent": ["router", "the COMMIT of an accept was sent; its answer was not read"],
  "intake.after_accept": [
    "router",
    "an accept stands with its intents; no call has begun, no offset is known to Kafka",
  ],
  "intake.settled": ["router", "the calls of an accept have begun, its offsets are about to go to Kafka"],
  "intake.before_offset_commit": ["router", "offsets are about to be committed to Kafka"],
  "intake.after_offset_commit": ["router", "offsets stand in Kafka"],

  "claim.before_commit": ["router", "all statements of a claim were sent; its COMMIT was not"],
  "claim.commit_sent": ["router", "the COMMIT of a claim was sent; its answer was not read"],
  "claim.after": ["router", "a claim stands with its intents; no call of it has begun"],
  "doubt.settled": ["router", "doubts were settled by policy inside of a claim that is not committed"],

  "call.before_start": ["router", "the intent of a call stands; no connection was asked for"],
  "call.first_byte": ["router", "the connection is there, the journal says `sending`; the first byte leaves next"],
  "call.in_air": ["router", "the request is on its way; no answer was read"],
  "call.answered": ["router", "the answer was read; neither journal nor ledger has it"],
  "call.kept": ["router", "the answer is in the journal, if there is one; the ledger does not have it"],
  "give_back.before_commit": [
    "router",
    "intents whose bytes never left were taken back in a transaction without its COMMIT",
  ],
  "give_back.after": ["router", "intents whose bytes never left are rows again; this process still holds their places"],

  "finish.before_write": ["router", "a group of outcomes is together; nothing was sent to the ledger"],
  "finish.before_commit": ["router", "all statements of a finish were sent; its COMMIT was not"],
  "finish.commit_sent": ["router", "the COMMIT of a finish was sent; its answer was not read"],
  "finish.after_write": ["router", "outcomes, results and costs stand; nothing of them was published"],

  "relay.before_send": ["router", "results are about to be sent to their topic"],
  "relay.in_flight": ["router", "records were handed to the Kafka client; no acknowledgement was read"],
  "relay.after_ack": ["router", "results are acknowledged; their queue rows stand"],
  "relay.after_drop": ["router", "the queue rows of acknowledged records are gone"],
  "relay.swept": ["router", "queue rows that a dead session left were taken over; nothing of them was sent"],
  "cost.before_send": ["router", "cost records are about to be sent"],
  "cost.after_ack": ["router", "cost records are acknowledged; their queue rows stand"],
  "event.before_send": ["router", "events are about to be sent"],
  "event.after_ack": ["router", "events are acknowledged; their queue rows stand"],
  "dead_letter.before_send": ["router", "dead letters are about to be sent"],
  "dead_letter.after_ack": ["router", "dead letters are acknowledged; their queue rows stand"],
  "give_up.before_commit": ["router", "dead letters in the place of records that a topic refuses, without the COMMIT"],
  "give_up.after": ["router", "dead letters stand in the place of records that a topic refuses; none is published"],

  "grant.before_ask": ["router", "grants of a rate limit are about to be asked for"],
  "grant.received": ["router", "grants were taken from the common store; no call used them"],
  "breaker.before_commit": ["router", "a breaker's change was written in a transaction without its COMMIT"],
  "breaker.after_save": ["router", "a breaker's change stands; its event was not published"],

  "batch.before_open": ["router", "lines were chosen for a batch; nothing stands"],
  "batch.opened": ["router", "the batch's row and its reservation at the account stand; it has no line"],
  "batch.bind_before_commit": ["router", "a group of lines was bound in a transaction without its COMMIT"],
  "batch.bind_commit_sent": ["router", "the COMMIT of a group of lines was sent; its answer was not read"],
  "batch.bound": ["router", "all lines are bound; the batch is not sealed"],
  "batch.sealed": ["router", "the batch is sealed; nothing of it was uploaded"],
  "batch.uploading": ["router", "the upload is announced; no byte left"],
  "batch.upload_line": ["router", "n lines of an upload were handed to its connection"],
  "batch.upload_answered": ["router", "the provider has the file; its id is not stored"],
  "batch.uploaded": ["router", "the file's id is stored; no creation is announced"],
  "batch.creating": ["router", "the intent of a creation stands; no byte left"],
  "batch.create_leaving": ["router", "the first byte of a creation leaves next"],
  "batch.create_in_flight": ["router", "the creation is on its way; no answer was read"],
  "batch.create_answered": ["router", "the creation was answered; nothing of the answer is stored"],
  "batch.submitted": ["router", "the batch's id at the provider is stored"],
  "batch.save_before_commit": ["router", "a step of a batch was written in a transaction without its COMMIT"],
  "batch.save_commit_sent": ["router", "the COMMIT of a batch's step was sent; its answer was not read"],
  "batch.claimed": ["router", "batches that are due are this session's; no step has begun"],
  "batch.list_read": ["router", "the provider's list was read for a creation in doubt; nothing is decided"],
  "batch.adopted": ["router", "a batch that was found in the provider's list is stored as ours"],
  "batch.fence_dropped": ["router", "the file of a creation in doubt is deleted; that is not stored"],
  "batch.fenced": ["router", "the fence around a creation that never arrived is stored"],
  "batch.polled": ["router", "the provider said how far a batch is; nothing of it is stored"],
  "batch.ended": ["router", "it is stored that the batch has ended; no result was asked for"],
  "batch.downloading": ["router", "that results are read is stored; no byte of them was asked for"],
  "batch.result_read": ["router", "n results were read from the download; they are in memory only"],
  "batch.group_stored": ["router", "the outcomes of a group of lines stand; the cursor is behind"],
  "batch.group_saved": ["router", "the cursor stands behind a group of lines"],
  "batch.results_read": ["router", "all results were read and stored; the batch is not closed"],
  "batch.done": ["router", "the batch is closed; what the provider keeps of it is not deleted"],
  "batch.cancel_answered": ["router", "the provider was asked to stop a batch and said yes; that is not stored"],
  "batch.cancelling": ["router", "it is stored that the provider was asked to stop a batch"],
  "batch.lines_returned": [
    "router",
    "a group of lines of a refused or cancelled batch is back where it is decided anew",
  ],
  "batch.erased": ["router", "what the provider kept of a batch is deleted; that is not stored"],
  "group.opened": ["router", "the lines of a group may be called; no intent stands"],
  "group.lines_started": ["router", "intents of some lines of a group stand; no call has begun"],
  "group.done": ["router", "all lines of a group have ended, and that is stored"],

  "operator.session_opened": ["command", "the row that a command's changes go under stands; nothing was changed"],
  "replay.before_commit": ["command", "a letter was replayed in a transaction without its COMMIT"],
  "replay.commit_sent": ["command", "the COMMIT of a replayed letter was sent; its answer was not read"],
  "replay.after_letter": ["command", "a letter is replayed; others that were asked for are not"],
  "redeliver.before_commit": ["command", "a refused record was queued again in a transaction without its COMMIT"],
  "discard.before_commit": ["command", "letters were discarded in a transaction without its COMMIT"],
  "cancel.before_commit": ["command", "jobs were cancelled in a transaction without its COMMIT"],
  "cancel.after": ["command", "jobs are cancelled; a router has not published their results"],
  "batch_cancel.before_commit": ["command", "the end of a batch was asked for in a transaction without its COMMIT"],
  "resolve.before_commit": [
    "command",
    "what a bill says of an attempt was written in a transaction without its COMMIT",
  ],
  "resolve.after": ["command", "what a bill says of an attempt stands; other rows of the bill were not looked at"],
  "adopt.before_commit": ["command", "the log of a partition was adopted in a transaction without its COMMIT"],
} as const satisfies Readonly<Record<string, readonly ["router" | "command", string]>>;

export type CrashPoint = keyof typeof POINTS;

/** In the order in which work passes them. */
export const CRASH_POINTS = Object.keys(POINTS) as readonly CrashPoint[]; // the keys of the object above

export interface CrashPointFacts {
  readonly name: CrashPoint;
  /** Which kind of process passes it. */
  readonly passedBy: "router" | "command";
  /** What stands when it is passed. */
  readonly means: string;
}

export function crashPointFacts(): readonly CrashPointFacts[] {
  return CRASH_POINTS.map((name) => ({ name, passedBy: POINTS[name][0], means: POINTS[name][1] }));
}

/** Told that the process passes a point. Returns at once, or never. */
export type ReachPoint = (point: CrashPoint) => void;

/** Nothing is armed: what everybody is given who is given nothing else. */
export const NOT_ARMED: ReachPoint = () => undefined;

/**
 * For what the operating system gets in this turn of the event loop: the point is passed when it has it, and before anything that comes back
 * is read. Costs nothing unless a point is armed.
 */
export function reachSoon(reach: ReachPoint | undefined, point: CrashPoint): void {
  if (reach === undefined || reach === NOT_ARMED) return;
  setImmediate(() => {
    reach(point);
  });
}
