import type { CounterLabels, GaugeLabels, HistogramLabels } from "../../ports/metrics.js";

/** One metric as documents, dashboards and tests see it. `buckets` are upper bounds in the metric's unit; histograms only. */
export interface MetricFacts {
  readonly kind: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly labels: readonly string[];
  readonly buckets?: readonly number[];
}

type Facts<Labels, Kind extends MetricFacts["kind"]> = {
  readonly [Name in keyof Labels]: MetricFacts & {
    readonly kind: Kind;
    readonly labels: readonly (keyof Labels[Name] & string)[];
  };
};

/** Waits, 5 ms to 24 h: about three a decade, enough to see whether something takes seconds, minutes or hours. */
const WAIT_SECONDS = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600, 10_800, 43_200, 86_400,
];
/** Transactions: from half a millisecond, above 10 s the statement timeout is near. */
const GROUP_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];
const GROUP_SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

const COUNTERS: Facts<CounterLabels, "counter"> = {
  sluice_records_total: {
    kind: "counter",
    labels: ["topic", "result"],
    help: "Records read from a jobs topic, by what became of them.",
  },
  sluice_jobs_accepted_total: { kind: "counter", labels: ["tenant"], help: "Jobs taken into the ledger." },
  sluice_jobs_ended_total: {
    kind: "counter",
    labels: ["status"],
    help: "Jobs that this router ended, whatever ended them, by status of their result.",
  },
  sluice_attempts_total: {
    kind: "counter",
    labels: ["account", "outcome"],
    help: "Attempts at a provider account that ended, by outcome.",
  },
  sluice_outbox_records_total: {
    kind: "counter",
    labels: ["topic"],
    help: "Records published and acknowledged by the brokers.",
  },
  sluice_dead_letters_total: { kind: "counter", labels: ["code"], help: "Dead letters, by error code." },
  sluice_cost_nano_usd_total: {
    kind: "counter",
    labels: ["tenant"],
    help: "Billionths of a US dollar that this router booked: charges of known price, and corrections upwards. Corrections downwards and what operators book are not in it, and a double counts exactly to 2^53 (9 million dollars): the ledger is the truth, see sluice costs.",
  },
  sluice_coalesced_total: { kind: "counter", labels: [], help: "Jobs answered by a call that another job paid for." },
  sluice_cache_answers_total: { kind: "counter", labels: [], help: "Jobs answered from a finished earlier answer." },
  sluice_in_doubt_total: {
    kind: "counter",
    labels: ["account"],
    help: "Attempts whose outcome became unknown; each may be on the provider's bill.",
  },
  sluice_other_model_total: {
    kind: "counter",
    labels: ["account"],
    help: "Answers that another model gave than the one that was asked; each is priced by the model that answered.",
  },
  sluice_schemas_unusable_total: {
    kind: "counter",
    labels: ["because"],
    help: "JSON Schemas of jobs that could not be used, so that their answers were only checked to be JSON.",
  },
  sluice_refused_outcomes_total: {
    kind: "counter",
    labels: ["account"],
    help: "Calls whose outcome the ledger refused to store; each was put in doubt instead. Should be 0.",
  },
  sluice_unwritten_attempts_total: {
    kind: "counter",
    labels: ["account"],
    help: "Attempts that could not even be put in doubt or taken back, so that the router's session ended. Should be 0.",
  },
  sluice_executions_set_aside_total: {
    kind: "counter",
    labels: [],
    help: "Waiting executions put off for a minute because the ledger refused to start or end them. Should be 0.",
  },
  sluice_headers_dropped_total: {
    kind: "counter",
    labels: [],
    help: "Headers of jobs not copied to their results because there were too many or too large ones.",
  },
  sluice_consumer_restarts_total: {
    kind: "counter",
    labels: [],
    help: "Times the watchdog started a consumer again that stood still.",
  },
  sluice_batches_total: {
    kind: "counter",
    labels: ["account", "became"],
    help: "Provider batches by what became of them; orphan: one turned up whose creation had been given up.",
  },
  sluice_batch_lines_total: {
    kind: "counter",
    labels: ["account", "outcome"],
    help: "Lines of provider batches whose outcome was stored.",
  },
  sluice_batch_quarantined_total: {
    kind: "counter",
    labels: ["account", "because"],
    help: "Results of batches that were not used: of an id that nobody sent, given twice, or not to be read.",
  },
  sluice_rescues_total: {
    kind: "counter",
    labels: ["account"],
    help: "Calls made beside lines of batches whose deadlines were near; each pays for its job a second time if the line answers too.",
  },
  sluice_relay_failures_total: {
    kind: "counter",
    labels: ["topic"],
    help: "Sends of outgoing records that the brokers did not take: sent again, halved, or given up.",
  },
  sluice_alert_notices_total: {
    kind: "counter",
    labels: ["outcome"],
    help: "Tries to tell the webhook of an alert: delivered, failed and tried again, or given_up.",
  },
  sluice_breaker_openings_total: {
    kind: "counter",
    labels: ["account"],
    help: "Times that this router found a provider not worth calling, for one model or the whole account.",
  },
};

const GAUGES: Facts<GaugeLabels, "gauge"> = {
  sluice_unanswered_jobs: {
    kind: "gauge",
    labels: [],
    help: "Jobs in the ledger without a result on calls that ended, as the last sweep found them; counted up to 10,000; should be 0.",
  },
  sluice_pending_jobs: { kind: "gauge", labels: [], help: "Jobs in the ledger without an end." },
  sluice_pending_bytes: {
    kind: "gauge",
    labels: [],
    help: "Bytes of the requests that wait in the ledger, as stored.",
  },
  sluice_outbox_rows: { kind: "gauge", labels: [], help: "Records waiting to be published." },
  sluice_oldest_runnable_seconds: {
    kind: "gauge",
    labels: [],
    help: "Age of the oldest execution that could be started now; scale routers by this.",
  },
  sluice_free_slots: {
    kind: "gauge",
    labels: ["account"],
    help: "Calls that this router has places for at the account now, as far as no limit or breaker keeps them back.",
  },
  sluice_backpressure: {
    kind: "gauge",
    labels: ["reason"],
    help: "1 while fetching is stopped for this reason, else 0.",
  },
  sluice_batches: {
    kind: "gauge",
    labels: ["account", "state"],
    help: "Provider batches that are not over, by state, in the whole ledger.",
  },
  sluice_batch_waiting_lines: {
    kind: "gauge",
    labels: ["account"],
    help: "Executions that wait for a batch of the account, in the whole ledger.",
  },
  sluice_live_routers: {
    kind: "gauge",
    labels: [],
    help: "Routers whose sessions have neither ended nor been declared dead, in the whole ledger.",
  },
  sluice_alerts: {
    kind: "gauge",
    labels: ["rule"],
    help: "Alerts of this rule that are raised, of the whole gateway: every router says the same.",
  },
  sluice_limits_shared: {
    kind: "gauge",
    labels: [],
    help: "1 while this router shares rate limits in Redis, 0 while it keeps to its share by itself; without Redis not there.",
  },
  sluice_breaker_state: {
    kind: "gauge",
    labels: ["account", "model"],
    help: "Of a model at an account, or * for the whole account: 0 called, 1 called behind others, 2 on trial, 3 not called.",
  },
  sluice_build_info: { kind: "gauge", labels: ["version"], help: "Always 1; the label says which build runs." },
};

const HISTOGRAMS: Facts<HistogramLabels, "histogram"> = {
  sluice_group_size: {
    kind: "histogram",
    labels: ["stage"],
    help: "Jobs or records of one group transaction.",
    buckets: GROUP_SIZES,
  },
  sluice_group_seconds: {
    kind: "histogram",
    labels: ["stage"],
    help: "Time of one group transaction.",
    buckets: GROUP_SECONDS,
  },
  sluice_call_seconds: {
    kind: "histogram",
    labels: ["account"],
    help: "Time of one direct call, from sending to the last byte.",
    buckets: WAIT_SECONDS,
  },
  sluice_job_seconds: {
    kind: "histogram",
    labels: [],
    help: "Time from a job's acceptance into the ledger to its end, of jobs that this router ended; 0 for one that was over as it was accepted.",
    buckets: WAIT_SECONDS,
  },
  sluice_batch_turnaround_seconds: {
    kind: "histogram",
    labels: ["account"],
    help: "Time from a batch's submission until the provider had ended it.",
    buckets: WAIT_SECONDS,
  },
};

/** Every metric of the gateway: the one source of documents, dashboards and tests. */
export const METRIC_LIST = { ...COUNTERS, ...GAUGES, ...HISTOGRAMS };
export type MetricName = keyof typeof METRIC_LIST;
