import { describe, expect, it } from 'vitest';
import { eventOf, exploreOf, groupAlerts, historyQuery, lanesOf, mergeAlerts, severityOf, webAddress, type AlertItem, type HistoryEvent, type ManagedAlert, type RuleGroup } from './alertmodel';

const at = (s: number): string => new Date(s * 1000).toISOString();

const group = (signal: RuleGroup['signal'], alerts: { labels: Record<string, string>; state: 'pending' | 'firing' }[]): RuleGroup => ({
  signal, name: `${signal} rules`, file: 'rules.yml', interval: 60, limit: 0, lastEvaluation: at(100), evaluationTime: 0.01,
  rules: [{ name: 'A', query: 'vector(1)', labels: {}, health: 'ok', lastError: '', type: 'alerting', lastEvaluation: at(100), evaluationTime: 0.01, state: 'firing', alerts: alerts.map((a) => ({ ...a, annotations: { summary: 's' }, activeAt: at(50), value: '1e+00' })) }],
});

const managed = (labels: Record<string, string>, silencedBy: string[] = [], inhibitedBy: string[] = []): ManagedAlert => ({
  labels, annotations: {}, startsAt: at(80), endsAt: at(900), updatedAt: at(90), fingerprint: 'f', generatorURL: 'http://elsewhere:9090/graph?g0.expr=up', receivers: [{ name: 'team' }], status: { state: 'active', silencedBy, inhibitedBy },
});

const change = (s: number, from: string, state: string, labels: Record<string, string> = {}, alertname = 'A'): HistoryEvent => ({ at: s * 1000, id: `${s}`, event: 'state', alertname, labels, from, state });

describe('alerts of rules, Alertmanager and history are one', () => {
  it('joins them by their labels, in any order', () => {
    const [a, ...rest] = mergeAlerts([group('logs', [{ labels: { alertname: 'A', x: '1', empty: '' }, state: 'firing' }])], [managed({ x: '1', alertname: 'A' })], []);
    expect(rest).toEqual([]);
    expect(a).toMatchObject({ name: 'A', state: 'firing', since: 80_000, value: '1e+00', signal: 'logs', query: 'vector(1)', group: 'logs rules', receivers: ['team'], annotations: { summary: 's' } });
  });
  it('shows what only one of them knows', () => {
    const items = mergeAlerts([group('metrics', [{ labels: { alertname: 'A', x: 'waits' }, state: 'pending' }])], [managed({ alertname: 'Foreign' })], [change(70, 'firing', 'inactive', { x: 'over' })]);
    expect(items.map((i) => [i.name, i.state, i.labels.x, i.since])).toEqual([['Foreign', 'firing', undefined, 80_000], ['A', 'pending', 'waits', 50_000], ['A', 'resolved', 'over', 70_000]]);
  });
  it('says what is silenced and what is inhibited', () => {
    const items = mergeAlerts([], [managed({ alertname: 'A' }, ['s1']), managed({ alertname: 'B' }, [], ['f', 'gone']), managed({ alertname: 'C' })], []);
    expect(items.find((i) => i.name === 'B')!.inhibitedBy).toEqual(['C', 'gone']);
    expect(Object.fromEntries(items.map((i) => [i.name, i.state]))).toEqual({ A: 'suppressed', B: 'suppressed', C: 'firing' });
  });
  it('shows an alert that ended twice once, and one that fires again as firing', () => {
    const ended = [change(60, 'firing', 'inactive'), change(75, 'firing', 'inactive'), change(61, 'firing', 'inactive', { x: '1' }), change(62, 'pending', 'inactive', { y: '1' })];
    const items = mergeAlerts([group('metrics', [{ labels: { alertname: 'A', x: '1' }, state: 'firing' }])], [], ended);
    expect(items.map((i) => [i.state, i.since])).toEqual([['firing', 50_000], ['resolved', 75_000]]);
  });
});

it('groups by name, rule group and label', () => {
  const items = mergeAlerts([group('metrics', [{ labels: { alertname: 'A', team: 'x' }, state: 'firing' }, { labels: { alertname: 'B' }, state: 'firing' }])], [managed({ alertname: 'A', team: 'y' })], []);
  const sizes = (by: Parameters<typeof groupAlerts>[1]) => Object.fromEntries(groupAlerts(items, by).map((g) => [g.title, g.items.length]));
  expect(sizes('alertname')).toEqual({ A: 2, B: 1 });
  expect(sizes('group')).toEqual({ 'metrics rules': 2, '': 1 });
  expect(sizes('label:team')).toEqual({ x: 1, y: 1, '': 1 });
});

it('links to the query of alerts that Hune sent, and to no script', () => {
  const a = (patch: Partial<AlertItem>): AlertItem => ({ key: '', name: 'A', state: 'firing', labels: {}, annotations: {}, since: 0, receivers: [], silencedBy: [], inhibitedBy: [], ...patch });
  expect(exploreOf(a({ signal: 'logs', query: '{a="b"}' }))).toEqual({ signal: 'logs', param: 'l', query: '{a="b"}' });
  expect(exploreOf(a({ source: 'https://hune.example/prefix/ui/explore/traces?t=%7B%7D' }))).toEqual({ signal: 'traces', param: 't', query: '{}' });
  expect(exploreOf(a({ source: 'http://prometheus:9090/graph?g0.expr=up' }))).toBeNull();
  expect(exploreOf(a({}))).toBeNull();
  expect(webAddress('https://runbooks/A')).toBe('https://runbooks/A');
  for (const bad of ['javascript:alert(1)', 'data:text/html,x', 'see the wiki', '', undefined]) expect(webAddress(bad), bad).toBeNull();
});

it('knows severities by the words that people use', () => {
  const of = (severity: string) => severityOf({ severity });
  expect(['page', 'Critical', 'error', 'warning', 'ticket', 'info', 'none', 'whatever', ''].map(of)).toEqual(['critical', 'critical', 'error', 'warn', 'warn', 'info', 'info', 'unknown', 'unknown']);
});

it('reads events of lines, and nothing else', () => {
  expect(eventOf('1500000000000000000', '{"event":"state","alertname":"A"}', 'x')).toMatchObject({ at: 1_500_000_000_000, event: 'state', alertname: 'A', id: 'x' });
  for (const line of ['text', '{}', 'null', '[]', '{"event":5}']) expect(eventOf('1', line, 'x'), line).toBeNull();
});

it('asks the history for one kind of event and a text, whatever is in it', () => {
  expect(historyQuery('', '')).toBe('{hune="alerts"}');
  expect(historyQuery('state', '')).toBe('{hune="alerts"} |= "\\"event\\":\\"state\\""');
  expect(historyQuery('', 'a.b"(c)\\')).toBe('{hune="alerts"} |~ "(?i)a\\\\.b\\"\\\\(c\\\\)\\\\\\\\"');
});

it('draws when alerts waited and fired', () => {
  const lanes = lanesOf([change(20, 'inactive', 'pending'), change(30, 'pending', 'firing'), change(50, 'firing', 'inactive'), change(15, 'firing', 'inactive', { x: '1' }), change(60, 'inactive', 'firing', { x: '1' })], 10_000, 100_000);
  expect(lanes.map((l) => [l.labels.x, l.stretches.map((s) => `${s.state} ${s.from / 1000}-${s.to / 1000}`)])).toEqual([
    ['1', ['firing 10-15', 'firing 60-100']],
    [undefined, ['pending 20-30', 'firing 30-50']],
  ]);
});
