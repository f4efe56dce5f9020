// The Tempo HTTP API: search, traces, names.
import { getJSON } from './http';
import { traceOf, type RawTrace, type Trace } from './otlp';
import type { Range } from './time';

export interface Found {
  traceID: string;
  service: string;
  name: string;
  startMs: number;
  durationMs: number;
  spans: number;
  errors: number;
  /** Spans that the query matched. */
  matched: number;
  services: string[];
}

interface RawFound {
  traceID: string;
  rootServiceName?: string;
  rootTraceName?: string;
  startTimeUnixNano?: string;
  durationMs?: number;
  spanSets?: { matched?: number; spans?: unknown[] }[];
  spanSet?: { matched?: number; spans?: unknown[] };
  serviceStats?: Record<string, { spanCount?: number; errorCount?: number }>;
}

export function foundOf(r: RawFound): Found {
  const stats = Object.values(r.serviceStats ?? {});
  const sets = r.spanSets ?? (r.spanSet ? [r.spanSet] : []);
  return {
    traceID: r.traceID,
    service: r.rootServiceName ?? '',
    name: r.rootTraceName ?? '',
    startMs: Number(BigInt(r.startTimeUnixNano || '0') / 1000n) / 1000,
    durationMs: r.durationMs ?? 0,
    spans: stats.reduce((n, s) => n + (s.spanCount ?? 0), 0),
    errors: stats.reduce((n, s) => n + (s.errorCount ?? 0), 0),
    matched: sets.reduce((n, s) => n + (s.matched ?? s.spans?.length ?? 0), 0),
    services: Object.keys(r.serviceStats ?? {}),
  };
}

const window_ = (r: Range) => ({ start: Math.floor(r.from / 1000), end: Math.ceil(r.to / 1000) });

/** Traces that match, newest first. */
export async function search(q: string, r: Range, limit: number, signal: AbortSignal): Promise<Found[]> {
  const res = await getJSON<{ traces?: RawFound[] | null }>('api/search', { query: { q, limit, spss: 1, ...window_(r) }, signal });
  return (res.traces ?? []).map(foundOf).sort((a, b) => b.startMs - a.startMs);
}

/** One trace, or null if it has no span. */
export async function getTrace(id: string, signal: AbortSignal): Promise<Trace | null> {
  return traceOf(await getJSON<RawTrace>(`api/v2/traces/${encodeURIComponent(id)}`, { signal }));
}

/** Attribute names by scope, as TraceQL writes them. */
export async function tagNames(r: Range, signal?: AbortSignal): Promise<string[]> {
  const res = await getJSON<{ scopes?: { name: string; tags?: string[] | null }[] }>('api/v2/search/tags', { query: { ...window_(r), limit: 2000 }, signal });
  return (res.scopes ?? []).flatMap((s) => (s.tags ?? []).map((t) => (s.name === 'intrinsic' ? t : `${s.name}.${t}`)));
}

export async function tagValues(tag: string, r: Range, signal?: AbortSignal): Promise<{ type: string; value: string }[]> {
  const res = await getJSON<{ tagValues?: { type: string; value: string }[] | null }>(`api/v2/search/tag/${encodeURIComponent(tag)}/values`, { query: { ...window_(r), limit: 1000 }, signal });
  return res.tagValues ?? [];
}
