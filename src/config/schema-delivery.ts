import {
  fraction,
  integer,
  optionalSection,
  toggle,
  DAY_MS,
  GIB,
  HOUR_MS,
  KIB,
  MIB,
  MINUTE_MS,
  SECOND_MS,
  text,
  word,
} from "./fields.js";

/** Config of how jobs are taken in, tried, answered and forgotten. */

export const DELIVERY = optionalSection(
  {
    defaultTtlMs: integer({
      min: SECOND_MS,
      max: 7 * DAY_MS,
      default: DAY_MS,
      why: "Deadline of a job that names none, from its record's timestamp.",
    }),
    defaultTtlBatchMs: integer({
      min: SECOND_MS,
      max: 7 * DAY_MS,
      default: 2 * DAY_MS,
      why: "The same for mode batch: a provider's batch may take 24 h, and what it leaves undone needs time too.",
    }),
    maxTtlMs: integer({
      min: SECOND_MS,
      max: 7 * DAY_MS,
      default: 7 * DAY_MS,
      why: "Latest deadline a job may ask for; the jobs topic and bodies are kept as long.",
    }),
    attemptsMax: integer({
      min: 1,
      max: 100,
      default: 5,
      why: "Attempts of one execution over all routes; bounds what a stubborn failure can cost.",
    }),
    backoffBaseMs: integer({
      min: 1,
      max: MINUTE_MS,
      default: 500,
      why: "First wait before a repeated try; doubled each time, with jitter.",
    }),
    backoffMaxMs: integer({
      min: 1,
      max: HOUR_MS,
      default: MINUTE_MS,
      why: "Longest such wait: one window of a provider's per-minute limits.",
    }),
    retryAfterMaxMs: integer({
      min: 0,
      max: DAY_MS,
      default: HOUR_MS,
      why: "A provider's Retry-After is believed up to here; beyond it the next route is taken.",
    }),
    onContentRefused: word(
      ["fail", "nextRoute"],
      "What follows when a provider refuses a request for its content: `fail` ends the job, since content that one provider's rules forbid is seldom meant to be tried on others; `nextRoute` asks the next account of the alias.",
    ).default("fail"),
    claimSizeMax: integer({
      min: 1,
      max: 5000,
      default: 200,
      why: "Executions taken from the ledger at once; the claim's cost grows slowly with it.",
    }),
    idlePollMs: integer({
      min: 5,
      max: MINUTE_MS,
      default: 250,
      why: "Wait between looks into the ledger when there was nothing; work of one's own needs no look.",
    }),
    unsentMax: integer({
      min: 1,
      max: 1_000_000,
      default: 10_000,
      why: "Executions whose tries without a connection a router remembers, so that their next route has its turn; beyond it the oldest is forgotten and waits some tries longer.",
    }),
    sendWithinMs: integer({
      min: 10,
      max: MINUTE_MS,
      default: 250,
      why: "An attempt whose bytes have not left this long after its intent was stored is taken back.",
    }),
    sweepAfterMs: integer({
      min: 100,
      max: 5 * MINUTE_MS,
      default: 2 * SECOND_MS,
      why: "Outgoing records this old are published by the sweep, whoever left them.",
    }),
    undeliverableAfterMs: integer({
      min: SECOND_MS,
      max: 7 * DAY_MS,
      default: DAY_MS,
      why: "How long a result or cost record waits for a topic that is missing or not authorised before it becomes a dead letter; a day leaves time to mend it.",
    }),
  },
  "Deadlines, retries and the pace of the stages.",
);

export const LIMITS = optionalSection(
  {
    intake: optionalSection(
      {
        valueBytesMax: integer({
          min: KIB,
          max: 64 * MIB,
          default: MIB,
          why: "Longest job record; Kafka's own default limit of a message.",
        }),
        depthMax: integer({
          min: 4,
          max: 1000,
          default: 64,
          why: "Deepest nesting of a job's JSON; real requests stay below 20, and parsers overflow in the thousands.",
        }),
        headerCountMax: integer({ min: 0, max: 10_000, default: 256, why: "Most headers of a job record." }),
        headerBytesMax: integer({
          min: 0,
          max: 16 * MIB,
          default: 64 * KIB,
          why: "Most bytes of a job record's headers, names included.",
        }),
      },
      "What a job record may be; beyond it the record is a dead letter before it is parsed.",
    ),
    pending: optionalSection(
      {
        jobsMax: integer({
          min: 1,
          max: 100_000_000,
          default: 200_000,
          why: "Jobs without an end in the ledger; above it fetching stops and Kafka holds the rest.",
        }),
        bytesMax: integer({
          min: MIB,
          max: 1024 * GIB,
          default: GIB,
          why: "Bytes of the requests among them that wait to be called, as stored (compressed above storage.compressAboveBytes); the job records are kept beside them, so the disk holds about twice that and more.",
        }),
        outboxRowsMax: integer({
          min: 1,
          max: 100_000_000,
          default: 100_000,
          why: "Records not yet published; above it fetching stops, so that a broker outage doesn't fill the disk.",
        }),
        resumeAt: fraction({
          min: 0.1,
          max: 1,
          default: 0.8,
          why: "Fetching goes on below this part of the mark, so that it doesn't flutter.",
        }),
      },
      "High marks at which fetching stops.",
    ),
    groups: optionalSection(
      {
        sizeMax: integer({
          min: 1,
          max: 5000,
          default: 256,
          why: "Most jobs of one group transaction; beyond a few hundred the gain is small and a refused group costs more.",
        }),
        waitMs: integer({
          min: 0,
          max: SECOND_MS,
          default: 2,
          why: "How long a group waits for company while another is worked on; a job that comes after a rest waits for nobody.",
        }),
        queuedMax: integer({
          min: 1,
          max: 1000,
          default: 6,
          why: "Groups of fetched records that wait in memory to be accepted, before fetching waits for them; enough to bridge a fetch.",
        }),
        queuedBytesMax: integer({
          min: 64 * KIB,
          max: 4 * GIB,
          default: 16 * MIB,
          why: "Bytes of these records; what one more fetch brings is held beyond it.",
        }),
        slotWaitMs: integer({
          min: 0,
          max: MINUTE_MS,
          default: 250,
          why: "How long a group waits for a free place at a provider before it is accepted into waiting rows, which cost more.",
        }),
        writesAtOnce: integer({
          min: 1,
          max: 16,
          default: 2,
          why: "Groups of ended calls that are written side by side, a connection to Postgres each; more would mean smaller groups.",
        }),
        waitersMax: integer({
          min: 1,
          max: 10_000,
          default: 500,
          why: "Jobs answered in the transaction that ends their shared call; the sweep answers the rest.",
        }),
      },
      "Group commit.",
    ),
    answerSchemas: optionalSection(
      {
        bytesMax: integer({
          min: KIB,
          max: MIB,
          default: 64 * KIB,
          why: "With expect.jsonSchema: a longer schema is not used, and the answer is only checked to be JSON. Far above what providers take.",
        }),
        rememberedMax: integer({
          min: 1,
          max: 10_000,
          default: 100,
          why: "Schemas kept ready to use; one more is worked out anew each time, about a millisecond.",
        }),
        checkMs: integer({
          min: 1,
          max: 10 * SECOND_MS,
          default: 100,
          why: "Longest time for working out a schema and for checking one answer, during which the router does nothing else.",
        }),
      },
      "Schemas that answers have to keep to.",
    ),
    relay: optionalSection(
      {
        recordsMax: integer({
          min: 100,
          max: 1_000_000,
          default: 20_000,
          why: "Records of one topic that wait in memory to be published; what is beyond it is read from the ledger later.",
        }),
        bytesMax: integer({
          min: MIB,
          max: 16 * GIB,
          default: 32 * MIB,
          why: "Keys, values and headers of records of one topic that wait in memory to be published; what is beyond it is read from the ledger later. The group that reaches it is taken whole.",
        }),
        refusedRecordsMax: integer({
          min: 1,
          max: 1_000_000,
          default: 10_000,
          why: "Records that may wait for a tenant's own reply topic which takes none; the next ones become dead letters, which a replay delivers without a call.",
        }),
        recordsPerSend: integer({
          min: 1,
          max: 100_000,
          default: 1000,
          why: "Most records of one send to a topic; a refused send is halved until the refused record is alone.",
        }),
        bytesPerSend: integer({
          min: 16 * KIB,
          max: 64 * MIB,
          default: 1_000_000,
          why: "Most bytes of one send. All of it may go to one partition, so keep it below the brokers' limit of a record batch; Kafka's default is 1 MiB.",
        }),
        costWaitMs: integer({
          min: 0,
          max: SECOND_MS,
          default: 50,
          why: "How long cost records wait for company, which saves a request and a deletion each: whoever adds them up does not wait for them, as a producer does for its result.",
        }),
      },
      "Publishing.",
    ),
  },
  "Bounds of what is taken in and held.",
);

export const STORAGE = optionalSection(
  {
    compressAboveBytes: integer({
      min: 0,
      max: 64 * MIB,
      default: 2 * KIB,
      why: "Bodies longer than this are stored with gzip level 1; below it the saving isn't worth the time.",
    }),
    journal: optionalSection(
      {
        folder: text(
          /.+/,
          "a folder",
          "Each router keeps answers here, in a folder of its name, until the ledger has them: one that is killed and started again on this disk stores them, instead of leaving their calls in doubt. Answers lie there as plain text, readable by the router's user only. Left out: nothing is kept.",
        ).optional(),
        bytesMax: integer({
          min: MIB,
          max: 4 * GIB,
          default: 64 * MIB,
          why: "Most bytes of answers that wait for the ledger on disk; what comes beyond is not kept. Some hundred answers wait at most times, more only while the ledger is away.",
        }),
      },
      "Answers that are paid and not stored yet.",
    ),
  },
  "How bodies are stored.",
);

export const DEDUPE = optionalSection(
  {
    enabled: toggle(
      true,
      "Equal jobs of a tenant share one call while it is unfinished, unless the job says otherwise. False: every job has a call of its own, and the cache is off too.",
    ),
  },
  "Sharing of calls.",
);

export const CACHE = optionalSection(
  {
    enabled: toggle(
      true,
      "Finished answers serve equal later jobs, unless the job says otherwise. False: none does, whatever the job says.",
    ),
    maxAgeMs: integer({
      min: 0,
      max: 365 * DAY_MS,
      default: DAY_MS,
      why: "Oldest answer that is served again when the job names no age; a day keeps facts fresh.",
    }),
  },
  "Answers used again.",
);

export const RESULTS = optionalSection(
  {
    valueBytesMax: integer({
      min: 64 * KIB,
      max: 64 * MIB,
      default: 1_000_000,
      why: "Longest result record, 16 KiB of it for all but the answer; a longer answer is RESULT_TOO_LARGE. A little below Kafka's default limit of 1 MiB, which counts headers too.",
    }),
  },
  "Results.",
);

export const HEADERS = optionalSection(
  {
    copiedMax: integer({ min: 0, max: 1000, default: 32, why: "Most headers copied from a job to its result." }),
    copiedBytesMax: integer({
      min: 0,
      max: MIB,
      default: 8 * KIB,
      why: "Most bytes of them; they are stored with every job.",
    }),
  },
  "Headers copied from a job to its result; the rest is dropped and counted.",
);

export const RETENTION = optionalSection(
  {
    jobIdDays: integer({
      min: 1,
      max: 3650,
      default: 14,
      why: "How long a job id is remembered; never shorter than Kafka keeps the records that carry it.",
    }),
    bodyDays: integer({ min: 1, max: 3650, default: 7, why: "How long requests and answers are kept in the ledger." }),
  },
  "How long the ledger remembers.",
);

export const SHUTDOWN = optionalSection(
  {
    graceMs: integer({
      min: 0,
      max: HOUR_MS,
      default: MINUTE_MS,
      why: "Time between SIGTERM and exit for calls in the air; what is still out then is in doubt. Keep the orchestrator's own grace above it.",
    }),
  },
  "Stopping.",
);
