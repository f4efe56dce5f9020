// The data part of Prometheus answers (and of Loki's metric queries) as columns, ready to draw.

export type Labels = Record<string, string>;

export interface Histogram {
  count: string;
  sum: string;
  buckets?: [number, string, string, string][]; // boundary rule, lower, upper, count
}

type Sample = [number, string];
type HistogramSample = [number, Histogram];

export type PromData =
  | { resultType: 'matrix'; result: { metric: Labels; values?: Sample[]; histograms?: HistogramSample[] }[] }
  | { resultType: 'vector'; result: { metric: Labels; value?: Sample; histogram?: HistogramSample }[] }
  | { resultType: 'scalar' | 'string'; result: Sample }
  | { resultType: 'streams'; result: unknown[] };

export interface Series {
  labels: Labels;
  /** Unix seconds, ascending. */
  times: number[];
  values: number[];
  /** The last native histogram of the series, for the table. */
  histogram?: Histogram;
  /** Which quantile of a native histogram the values are. */
  quantile?: number;
}

export const quantiles = [0.5, 0.95, 0.99] as const;

/** Series of an answer. A native histogram becomes one series for each of `quantiles`. */
export function seriesOf(data: PromData): { series: Series[]; scalar?: string; nativeHistograms: boolean } {
  switch (data.resultType) {
    case 'matrix': {
      const out: Series[] = [];
      let native = false;
      for (const r of data.result ?? []) {
        if (r.values?.length) out.push({ labels: r.metric, times: r.values.map((v) => v[0]), values: r.values.map((v) => Number(v[1].replace('Inf', 'Infinity'))) });
        if (r.histograms?.length) {
          native = true;
          out.push(...quantileSeries(r.metric, r.histograms));
        }
      }
      return { series: out, nativeHistograms: native };
    }
    case 'vector': {
      let native = false;
      const out = (data.result ?? []).map((r): Series => {
        if (r.histogram) {
          native = true;
          return { labels: r.metric, times: [r.histogram[0]], values: [NaN], histogram: r.histogram[1] };
        }
        const v = r.value ?? [0, 'NaN'];
        return { labels: r.metric, times: [v[0]], values: [Number(v[1].replace('Inf', 'Infinity'))] };
      });
      return { series: out, nativeHistograms: native };
    }
    case 'scalar': {
      const [t, v] = data.result;
      return { series: [{ labels: {}, times: [t], values: [Number(v.replace('Inf', 'Infinity'))] }], nativeHistograms: false };
    }
    case 'string':
      return { series: [], scalar: data.result[1], nativeHistograms: false };
    default:
      return { series: [], nativeHistograms: false };
  }
}

function quantileSeries(labels: Labels, hs: HistogramSample[]): Series[] {
  const last = hs[hs.length - 1]![1];
  return quantiles.map((q) => ({
    labels,
    quantile: q,
    histogram: last,
    times: hs.map((h) => h[0]),
    values: hs.map((h) => quantileOf(h[1], q)),
  }));
}

/**
 * Quantile of a native histogram: linear inside a bucket. Buckets of exponential schemas are narrow
 * enough that this differs from PromQL's exponential interpolation by less than a line's width.
 */
export function quantileOf(h: Histogram, q: number): number {
  const buckets = h.buckets ?? [];
  const total = buckets.reduce((n, b) => n + Number(b[3]), 0);
  if (!(total > 0)) return NaN;
  let rank = q * total;
  for (const [, lower, upper, n] of buckets) {
    const c = Number(n);
    if (rank <= c && c > 0) {
      const lo = Number(lower.replace('Inf', 'Infinity'));
      const hi = Number(upper.replace('Inf', 'Infinity'));
      if (!Number.isFinite(lo)) return hi;
      if (!Number.isFinite(hi)) return lo;
      return lo + ((hi - lo) * rank) / c;
    }
    rank -= c;
  }
  const end = Number(buckets[buckets.length - 1]![2].replace('Inf', 'Infinity'));
  return Number.isFinite(end) ? end : Number(buckets[buckets.length - 1]![1]);
}

/** Labels with the same value in every series: said once, not in each legend row. */
export function commonLabels(series: readonly { labels: Labels }[]): Labels {
  if (series.length < 2) return {};
  const common: Labels = { ...series[0]!.labels };
  for (const s of series) for (const k of Object.keys(common)) if (s.labels[k] !== common[k]) delete common[k];
  return common;
}

const plainName = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;

/** A series as PromQL writes it, without the labels in `except`. */
export function seriesName(s: { labels: Labels; quantile?: number }, except: Labels = {}): string {
  const { __name__: metric, ...rest } = s.labels;
  const pairs = Object.entries(rest).filter(([k]) => !(k in except)).map(([k, v]) => `${plainName.test(k) ? k : JSON.stringify(k)}=${JSON.stringify(v)}`);
  const showMetric = metric && !('__name__' in except);
  const name = showMetric && plainName.test(metric) ? metric : '';
  if (showMetric && !name) pairs.unshift(JSON.stringify(metric));
  const text = name + (pairs.length ? `{${pairs.join(', ')}}` : '');
  const q = s.quantile === undefined ? '' : `p${+(s.quantile * 100).toFixed(1)}`;
  return [q, text].filter(Boolean).join(' ');
}

/** One ascending time axis for all series, gaps as null. Points that are no finite number are gaps. */
export function alignSeries(series: readonly Series[], step: number): { times: number[]; columns: (number | null)[][] } {
  const all = new Set<number>();
  for (const s of series) for (const t of s.times) all.add(t);
  const sorted = [...all].sort((a, b) => a - b);
  const times: number[] = [];
  // A hole wider than a step is drawn as a hole, also where no series has a point.
  for (let i = 0; i < sorted.length; i++) {
    if (i > 0 && step > 0 && sorted[i]! - sorted[i - 1]! > step * 1.5) times.push(sorted[i - 1]! + step);
    times.push(sorted[i]!);
  }
  const at = new Map(times.map((t, i) => [t, i]));
  const columns = series.map((s) => {
    const col = new Array<number | null>(times.length).fill(null);
    s.times.forEach((t, i) => {
      const v = s.values[i]!;
      col[at.get(t)!] = Number.isFinite(v) ? v : null;
    });
    return col;
  });
  return { times, columns };
}

export interface Summary {
  last: number;
  min: number;
  max: number;
  mean: number;
}

export function summarise(values: readonly number[]): Summary {
  let min = Infinity, max = -Infinity, sum = 0, n = 0, last = NaN;
  for (const v of values) {
    if (!Number.isFinite(v)) continue;
    if (v < min) min = v;
    if (v > max) max = v;
    sum += v;
    n++;
    last = v;
  }
  return n ? { last, min, max, mean: sum / n } : { last: NaN, min: NaN, max: NaN, mean: NaN };
}
