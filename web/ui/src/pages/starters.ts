// Queries to begin with: chosen from the metrics that exist, so each shows something.
import type { Key } from '../i18n';

interface Starter {
  key: Key;
  /** Names of one metric, as the translation strategies of OTLP write it; the first that exists is used. */
  names: string[];
  matchers?: string;
  expr(selector: string): string;
}

const plain = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
/** {"name", matchers} for names that PromQL can't write bare. */
const sel = (name: string, matchers = ''): string => (plain.test(name) ? name + (matchers && `{${matchers}}`) : `{${JSON.stringify(name)}${matchers && `, ${matchers}`}}`);

const starters: Starter[] = [
  { key: 'start.load', names: ['system_cpu_load_average_1m', 'system_cpu_load_average_1m_thread', 'system.cpu.load_average.1m', 'node_load1'], expr: (s) => s },
  { key: 'start.hostcpu', names: ['system_cpu_time_seconds_total', 'system.cpu.time', 'system_cpu_time'], matchers: 'state!="idle"', expr: (s) => `sum by (state) (rate(${s}[1m]))` },
  { key: 'start.hostmemory', names: ['system_memory_usage_bytes', 'system.memory.usage', 'system_memory_usage'], expr: (s) => `sum by (state) (${s})` },
  { key: 'start.network', names: ['system_network_io_bytes_total', 'system.network.io', 'system_network_io'], expr: (s) => `sum by (direction) (rate(${s}[1m]))` },
  { key: 'start.cpu', names: ['process_cpu_seconds_total'], expr: (s) => `rate(${s}[1m])` },
  { key: 'start.memory', names: ['process_resident_memory_bytes'], expr: (s) => s },
  { key: 'start.requests', names: ['http_server_request_duration_seconds_count'], expr: (s) => `sum by (job) (rate(${s}[1m]))` },
  { key: 'start.requests', names: ['http_server_request_duration_seconds', 'http.server.request.duration'], expr: (s) => `sum by (job) (histogram_count(rate(${s}[1m])))` },
  { key: 'start.latency', names: ['http_server_request_duration_seconds_bucket'], expr: (s) => `histogram_quantile(0.95, sum by (job, le) (rate(${s}[1m])))` },
  { key: 'start.latency', names: ['http_server_request_duration_seconds', 'http.server.request.duration'], expr: (s) => `histogram_quantile(0.95, sum by (job) (rate(${s}[1m])))` },
  { key: 'start.rpc', names: ['rpc_server_call_duration_seconds', 'rpc.server.call.duration', 'rpc_server_duration_milliseconds'], expr: (s) => `histogram_quantile(0.95, sum by (job) (rate(${s}[1m])))` },
  { key: 'start.up', names: ['up'], expr: (s) => s },
];

export interface Chosen {
  key: Key;
  expr: string;
}

/** The starters whose metric exists, one for each key. */
export function startersFor(names: readonly string[]): Chosen[] {
  const have = new Set(names);
  const out: Chosen[] = [];
  for (const s of starters) {
    const name = s.names.find((n) => have.has(n));
    if (name && !out.some((o) => o.key === s.key)) out.push({ key: s.key, expr: s.expr(sel(name, s.matchers)) });
  }
  return out;
}

/** The query of a first visit: a gauge of the host if there is one (it shows with its first sample), else anything. */
export function defaultExpr(names: readonly string[]): string {
  const first = startersFor(names)[0];
  if (first) return first.expr;
  const any = names.find((n) => !n.endsWith('_bucket')) ?? names[0];
  return any ? sel(any) : '';
}
