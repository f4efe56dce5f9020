// Time ranges: the texts of the address bar (now-15m, now-1d/d, ISO 8601, epoch milliseconds), and
// what follows from a range: steps, shifts, zooms.

export interface Range {
  from: number; // Unix milliseconds
  to: number;
}

const unitMs: Record<string, number> = { ms: 1, s: 1e3, m: 6e4, h: 36e5, d: 864e5, w: 6048e5 };

/**
 * Milliseconds of a time expression, or null. `now` may be followed by +N/-N units and by /unit,
 * which rounds to the start of the unit (with roundUp: to its end). Months and years are of the
 * calendar, in local time or UTC.
 */
export function parseTime(text: string, now: number, opts: { roundUp?: boolean; utc?: boolean } = {}): number | null {
  const s = text.trim();
  if (/^\d{9,}$/.test(s)) return s.length <= 11 ? Number(s) * 1000 : Number(s);
  if (!s.startsWith('now')) return parseDate(s, opts.utc ?? false);
  let t = new Date(now);
  let rest = s.slice(3);
  while (rest) {
    const m = /^(?:([+-])\s*(\d+)(ms|[smhdwMy])|\/([smhdwMy]))\s*/.exec(rest);
    if (!m) return null;
    if (m[4]) t = round(t, m[4], opts.roundUp ?? false, opts.utc ?? false);
    else t = add(t, (m[1] === '-' ? -1 : 1) * Number(m[2]), m[3]!, opts.utc ?? false);
    rest = rest.slice(m[0].length);
  }
  return Number.isNaN(t.getTime()) ? null : t.getTime();
}

function parseDate(s: string, utc: boolean): number | null {
  const m = /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,3})\d*)?)?)?\s*(Z|[+-]\d{2}:?\d{2})?$/.exec(s);
  if (!m) return null;
  const [, y, mo, d, h = '0', mi = '0', se = '0', ms = '0', zone] = m;
  const f = [Number(y), Number(mo) - 1, Number(d), Number(h), Number(mi), Number(se), Number(ms.padEnd(3, '0'))] as const;
  if (f[1] > 11 || f[2] < 1 || f[2] > 31 || f[3] > 23 || f[4] > 59 || f[5] > 59) return null;
  if (zone || utc) {
    let t = Date.UTC(...f);
    if (zone && zone !== 'Z') {
      const sign = zone[0] === '-' ? -1 : 1;
      const digits = zone.slice(1).replace(':', '');
      t -= sign * (Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2))) * 6e4;
    }
    return t;
  }
  return new Date(...f).getTime();
}

function add(t: Date, n: number, unit: string, utc: boolean): Date {
  if (unit !== 'M' && unit !== 'y') {
    if (!utc && (unit === 'd' || unit === 'w')) {
      // Calendar days: a day of a clock change has 23 or 25 hours.
      const d = new Date(t);
      d.setDate(d.getDate() + n * (unit === 'w' ? 7 : 1));
      return d;
    }
    return new Date(t.getTime() + n * unitMs[unit]!);
  }
  const d = new Date(t);
  const months = n * (unit === 'y' ? 12 : 1);
  // The 31st less one month is the last day of the month before, not the 1st or 3rd of this one.
  if (utc) {
    const day = d.getUTCDate();
    d.setUTCDate(1);
    d.setUTCMonth(d.getUTCMonth() + months);
    d.setUTCDate(Math.min(day, new Date(Date.UTC(d.getUTCFullYear(), d.getUTCMonth() + 1, 0)).getUTCDate()));
  } else {
    const day = d.getDate();
    d.setDate(1);
    d.setMonth(d.getMonth() + months);
    d.setDate(Math.min(day, new Date(d.getFullYear(), d.getMonth() + 1, 0).getDate()));
  }
  return d;
}

function round(t: Date, unit: string, up: boolean, utc: boolean): Date {
  const y = utc ? t.getUTCFullYear() : t.getFullYear();
  const f = utc
    ? [t.getUTCMonth(), t.getUTCDate(), t.getUTCHours(), t.getUTCMinutes(), t.getUTCSeconds()]
    : [t.getMonth(), t.getDate(), t.getHours(), t.getMinutes(), t.getSeconds()];
  let [mo, d, h, mi, s] = f as [number, number, number, number, number];
  const step = { y: 0, M: 0, d: 0, h: 0, m: 0, s: 0 };
  if (unit === 'w') {
    const weekday = utc ? t.getUTCDay() : t.getDay();
    d -= (weekday + 6) % 7; // Monday
    step.d = 7;
  } else step[unit as keyof typeof step] = 1;
  if ('yMwdhm'.includes(unit)) s = 0;
  if ('yMwdh'.includes(unit)) mi = 0;
  if ('yMwd'.includes(unit)) h = 0;
  if ('yM'.includes(unit)) d = 1;
  if (unit === 'y') mo = 0;
  const make = (k: number) => {
    const a = [y + k * step.y, mo + k * step.M, d + k * step.d, h + k * step.h, mi + k * step.m, s + k * step.s] as const;
    return utc ? new Date(Date.UTC(...a)) : new Date(...a);
  };
  return up ? new Date(make(1).getTime() - 1) : make(0);
}

/** Range of two expressions, or which of them is wrong. */
export function parseRange(from: string, to: string, now: number, utc = false): Range | { error: 'from' | 'to' | 'order' } {
  const f = parseTime(from, now, { utc });
  if (f === null) return { error: 'from' };
  const t = parseTime(to, now, { utc, roundUp: true });
  if (t === null) return { error: 'to' };
  return f < t ? { from: f, to: t } : { error: 'order' };
}

export const isRelative = (text: string): boolean => text.trim().startsWith('now');

/** Milliseconds of a duration such as 15m or 1h30m, or null. */
export function parseDuration(text: string): number | null {
  const s = text.trim();
  if (!/^(\d+(\.\d+)?(ms|[smhdw]))+$/.test(s)) return null;
  let sum = 0;
  for (const m of s.matchAll(/(\d+(?:\.\d+)?)(ms|[smhdw])/g)) sum += Number(m[1]) * unitMs[m[2]!]!;
  return sum;
}

const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 2592000];

/** A round step in seconds that cuts the range into at most `points` pieces. */
export function stepFor(r: Range, points: number, min = 1): number {
  const want = Math.max((r.to - r.from) / 1000 / points, min);
  return steps.find((s) => s >= want) ?? Math.ceil(want / 86400) * 86400;
}

/** The range widened to whole steps, so that neighbouring queries agree on their buckets. */
export function align(r: Range, stepSeconds: number): Range {
  const s = stepSeconds * 1000;
  return { from: Math.floor(r.from / s) * s, to: Math.ceil(r.to / s) * s };
}

export function shift(r: Range, by: number): Range {
  const d = Math.round((r.to - r.from) * by);
  return { from: r.from + d, to: r.to + d };
}

export function zoom(r: Range, factor: number): Range {
  const mid = (r.from + r.to) / 2;
  const half = Math.max(((r.to - r.from) * factor) / 2, 500);
  return { from: Math.round(mid - half), to: Math.round(mid + half) };
}

export const quickRanges = ['5m', '15m', '30m', '1h', '3h', '6h', '12h', '24h', '2d', '7d', '30d', '90d'] as const;
export const refreshChoices = ['off', '5s', '10s', '30s', '1m', '5m', '15m'] as const;
