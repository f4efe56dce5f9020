// One log line and what can be told from it: level, trace, the parts to mark.
import { nanoToMs, type Nano } from './format';

export type Labels = Record<string, string>;

export interface Entry {
  /** Grows with each entry read: a stable key for rows. */
  seq: number;
  ns: Nano;
  ms: number;
  line: string;
  labels: Labels;
  metadata: Labels;
  parsed: Labels;
  level: Level;
}

export const levels = ['critical', 'error', 'warn', 'info', 'debug', 'trace', 'unknown'] as const;
export type Level = (typeof levels)[number];

/** The level that a word names. OTLP's numbered texts (INFO2) count as their family. */
export function levelOf(word: string | undefined): Level {
  const w = (word ?? '').toLowerCase().replace(/[1-4]$/, '');
  switch (w) {
    case 'critical': case 'fatal': case 'emerg': case 'emergency': case 'alert': case 'crit': case 'panic':
      return 'critical';
    case 'error': case 'err': case 'eror':
      return 'error';
    case 'warn': case 'warning':
      return 'warn';
    case 'info': case 'information': case 'informational': case 'notice':
      return 'info';
    case 'debug': case 'dbug':
      return 'debug';
    case 'trace': case 'trce':
      return 'trace';
  }
  return 'unknown';
}

/** Labels that hold a level, best first. Also the grouping of the volume chart. */
export const levelLabels = ['detected_level', 'level', 'severity_text'] as const;

export function levelOfLabels(...sets: Labels[]): Level {
  for (const name of levelLabels) {
    for (const s of sets) {
      const v = s[name];
      if (v && levelOf(v) !== 'unknown') return levelOf(v);
    }
  }
  return 'unknown';
}

const inLine = /\b(?:level|lvl|severity)["']?\s*[=:]\s*["']?([a-zA-Z]+)|^(?:\S+\s+){0,3}?\[?(FATAL|CRITICAL|ERROR|ERR|WARN|WARNING|INFO|DEBUG|TRACE)\]?[\s:]/;

let seq = 0;

export function makeEntry(ns: Nano, line: string, labels: Labels, metadata: Labels = {}, parsed: Labels = {}): Entry {
  let level = levelOfLabels(metadata, parsed, labels);
  if (level === 'unknown') {
    const m = inLine.exec(line.length > 300 ? line.slice(0, 300) : line);
    if (m) level = levelOf(m[1] ?? m[2]);
  }
  return { seq: ++seq, ns, ms: nanoToMs(ns), line, labels, metadata, parsed, level };
}

const traceKeys = ['trace_id', 'traceid', 'traceID', 'traceId', 'TraceID', 'TraceId', 'trace.id'];
const spanKeys = ['span_id', 'spanid', 'spanID', 'spanId', 'SpanID', 'SpanId', 'span.id'];
const hex32 = /(?<![0-9a-fA-F])([0-9a-fA-F]{32})(?![0-9a-fA-F])/;

function pick(e: Entry, keys: string[], shape: RegExp): string | undefined {
  for (const k of keys) {
    const v = e.metadata[k] ?? e.parsed[k] ?? e.labels[k];
    if (v && shape.test(v) && !/^0+$/.test(v)) return v.toLowerCase();
  }
  return undefined;
}

/** The trace that an entry belongs to: by metadata or label, else 32 hexadecimal digits in the line. */
export function traceOf(e: Entry): { trace: string; span?: string } | undefined {
  const trace = pick(e, traceKeys, /^[0-9a-fA-F]{16}([0-9a-fA-F]{16})?$/) ?? hex32.exec(e.line.slice(0, 10_000))?.[1]?.toLowerCase();
  if (!trace || /^0+$/.test(trace)) return undefined;
  return { trace, span: pick(e, spanKeys, /^[0-9a-fA-F]{16}$/) };
}

/** The texts that the |= filters of a LogQL query ask for: what to mark in the lines. */
export function needles(query: string): string[] {
  const out: string[] = [];
  for (const m of query.matchAll(/\|=\s*("(?:[^"\\]|\\.)*"|`[^`]*`)/g)) {
    const lit = m[1]!;
    const text = lit[0] === '`' ? lit.slice(1, -1) : unquote(lit);
    if (text) out.push(text);
  }
  return out;
}

function unquote(lit: string): string {
  try {
    return JSON.parse(lit) as string;
  } catch {
    return lit.slice(1, -1);
  }
}

/** Cuts text into plain and marked pieces. */
export function mark(text: string, what: readonly string[]): { text: string; hit: boolean }[] {
  if (!what.length) return [{ text, hit: false }];
  const out: { text: string; hit: boolean }[] = [];
  let i = 0;
  while (i < text.length) {
    let at = -1, len = 0;
    for (const w of what) {
      const k = text.indexOf(w, i);
      if (k >= 0 && (at < 0 || k < at || (k === at && w.length > len))) {
        at = k;
        len = w.length;
      }
    }
    if (at < 0) break;
    if (at > i) out.push({ text: text.slice(i, at), hit: false });
    out.push({ text: text.slice(at, at + len), hit: true });
    i = at + len;
  }
  if (i < text.length) out.push({ text: text.slice(i), hit: false });
  return out;
}

const bare = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/**
 * The query with one more condition: a matcher in the selector for a stream label, a label filter
 * at the end of the pipeline for anything else. A condition already there is not repeated; its
 * opposite is replaced.
 */
export function addFilter(query: string, name: string, op: '=' | '!=', value: string, stream: boolean): string {
  if (!bare.test(name)) return query;
  const cond = `${name}${op}${JSON.stringify(value)}`;
  const opposite = `${name}${op === '=' ? '!=' : '='}${JSON.stringify(value)}`;
  const close = selectorEnd(query);
  if (close < 0) return query;
  const head = query.slice(0, close), tail = query.slice(close);
  if (stream) {
    if (head.includes(cond)) return query;
    if (head.includes(opposite)) return head.replace(opposite, cond) + tail;
    const inner = head.slice(head.indexOf('{') + 1).trim();
    return head.trimEnd() + (inner && !inner.endsWith(',') ? ', ' : '') + cond + tail;
  }
  if (tail.includes(`| ${cond}`)) return query;
  if (tail.includes(`| ${opposite}`)) return head + tail.replace(`| ${opposite}`, `| ${cond}`);
  return `${query.trimEnd()} | ${cond}`;
}

/** Index of the brace that closes the first selector, or -1. */
function selectorEnd(query: string): number {
  let quote = '';
  for (let i = query.indexOf('{'); i >= 0 && i < query.length; i++) {
    const c = query[i]!;
    if (quote) {
      if (c === '\\' && quote === '"') i++;
      else if (c === quote) quote = '';
    } else if (c === '"' || c === '`') quote = c;
    else if (c === '}') return i;
  }
  return -1;
}

/** Whether a LogQL query selects lines (and not numbers). */
export function isLogQuery(query: string): boolean {
  return query.replace(/#[^\n]*\n/g, '').trimStart().startsWith('{');
}

/** The query that draws the volume of a log query. */
export function volumeQuery(query: string, stepSeconds: number): string {
  return `sum by (${levelLabels.join(', ')}) (count_over_time(${query.trim().replace(/#[^\n]*$/, '')}\n[${stepSeconds}s]))`;
}

/** Pretty JSON of a line that is JSON, else null. */
export function prettyJSON(line: string): string | null {
  const s = line.trim();
  if (!(s.startsWith('{') || s.startsWith('[')) || s.length > 200_000) return null;
  try {
    return JSON.stringify(JSON.parse(s), null, 2);
  } catch {
    return null;
  }
}
