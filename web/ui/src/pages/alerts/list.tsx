// What fires, what waits, what is silenced and what ended lately.
import { useEffect, useMemo, useState } from 'preact/hooks';
import { debug } from '../../app/debug';
import { tenant } from '../../app/settings';
import { range, rangeKey, refresh, tick } from '../../app/time';
import { href, onLink, param, paths, setParams } from '../../app/url';
import { count } from '../../data/format';
import { activeRules, ended, managedAlerts, silences } from '../../data/alerting';
import { alertStates, groupAlerts, mergeAlerts, type AlertItem, type AlertState, type GroupBy, type Silence } from '../../data/alertmodel';
import { useLoad } from '../../data/load';
import { compile, equals, matchersText, parseMatchers } from '../../data/matchers';
import { t } from '../../i18n';
import { Button, Empty, ErrorBox, Notice, Skeleton } from '../../kit/ui';
import { AlertRow } from './alert';
import { Head } from './page';
import { FilterBox, moveFocus } from './parts';
import { SilenceForm, type Draft } from './silenceform';

/** Alerts drawn at once: more are counted, and found with a filter. */
const maxShown = 300;
const maxEnded = 500;

export function AlertList() {
  const rules = useLoad(`${tenant.value} active`, tick.value, activeRules);
  const managed = useLoad(`${tenant.value} alerts`, tick.value, (s) => managedAlerts([], s));
  const quiet = useLoad(`${tenant.value} silences`, tick.value, silences);
  const over = useLoad(`${tenant.value} ended ${rangeKey.value}`, tick.value, (s) => ended(range.value, maxEnded, s));
  const [draft, setDraft] = useState<Draft | null>(null);
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());

  const items = useMemo(() => mergeAlerts(rules.value ?? [], managed.value ?? [], over.value ?? []), [rules.value, managed.value, over.value]);
  const filter = param('q') ?? '';
  const parsed = useMemo(() => parseMatchers(filter), [filter]);
  const test = Array.isArray(parsed) ? compile(parsed) : null;
  const matching = test ? items.filter((a) => test(a.labels)) : [];
  const states = (param('state') ?? '').split(',').filter((s): s is AlertState => (alertStates as readonly string[]).includes(s));
  const shown = states.length ? matching.filter((a) => states.includes(a.state)) : matching;
  const by = groupByOf(param('by'));
  const label = by === 'alertname' ? by : by === 'group' ? '' : by.slice('label:'.length);
  const names = useMemo(() => [...new Set(items.flatMap((a) => Object.keys(a.labels)))].filter((n) => n !== 'alertname').sort(), [items]);
  useEffect(() => debug('alerts', () => ({ items: items.map((a) => ({ name: a.name, state: a.state })), shown: shown.length, errors: [rules, managed, over].flatMap((l) => l.error?.message ?? []) })), [items, shown.length, rules.error, managed.error, over.error]);

  const loading = rules.loading || managed.loading || over.loading;
  const loaded = rules.value ?? managed.value;
  const toggle = (s: AlertState) => setParams({ state: (states.includes(s) ? states.filter((x) => x !== s) : [...states, s]).join(',') || null });
  const add = (text: string) => setParams({ q: Array.isArray(parsed) && parsed.length ? `${matchersText(parsed)}, ${text}` : text });
  const silence = (a: AlertItem) => setDraft({ matchers: Object.entries(a.labels).filter(([, v]) => v !== '').sort().map(([k, v]) => equals(k, v)), name: a.name });
  const known = new Map((quiet.value ?? []).map((s): [string, Silence] => [s.id, s]));
  const error = Array.isArray(parsed) ? (test ? undefined : t('matchers.regex')) : t('matchers.error', { at: filter.slice(parsed.at, parsed.at + 20) || '…' });

  return (
    <>
      <Head page="alerts" loading={loading}><FilterBox label={t('alerts.filter')} hint={t('alerts.filter.hint')} value={filter} error={error} onChange={(q) => setParams({ q: q || null })} /></Head>
      <div class="chips" role="group" aria-label={t('alerts.states')}>
        {alertStates.map((s) => (
          <button type="button" key={s} class={`chip state-${s}`} aria-pressed={states.includes(s)} onClick={() => toggle(s)}>
            <i />{t(`alert.${s}`)} <b>{count(matching.filter((a) => a.state === s).length)}</b>
          </button>
        ))}
        <label>
          {t('alerts.by')}
          <select value={by} onChange={(e) => setParams({ by: e.currentTarget.value === 'alertname' ? null : e.currentTarget.value })}>
            <option value="alertname">{t('alerts.by.name')}</option>
            <option value="group">{t('alerts.by.group')}</option>
            {[...new Set([...(by.startsWith('label:') ? [by.slice(6)] : []), ...names])].map((n) => <option key={n} value={`label:${n}`}>{n}</option>)}
          </select>
        </label>
      </div>
      <div class="pane-body alerts-body" tabIndex={0} role="region" aria-label={t('alerts.list')} onKeyDown={moveFocus('.alert-toggle')}>
        {rules.error && managed.error ? <ErrorBox error={rules.error} onRetry={refresh} /> : (
          <>
            {rules.error && <Notice>{t('alerts.norules')} {rules.error.message}</Notice>}
            {managed.error && <Notice>{t('alerts.nomanager')} {managed.error.message}</Notice>}
          </>
        )}
        {over.error && <Notice>{t('alerts.nohistory')} {over.error.message}</Notice>}
        {(over.value?.length ?? 0) >= maxEnded && <Notice>{t('alerts.ended.capped', { n: maxEnded })}</Notice>}
        {shown.length > maxShown && <Notice>{t('alerts.capped', { n: maxShown, all: shown.length })}</Notice>}
        {!loaded ? !(rules.error && managed.error) && <Skeleton rows={8} />
        : items.length === 0 ? <Empty title={t('alerts.none')} text={t('alerts.none.text')} />
        : shown.length === 0 ? !error && <Empty title={t('alerts.empty')} text={t('alerts.empty.text')} />
        : groupAlerts(shown.slice(0, maxShown), by).map((g) => (
          <section key={g.title} class="alert-group">
            <h3>{g.title || t('alerts.by.nothing')} <span class="dim">{count(g.items.length)}</span>{label && g.title && g.items.length > 1 && <Button icon="mute" compact label={t('silence.group', { name: `${label}=${g.title}` })} onClick={() => setDraft({ matchers: [equals(label, g.title)], name: g.title })} />}</h3>
            <ul>
              {g.items.map((a) => (
                <AlertRow key={a.key} alert={a} named={by !== 'alertname'} silences={known} open={open.has(a.key)} onFilter={add} onSilence={() => silence(a)} onToggle={() => setOpen(flipped(open, a.key))} />
              ))}
            </ul>
          </section>
        ))}
        {loaded && <p class="alerts-foot dim">{t('alerts.foot')} <a href={href(paths.history)} onClick={onLink}>{t('history')}</a></p>}
      </div>
      {draft && <SilenceForm draft={draft} onClose={() => setDraft(null)} />}
    </>
  );
}

function flipped(set: ReadonlySet<string>, key: string): ReadonlySet<string> {
  const next = new Set(set);
  if (!next.delete(key)) next.add(key);
  return next;
}

const groupByOf = (s: string | null): GroupBy => (s === 'group' || s?.startsWith('label:') ? (s as GroupBy) : 'alertname');
