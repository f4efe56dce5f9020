// What to offer at the caret: names and values from the APIs, words of the languages from here.
import { tenant } from '../app/settings';
import { range } from '../app/time';
import * as loki from '../data/loki';
import * as prom from '../data/prom';
import * as tempo from '../data/tempo';
import { spotAt, type Lang } from './scan';

export interface Option {
  label: string;
  type: 'metric' | 'label' | 'value' | 'function' | 'keyword' | 'stage';
  detail?: string;
  apply?: string;
}

export interface Completion {
  from: number;
  options: Option[];
}

const words = (type: Option['type'], text: string, detail?: string): Option[] => text.split(' ').map((label) => ({ label, type, detail }));
const calls = (text: string): Option[] => text.split(' ').map((label) => ({ label, type: 'function', apply: label + '(' }));

const promWords: Option[] = [
  ...calls('abs absent absent_over_time avg_over_time ceil changes clamp clamp_max clamp_min count_over_time day_of_month day_of_week delta deriv exp floor histogram_avg histogram_count histogram_fraction histogram_quantile histogram_sum hour idelta increase irate label_join label_replace last_over_time ln log10 log2 max_over_time min_over_time predict_linear present_over_time quantile_over_time rate resets round scalar sort sort_desc sqrt stddev_over_time sum_over_time time timestamp vector'),
  ...words('keyword', 'sum avg min max count topk bottomk quantile stddev stdvar group count_values by without on ignoring group_left group_right and or unless bool offset'),
];
const logWords: Option[] = [
  ...calls('rate count_over_time bytes_rate bytes_over_time absent_over_time avg_over_time sum_over_time min_over_time max_over_time quantile_over_time first_over_time last_over_time'),
  ...words('keyword', 'sum avg min max count topk bottomk by without and or unless'),
  { label: '{ … }', type: 'keyword', apply: '{' },
];
const logStages = words('stage', 'json logfmt pattern regexp unpack unwrap line_format label_format decolorize drop keep');
const traceWords: Option[] = [{ label: '{ … }', type: 'keyword', apply: '{ ' }, ...words('keyword', '&& || >> > ~')];
const traceStages = [...calls('count avg max min sum by select coalesce rate count_over_time quantile_over_time histogram_over_time')];
const intrinsics = words('label', 'name duration status statusMessage kind rootName rootServiceName traceDuration', 'intrinsic');
const closed: Record<string, string[]> = { status: ['error', 'ok', 'unset'], kind: ['server', 'client', 'internal', 'producer', 'consumer'] };
const durations = words('keyword', '1m 5m 15m 30m 1h 6h 1d');

const kept = new Map<string, { at: number; value: Promise<string[]> }>();

/** Answers are kept for half a minute: a person types faster than names change. */
function keep(key: string, ask: () => Promise<string[]>): Promise<string[]> {
  const k = `${tenant.value}\0${key}`;
  const old = kept.get(k);
  if (old && Date.now() - old.at < 30_000) return old.value;
  if (kept.size > 200) kept.clear();
  const value = ask().catch(() => {
    kept.delete(k); // no completion is no error, but ask again at the next key
    return [];
  });
  kept.set(k, { at: Date.now(), value });
  return value;
}

const limit = 500;

/** Options whose label contains the word, those that begin with it first. */
export function filter(options: Option[], word: string): Option[] {
  const w = word.toLowerCase();
  const head: Option[] = [], tail: Option[] = [];
  for (const o of options) {
    const i = o.label.toLowerCase().indexOf(w);
    if (i === 0) head.push(o);
    else if (i > 0) tail.push(o);
    if (head.length >= limit) break;
  }
  return [...head, ...tail].slice(0, limit);
}

const plain = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;

export async function complete(lang: Lang, text: string, pos: number): Promise<Completion | null> {
  const s = spotAt(lang, text, pos);
  if (s.kind === 'none') return null;
  const done = (options: Option[]): Completion => ({ from: s.from, options: filter(options, s.word) });
  if (s.kind === 'duration') return done(durations);
  if (s.kind === 'stage') {
    if (lang === 'traceql') return done(traceStages);
    const names = await keep('loki labels', () => loki.labelNames(range.value));
    return done([...logStages, ...names.map((label): Option => ({ label, type: 'label' }))]);
  }
  const quote = (v: string) => (s.kind === 'value' && s.quoted ? JSON.stringify(v).slice(1, -1) : JSON.stringify(v));
  const values = (list: string[]): Completion => done(list.map((v): Option => ({ label: v, type: 'value', apply: quote(v) })));

  switch (lang) {
    case 'promql': {
      if (s.kind === 'word') {
        const names = await metricNames();
        return done([...names.map((n): Option => ({ label: n, type: 'metric', apply: plain.test(n) ? n : `{${JSON.stringify(n)}}` })), ...promWords]);
      }
      const match = s.metric ? [s.metric] : [];
      if (s.kind === 'label') {
        const names = await keep(`prom labels ${s.metric ?? ''}`, () => prom.labelNames(range.value, match));
        const quoted = text[s.from - 1] === '"';
        const more = quoted ? await metricNames() : [];
        return done([...names, ...more].map((label): Option => ({ label, type: 'label', apply: plain.test(label) || quoted ? label : JSON.stringify(label) })));
      }
      return values(await keep(`prom values ${s.label} ${s.metric ?? ''}`, () => prom.labelValues(s.label, range.value, match)));
    }
    case 'logql': {
      if (s.kind === 'word') return done(logWords);
      if (s.kind === 'label') return done((await keep('loki labels', () => loki.labelNames(range.value))).map((label): Option => ({ label, type: 'label' })));
      return values(await keep(`loki values ${s.label}`, () => loki.labelValues(s.label, range.value)));
    }
    case 'traceql': {
      if (s.kind === 'word') return done(traceWords);
      if (s.kind === 'label') {
        const tags = await keep('tempo tags', () => tempo.tagNames(range.value));
        return done([...intrinsics, ...tags.filter((n) => !intrinsics.some((i) => i.label === n)).map((label): Option => ({ label, type: 'label', detail: label.split('.')[0] }))]);
      }
      const fixed = closed[s.label];
      if (fixed) return done(fixed.map((label): Option => ({ label, type: 'value' })));
      return values(await keep(`tempo values ${s.label}`, async () => (await tempo.tagValues(s.label, range.value)).map((v) => v.value)));
    }
  }
}

/** Names of the metrics in the time range. */
export const metricNames = (): Promise<string[]> => keep('prom names', () => prom.labelValues('__name__', range.value));
