// Numbers, durations, sizes and times as text.
import { locale, zone, type Locale, type Zone } from '../app/locale';

export type Unit = 'none' | 'seconds' | 'bytes' | 'bytesPerSecond' | 'perSecond' | 'ratio' | 'cores';

const cache = new Map<string, Intl.NumberFormat | Intl.DateTimeFormat>();

function numberFormat(l: Locale, o: Intl.NumberFormatOptions): Intl.NumberFormat {
  const k = l + JSON.stringify(o);
  let f = cache.get(k) as Intl.NumberFormat | undefined;
  if (!f) cache.set(k, (f = new Intl.NumberFormat(l, o)));
  return f;
}

function dateFormat(l: Locale, z: Zone, o: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const k = l + z + JSON.stringify(o);
  let f = cache.get(k) as Intl.DateTimeFormat | undefined;
  if (!f) cache.set(k, (f = new Intl.DateTimeFormat(l === 'en' ? 'en-GB' : l, { ...o, timeZone: z === 'utc' ? 'UTC' : undefined })));
  return f;
}

/** A whole number with the language's separators. */
export const count = (n: number): string => numberFormat(locale.value, { maximumFractionDigits: 0 }).format(n);

/** A number with about `digits` significant digits. */
export function significant(n: number, digits = 4): string {
  if (!Number.isFinite(n)) return Number.isNaN(n) ? 'NaN' : n > 0 ? '+∞' : '−∞';
  const a = Math.abs(n);
  if (a !== 0 && (a < 1e-6 || a >= 1e15)) return n.toExponential(2);
  return numberFormat(locale.value, { maximumSignificantDigits: digits }).format(n);
}

function scaled(n: number, base: number, prefixes: readonly string[], unit: string): string {
  if (!Number.isFinite(n)) return significant(n);
  let a = Math.abs(n);
  let i = 0;
  // 999.95 would print as 1000: move on a little earlier.
  while (a >= base * 0.99995 && i < prefixes.length - 1) {
    a /= base;
    i++;
  }
  const digits = a >= 1000 ? 4 : 3;
  const suffix = prefixes[i] + unit;
  return (n < 0 ? '−' : '') + significant(a, digits) + (suffix ? ' ' + suffix : '');
}

export const bytes = (n: number): string => scaled(n, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'], '');

/** A plain number, with k, M, G from 10,000 on. */
export function short(n: number): string {
  return Math.abs(n) < 10000 ? significant(n) : scaled(n, 1000, ['', 'k', 'M', 'G', 'T', 'P'], '');
}

/** A duration in seconds as text: 1.5 ms, 320 µs, 2 m 5 s, 3 d 4 h. */
export function seconds(n: number): string {
  if (!Number.isFinite(n)) return significant(n);
  const a = Math.abs(n);
  const sign = n < 0 ? '−' : '';
  if (a === 0) return '0 s';
  if (a < 0.9995e-6) return sign + significant(a * 1e9, 3) + ' ns';
  if (a < 0.9995e-3) return sign + significant(a * 1e6, 3) + ' µs';
  if (a < 0.9995) return sign + significant(a * 1e3, 3) + ' ms';
  if (a < 59.95) return sign + significant(a, 3) + ' s';
  const whole = Math.round(a);
  const parts: [number, string][] = [
    [Math.floor(whole / 86400), 'd'],
    [Math.floor(whole / 3600) % 24, 'h'],
    [Math.floor(whole / 60) % 60, 'm'],
    [whole % 60, 's'],
  ];
  const first = parts.findIndex((p) => p[0] > 0);
  return sign + parts.slice(first, first + 2).filter((p) => p[0] > 0).map((p) => `${p[0]} ${p[1]}`).join(' ');
}

export function value(n: number, unit: Unit): string {
  switch (unit) {
    case 'seconds':
      return seconds(n);
    case 'bytes':
      return bytes(n);
    case 'bytesPerSecond':
      return bytes(n) + '/s';
    case 'perSecond':
      return short(n) + '/s';
    case 'ratio':
      return numberFormat(locale.value, { style: 'percent', maximumSignificantDigits: 3 }).format(n);
    case 'cores':
      return short(n);
    default:
      return short(n);
  }
}

const spanUnits: Record<string, string> = { s: 'second', m: 'minute', h: 'hour', d: 'day', w: 'week' };

/** A duration such as 15m in words: 15 minutes. */
export function span(text: string): string {
  const m = /^(\d+)([smhdw])$/.exec(text);
  return m ? numberFormat(locale.value, { style: 'unit', unit: spanUnits[m[2]!], unitDisplay: 'long' }).format(Number(m[1])) : text;
}

/** What a PromQL expression most likely measures, from the names in it. Wrong only in the label of an axis. */
export function guessUnit(expr: string, native = false): Unit {
  // Quantiles of a native histogram measure what the histogram does, also below rate().
  if (native) return /_bytes|\.size/.test(expr) ? 'bytes' : /_seconds|duration|latency/.test(expr) ? 'seconds' : 'none';
  const e = expr.replace(/"(?:[^"\\]|\\.)*"/g, (s) => (/^"[a-zA-Z_:.]+"$/.test(s) ? s : '""'));
  const rate = /\b(rate|irate|deriv)\s*\(/.test(e);
  if (/\bcount\s*(by|without|\()|count_values|\bcount_over_time/.test(e)) return 'none';
  if (/histogram_(quantile|avg)\s*\(/.test(e)) return /_bytes|\.size/.test(e) ? 'bytes' : 'seconds';
  if (/\/\s*(sum|avg|on|ignoring|\(|[a-zA-Z_{])/.test(e)) return 'none';
  if (/cpu_seconds_total|cpu_time_seconds|cpu\.time/.test(e) && rate) return 'cores';
  if (/_ratio\b|utilization/.test(e)) return 'ratio';
  if (/_bytes(_total|_sum)?\b|memory[._]usage|network[._]io|disk[._]io\b|filesystem[._]usage/.test(e)) return rate ? 'bytesPerSecond' : 'bytes';
  if (/_(count|bucket)\b/.test(e)) return rate ? 'perSecond' : 'none';
  if (/timestamp|_time_seconds\b/.test(e)) return 'none';
  if (/_seconds(_sum)?\b|duration/.test(e) && !rate) return 'seconds';
  return rate ? 'perSecond' : 'none';
}

/** Unix nanoseconds as decimal text. Numbers can't hold them. */
export type Nano = string;

export const nanoToMs = (ns: Nano): number => Number(ns.slice(0, -6) || '0') + Number('0.' + ns.slice(-6).padStart(6, '0'));

export function clock(ms: number, fraction = true): string {
  const t = dateFormat(locale.value, zone.value, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' }).format(ms);
  return fraction ? `${t}.${String(Math.floor(((ms % 1000) + 1000) % 1000)).padStart(3, '0')}` : t;
}

export const day = (ms: number): string => dateFormat(locale.value, zone.value, { day: '2-digit', month: 'short' }).format(ms);

export function dateTime(ms: number, fraction = false): string {
  const d = dateFormat(locale.value, zone.value, { year: 'numeric', month: 'short', day: '2-digit' }).format(ms);
  return `${d} ${clock(ms, fraction)}`;
}

/** Text for a date input that parseTime reads back. */
export function isoLocal(ms: number): string {
  const d = new Date(ms);
  const utc = zone.value === 'utc';
  const p = (n: number, w = 2) => String(n).padStart(w, '0');
  return utc
    ? `${p(d.getUTCFullYear(), 4)}-${p(d.getUTCMonth() + 1)}-${p(d.getUTCDate())} ${p(d.getUTCHours())}:${p(d.getUTCMinutes())}:${p(d.getUTCSeconds())}`
    : `${p(d.getFullYear(), 4)}-${p(d.getMonth() + 1)}-${p(d.getDate())} ${p(d.getHours())}:${p(d.getMinutes())}:${p(d.getSeconds())}`;
}
