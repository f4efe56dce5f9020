// The APIs of rules and of the Alertmanager, and the history of alerts.
import type { HistoryEvent, ManagedAlert, RuleGroup, Silence } from './alertmodel';
import { endedQuery, eventOf } from './alertmodel';
import { getJSON, sendJSON, type Query } from './http';
import { matcherText, type Matcher } from './matchers';
import { msToNano, queryLines } from './loki';
import type { Labels } from './promdata';
import type { Range } from './time';

interface Envelope<T> {
  data: T;
}

const groups = async (query: Query, stop: AbortSignal): Promise<RuleGroup[]> => (await getJSON<Envelope<{ groups: RuleGroup[] }>>('api/hune/v1/rules', { query, signal: stop })).data.groups;

/** Groups of rules of all signals, without their alerts: there may be many. */
export const ruleGroups = (stop: AbortSignal): Promise<RuleGroup[]> => groups({ exclude_alerts: 'true' }, stop);

/** The rules alone that have alerts. */
export const activeRules = (stop: AbortSignal): Promise<RuleGroup[]> => groups({ active: 'true' }, stop);

/** Alerts that are not over; those that all of ms match. */
export const managedAlerts = (ms: readonly Matcher[], stop: AbortSignal): Promise<ManagedAlert[]> =>
  getJSON<ManagedAlert[]>('api/v2/alerts', { query: { filter: ms.map(matcherText) }, signal: stop });

export const silences = (stop: AbortSignal): Promise<Silence[]> => getJSON<Silence[]>('api/v2/silences', { signal: stop });

export interface NewSilence {
  /** Of a silence that is changed. */
  id?: string;
  matchers: Matcher[];
  startsAt: string;
  endsAt: string;
  createdBy: string;
  comment: string;
}

export const setSilence = async (s: NewSilence): Promise<string> => (await sendJSON<{ silenceID: string }>('POST', 'api/v2/silences', s)).silenceID;

export const expireSilence = (id: string): Promise<unknown> => sendJSON('DELETE', `api/v2/silence/${encodeURIComponent(id)}`);

/** /api/hune/v1/alertmanager/routes */
export interface Route {
  matchers: string[];
  receiver: string;
  integrations: string[];
  group_by: string[];
  group_wait: string;
  group_interval: string;
  repeat_interval: string;
  continue: boolean;
  mute_time_intervals?: string[];
  active_time_intervals?: string[];
  matched: boolean;
  routes: Route[];
}

export interface Routing {
  route: Route;
  receivers: string[];
  /** Alerts are sent to Alertmanagers elsewhere: what is set here touches none of them. */
  external: boolean;
}

export const routes = async (labels: Labels, stop: AbortSignal): Promise<Routing> =>
  (await getJSON<Envelope<Routing>>('api/hune/v1/alertmanager/routes', { query: { label: Object.entries(labels).map(([k, v]) => `${k}=${v}`) }, signal: stop })).data;

/** Events of r, newest first, at most limit. */
export async function history(query: string, r: Range, limit: number, stop: AbortSignal): Promise<HistoryEvent[]> {
  const { entries } = await queryLines(query, msToNano(r.from), String(BigInt(msToNano(r.to)) + 1n), limit, stop);
  return entries.flatMap((e) => eventOf(e.ns, e.line, `${e.ns} ${e.seq}`) ?? []);
}

/** Alerts that ended within r. */
export const ended = (r: Range, limit: number, stop: AbortSignal): Promise<HistoryEvent[]> =>
  history(endedQuery, r, limit, stop);
