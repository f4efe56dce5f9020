// The Prometheus HTTP API: queries, names, values.
import { getJSON, type Query } from './http';
import { seriesOf, type Labels, type PromData, type Series } from './promdata';
import { stepFor, type Range } from './time';

interface Envelope<T> {
  status: string;
  data: T;
  warnings?: string[];
  infos?: string[];
}

export interface Answer {
  series: Series[];
  scalar?: string;
  warnings: string[];
  step: number;
  nativeHistograms: boolean;
}

const sec = (ms: number): string => (ms / 1000).toFixed(3);

async function ask(path: string, query: Query, step: number, signal: AbortSignal): Promise<Answer> {
  const r = await getJSON<Envelope<PromData>>(path, { query, signal, post: true });
  return { ...seriesOf(r.data), warnings: [...(r.warnings ?? []), ...(r.infos ?? [])], step };
}

/** query_range over r with about `points` points; r is widened to whole steps. */
export function queryRange(expr: string, r: Range, points: number, signal: AbortSignal): Promise<Answer> {
  const step = stepFor(r, points);
  const start = Math.ceil(r.from / 1000 / step) * step;
  const end = Math.floor(r.to / 1000 / step) * step;
  return ask('api/v1/query_range', { query: expr, start, end: Math.max(start, end), step }, step, signal);
}

export const queryInstant = (expr: string, at: number, signal: AbortSignal): Promise<Answer> =>
  ask('api/v1/query', { query: expr, time: sec(at) }, 0, signal);

const window_ = (r: Range): Query => ({ start: sec(r.from), end: sec(r.to) });

export async function labelValues(name: string, r: Range, match: string[] = [], signal?: AbortSignal): Promise<string[]> {
  const path = `api/v1/label/${encodeURIComponent(/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name) ? name : escapeName(name))}/values`;
  return (await getJSON<Envelope<string[]>>(path, { query: { ...window_(r), 'match[]': match, limit: 10000 }, signal })).data ?? [];
}

export async function labelNames(r: Range, match: string[] = [], signal?: AbortSignal): Promise<string[]> {
  return (await getJSON<Envelope<string[]>>('api/v1/labels', { query: { ...window_(r), 'match[]': match, limit: 5000 }, signal })).data ?? [];
}

/** The U__ form of a label name for use in a path (Prometheus, UTF-8 names). */
export function escapeName(name: string): string {
  let out = 'U__';
  for (const c of name) {
    if (c === '_') out += '__';
    else if (/[a-zA-Z0-9:]/.test(c)) out += c;
    else out += `_${c.codePointAt(0)!.toString(16)}_`;
  }
  return out;
}

export type { Labels, Series };
