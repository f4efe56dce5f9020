// The Loki HTTP API: lines, volumes, names, and the live tail.
import { multitenancy } from '../app/boot';
import { apiURL, getJSON } from './http';
import type { Entry } from './logline';
import { entriesOf, type Stream } from './lokistreams';
import { seriesOf, type PromData } from './promdata';
import type { Answer } from './prom';
import { align, stepFor, type Range } from './time';
import type { Nano } from './format';

interface Answer_ {
  status: string;
  data: (PromData | { resultType: 'streams'; result: Stream[] }) & { encodingFlags?: string[] };
  warnings?: string[];
}

export const msToNano = (ms: number): Nano => `${Math.floor(ms)}000000`;

const flags = { 'X-Loki-Response-Encoding-Flags': 'categorize-labels' };

export async function queryLines(query: string, start: Nano, end: Nano, limit: number, signal: AbortSignal, direction: 'backward' | 'forward' = 'backward'): Promise<{ entries: Entry[]; warnings: string[] }> {
  const r = await getJSON<Answer_>('loki/api/v1/query_range', { query: { query, start, end, limit, direction }, headers: flags, signal, post: true });
  return { entries: r.data.resultType === 'streams' ? entriesOf(r.data.result as Stream[]) : [], warnings: r.warnings ?? [] };
}

/** A metric query over r, at most `points` points. */
export async function queryMetric(query: string, r: Range, points: number, signal: AbortSignal, step = stepFor(r, points)): Promise<Answer> {
  const a = align(r, step);
  const res = await getJSON<Answer_>('loki/api/v1/query_range', { query: { query, start: msToNano(a.from), end: msToNano(a.to), step: `${step}s` }, signal, post: true });
  return { ...seriesOf(res.data as PromData), warnings: res.warnings ?? [], step };
}

interface Names {
  data?: string[];
}

export async function labelNames(r: Range, signal?: AbortSignal): Promise<string[]> {
  return (await getJSON<Names>('loki/api/v1/labels', { query: { start: msToNano(r.from), end: msToNano(r.to) }, signal })).data ?? [];
}

export async function labelValues(name: string, r: Range, signal?: AbortSignal): Promise<string[]> {
  return (await getJSON<Names>(`loki/api/v1/label/${encodeURIComponent(name)}/values`, { query: { start: msToNano(r.from), end: msToNano(r.to) }, signal })).data ?? [];
}

export interface TailEvents {
  entries(newest: Entry[], dropped: number): void;
  state(s: 'connecting' | 'open' | 'lost', why?: string): void;
}

interface Frame {
  streams?: Stream[] | null;
  dropped_entries?: unknown[] | null;
}

/**
 * Follows a query until stop is called; lost connections are taken up again where they ended, with
 * growing pauses. A browser can't set X-Scope-OrgID on a websocket, so with multitenancy the tail
 * asks for what is new every other second instead.
 */
export function tail(query: string, from: Nano, on: TailEvents): { stop(): void } {
  return multitenancy ? poll(query, from, on) : follow(query, from, on);
}

function follow(query: string, from: Nano, on: TailEvents): { stop(): void } {
  let socket: WebSocket | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stopped = false;
  let attempt = 0;
  let last = from;
  const connect = () => {
    on.state('connecting');
    const u = apiURL('loki/api/v1/tail', { query, start: last, limit: 200 });
    u.protocol = u.protocol === 'https:' ? 'wss:' : 'ws:';
    const s = (socket = new WebSocket(u));
    s.onopen = () => {
      on.state('open');
    };
    s.onmessage = (m) => {
      attempt = 0;
      let f: Frame;
      try {
        f = JSON.parse(String(m.data)) as Frame;
      } catch {
        return; // not a frame of the protocol; the next one may be
      }
      const entries = entriesOf(f.streams ?? []);
      if (entries.length && BigInt(entries[0]!.ns) >= BigInt(last)) last = String(BigInt(entries[0]!.ns) + 1n);
      on.entries(entries, f.dropped_entries?.length ?? 0);
    };
    s.onclose = (e) => {
      if (stopped) return;
      on.state('lost', e.reason || undefined);
      timer = setTimeout(connect, Math.min(500 * 2 ** attempt++, 15_000));
    };
  };
  connect();
  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
      socket?.close(1000);
    },
  };
}

const pollLimit = 1000;

function poll(query: string, from: Nano, on: TailEvents): { stop(): void } {
  const stop = new AbortController();
  let last = from;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const ask = async () => {
    try {
      const { entries } = await queryLines(query, last, msToNano(Date.now() + 60_000), pollLimit, stop.signal, 'forward');
      if (entries.length) last = String(BigInt(entries[0]!.ns) + 1n);
      on.state('open');
      on.entries(entries, 0);
    } catch (e) {
      if (stop.signal.aborted) return;
      on.state('lost', e instanceof Error ? e.message : String(e));
    }
    if (!stop.signal.aborted) timer = setTimeout(() => void ask(), 2000);
  };
  on.state('connecting');
  void ask();
  return {
    stop() {
      stop.abort();
      clearTimeout(timer);
    },
  };
}
