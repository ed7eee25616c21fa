import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Metrics } from "../../ports/metrics.js";
import { METRIC_LIST, type MetricFacts } from "./metric-list.js";

export interface PrometheusMetrics extends Metrics {
  /** The text that a scrape gets. */
  text(): Promise<string>;
  readonly contentType: string;
}

export interface PrometheusOptions {
  /** Tenants with a label value of their own; those seen later count as `other`. */
  readonly tenantsMax?: number;
  /** Metrics of the process and of Node beside ours; off in tests, since they watch the event loop. */
  readonly processMetrics?: boolean;
}

/** A scrape stays readable and the server's memory bounded; more tenants than this are better read from the cost topic. */
const TENANTS_MAX = 50;
const OTHER = "other";

/**
 * Metrics in a registry of their own (prom-client's global one would be shared with whoever imports it too). A number that is not finite,
 * or negative on a counter, is left out: metrics must never stop a stage.
 */
export function createMetrics(options: PrometheusOptions = {}): PrometheusMetrics {
  const registry = new Registry();
  const meters = registerAll(registry);
  if (options.processMetrics === true) collectDefaultMetrics({ register: registry });
  const boundTenant = tenantBound(options.tenantsMax ?? TENANTS_MAX);
  return {
    count(name, labels, by = 1) {
      if (by >= 0 && Number.isFinite(by)) meters.counters.get(name)?.inc(boundTenant(labels), by);
    },
    set(name, labels, value) {
      if (Number.isFinite(value)) meters.gauges.get(name)?.set({ ...labels }, value);
    },
    observe(name, labels, value) {
      if (Number.isFinite(value)) meters.histograms.get(name)?.observe({ ...labels }, value);
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}

interface Meters {
  readonly counters: ReadonlyMap<string, Counter>;
  readonly gauges: ReadonlyMap<string, Gauge>;
  readonly histograms: ReadonlyMap<string, Histogram>;
}

function registerAll(registry: Registry): Meters {
  const counters = new Map<string, Counter>();
  const gauges = new Map<string, Gauge>();
  const histograms = new Map<string, Histogram>();
  for (const [name, facts] of Object.entries<MetricFacts>(METRIC_LIST)) {
    const common = { name, help: facts.help, labelNames: [...facts.labels], registers: [registry] };
    switch (facts.kind) {
      case "counter":
        counters.set(name, new Counter(common));
        break;
      case "gauge":
        gauges.set(name, new Gauge(common));
        break;
      case "histogram":
        histograms.set(name, new Histogram({ ...common, buckets: [...(facts.buckets ?? [])] }));
        break;
    }
  }
  return { counters, gauges, histograms };
}

type LabelValues = Readonly<Record<string, string>>;

/** Keeps the label of the first `max` tenants. */
function tenantBound(max: number): (labels: LabelValues) => Record<string, string> {
  const known = new Set<string>();
  return (labels) => {
    const tenant = labels["tenant"];
    if (tenant === undefined || known.has(tenant)) return { ...labels };
    if (known.size >= max) return { ...labels, tenant: OTHER };
    known.add(tenant);
    return { ...labels };
  };
}
