// Alerts as the page shows them: what the rules say, what the Alertmanager says and what the history
// remembers, made one.
import { nanoToMs, type Nano } from './format';
import type { Matcher } from './matchers';
import type { Labels } from './promdata';

export type Signal = 'metrics' | 'logs' | 'traces';
export const signals: readonly Signal[] = ['metrics', 'logs', 'traces'];

/** /api/hune/v1/rules */
export interface RuleGroup {
  signal: Signal;
  name: string;
  file: string;
  interval: number; // seconds
  limit: number;
  lastEvaluation: string;
  evaluationTime: number; // seconds
  rules: Rule[];
}

export interface Rule {
  name: string;
  query: string;
  labels: Labels;
  health: 'ok' | 'err' | 'unknown';
  lastError: string;
  type: 'alerting' | 'recording';
  lastEvaluation: string;
  evaluationTime: number;
  // of alerting rules
  state?: 'inactive' | 'pending' | 'firing' | 'unknown';
  duration?: number;
  keepFiringFor?: number;
  annotations?: Labels;
  alerts?: { labels: Labels; annotations: Labels; state: 'pending' | 'firing'; activeAt?: string; value: string }[];
}

/** /api/v2/alerts */
export interface ManagedAlert {
  labels: Labels;
  annotations: Labels;
  startsAt: string;
  endsAt: string;
  updatedAt: string;
  fingerprint: string;
  generatorURL?: string;
  receivers: { name: string }[];
  status: { state: 'active' | 'suppressed' | 'unprocessed'; silencedBy: string[]; inhibitedBy: string[] };
}

/** /api/v2/silences */
export interface Silence {
  id: string;
  matchers: Matcher[];
  createdBy: string;
  comment: string;
  startsAt: string;
  endsAt: string;
  updatedAt: string;
  status: { state: 'active' | 'pending' | 'expired' };
}

/** A line of the stream {hune="alerts"}; docs/alerting.md lists the keys. */
export interface HistoryEvent {
  at: number; // Unix milliseconds
  id: string;
  event: string;
  alertname?: string;
  labels?: Labels;
  from?: string;
  state?: string;
  value?: string;
  rule_group?: string;
  file?: string;
  receiver?: string;
  integration?: string;
  result?: string;
  reason?: string;
  error?: string;
  alerts?: number;
  firing?: number;
  resolved?: number;
  duration?: string;
  silence?: string;
  matchers?: string;
  author?: string;
  comment?: string;
  ends_at?: string;
}

/** The event of a line, or null for a line that is none. */
export function eventOf(ns: Nano, line: string, id: string): HistoryEvent | null {
  try {
    const e = JSON.parse(line) as HistoryEvent;
    return e && typeof e.event === 'string' ? { ...e, at: nanoToMs(ns), id } : null;
  } catch {
    return null;
  }
}

export const historyStream = '{hune="alerts"}';

const quoted = (s: string): string => JSON.stringify(s);

/** The query of the history: of one kind of event, with a text in it. */
export function historyQuery(event: string, text: string): string {
  return historyStream + (event ? ` |= ${quoted(`"event":${quoted(event)}`)}` : '') + (text ? ` |~ ${quoted(`(?i)${text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')}`)}` : '');
}

/** The query of alerts that ended. */
export const endedQuery = `${historyStream} |= ${quoted('"from":"firing"')} |= ${quoted('"state":"inactive"')}`;

export type AlertState = 'firing' | 'suppressed' | 'pending' | 'resolved';
export const alertStates: readonly AlertState[] = ['firing', 'suppressed', 'pending', 'resolved'];

export interface AlertItem {
  /** Its labels, as text: what makes an alert itself. */
  key: string;
  name: string;
  state: AlertState;
  labels: Labels;
  annotations: Labels;
  /** Unix milliseconds: since when it fires or waits, or when it ended. */
  since: number;
  value?: string;
  /** The rule, where this process evaluates it. */
  signal?: Signal;
  query?: string;
  group?: string;
  file?: string;
  /** Where the sender says that it comes from. */
  source?: string;
  receivers: string[];
  silencedBy: string[]; // IDs of silences
  inhibitedBy: string[]; // names of alerts
}

export const labelsKey = (l: Labels): string => JSON.stringify(Object.entries(l).filter(([, v]) => v !== '').sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));

/**
 * Alerts of rules, of the Alertmanager and of the history by their labels. The Alertmanager knows who was
 * told and what is silenced, rules know those that wait, the history those that ended.
 */
export function mergeAlerts(groups: readonly RuleGroup[], managed: readonly ManagedAlert[], ended: readonly HistoryEvent[]): AlertItem[] {
  const found = new Map<string, AlertItem>();
  for (const g of groups) {
    for (const r of g.rules) {
      for (const a of r.alerts ?? []) {
        found.set(labelsKey(a.labels), {
          key: labelsKey(a.labels), name: a.labels.alertname ?? r.name, state: a.state, labels: a.labels, annotations: a.annotations, since: Date.parse(a.activeAt ?? ''), value: a.value,
          signal: g.signal, query: r.query, group: g.name, file: g.file, receivers: [], silencedBy: [], inhibitedBy: [],
        });
      }
    }
  }
  const names = new Map(managed.map((m) => [m.fingerprint, m.labels.alertname]));
  for (const m of managed) {
    const key = labelsKey(m.labels);
    const { silencedBy, inhibitedBy } = m.status;
    const known = found.get(key);
    found.set(key, {
      ...(known ?? { key, name: m.labels.alertname ?? '', labels: m.labels, annotations: m.annotations }),
      state: silencedBy.length || inhibitedBy.length ? 'suppressed' : 'firing',
      since: Date.parse(m.startsAt), source: m.generatorURL, receivers: m.receivers.map((r) => r.name), silencedBy, inhibitedBy: inhibitedBy.map((f) => names.get(f) || f),
    });
  }
  for (const e of [...ended].sort((a, b) => b.at - a.at)) {
    if (e.event !== 'state' || e.from !== 'firing' || e.state !== 'inactive') continue;
    const labels = { ...e.labels, alertname: e.alertname ?? '' };
    const key = labelsKey(labels);
    if (!found.has(key)) found.set(key, { key, name: labels.alertname, state: 'resolved', labels, annotations: {}, since: e.at, value: e.value, group: e.rule_group, file: e.file, receivers: [], silencedBy: [], inhibitedBy: [] });
  }
  return [...found.values()].sort((a, b) => alertStates.indexOf(a.state) - alertStates.indexOf(b.state) || b.since - a.since);
}

/** What alerts are put together by: their name, their group of rules, or the value of a label. */
export type GroupBy = 'alertname' | 'group' | `label:${string}`;

export interface AlertGroup {
  title: string;
  items: AlertItem[];
}

export function groupAlerts(items: readonly AlertItem[], by: GroupBy): AlertGroup[] {
  const groups = new Map<string, AlertItem[]>();
  for (const a of items) {
    const title = by === 'alertname' ? a.name : by === 'group' ? (a.group ?? '') : (a.labels[by.slice('label:'.length)] ?? '');
    const have = groups.get(title);
    if (have) have.push(a);
    else groups.set(title, [a]);
  }
  return [...groups].map(([title, list]) => ({ title, items: list }));
}

export type Level = 'critical' | 'error' | 'warn' | 'info' | 'unknown';

/** The colour of a severity, by the words that people use. */
export function severityOf(labels: Labels): Level {
  const s = (labels.severity ?? labels.priority ?? '').toLowerCase();
  if (/^(critical|crit|page|fatal|emergency|p1|p0)/.test(s)) return 'critical';
  if (/^(err|high|major|p2)/.test(s)) return 'error';
  if (/^(warn|medium|minor|ticket|p3)/.test(s)) return 'warn';
  return /^(info|low|notice|none|p4)/.test(s) ? 'info' : 'unknown';
}

/** A web address that is safe to link to, or null: annotations may hold anything. */
export function webAddress(text: string | undefined): string | null {
  try {
    const u = new URL(text ?? '');
    return u.protocol === 'https:' || u.protocol === 'http:' ? u.href : null;
  } catch {
    return null;
  }
}

const explore: Record<Signal, string> = { metrics: 'm', logs: 'l', traces: 't' };

/** The query of an alert whose sender is Hune: its address names a page of Explore, whatever host it is reached by. */
export function exploreOf(a: AlertItem): { signal: Signal; param: string; query: string } | null {
  if (a.signal && a.query) return { signal: a.signal, param: explore[a.signal], query: a.query };
  const url = webAddress(a.source);
  if (!url) return null;
  const u = new URL(url);
  const signal = /\/ui\/explore\/(metrics|logs|traces)$/.exec(u.pathname)?.[1] as Signal | undefined;
  const query = signal && u.searchParams.get(explore[signal]);
  return signal && query ? { signal, param: explore[signal], query } : null;
}

export const paramOf = (s: Signal): string => explore[s];

/** A stretch of time that an alert spent in one state. Ends are Unix milliseconds. */
export interface Stretch {
  state: 'pending' | 'firing';
  from: number;
  to: number;
}

export interface Lane {
  key: string;
  name: string;
  labels: Labels;
  stretches: Stretch[];
}

/** When each alert waited and fired between from and to, as far as its changes of state tell; the latest first. */
export function lanesOf(events: readonly HistoryEvent[], from: number, to: number): Lane[] {
  const lanes = new Map<string, Lane & { open?: { state: string; at: number }; last: number }>();
  for (const e of [...events].filter((x) => x.event === 'state').sort((a, b) => a.at - b.at)) {
    const labels = { ...e.labels, alertname: e.alertname ?? '' };
    const key = labelsKey(labels);
    let lane = lanes.get(key);
    // What it was before the first change that is known here.
    if (!lane) lanes.set(key, (lane = { key, name: labels.alertname, labels, stretches: [], open: { state: e.from ?? 'inactive', at: from }, last: 0 }));
    close(lane, e.at);
    lane.open = { state: e.state ?? 'inactive', at: e.at };
    lane.last = e.at;
  }
  for (const lane of lanes.values()) close(lane, to);
  return [...lanes.values()].sort((a, b) => b.last - a.last).map(({ key, name, labels, stretches }) => ({ key, name, labels, stretches }));

  function close(lane: { open?: { state: string; at: number }; stretches: Stretch[] }, at: number) {
    const o = lane.open;
    if (o && (o.state === 'pending' || o.state === 'firing') && at >= o.at) lane.stretches.push({ state: o.state, from: Math.max(o.at, from), to: Math.min(at, to) });
  }
}
