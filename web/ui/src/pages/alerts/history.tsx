// The history of alerts, from its log stream: when each waited and fired, who was told, what was silenced.
import { useEffect, useMemo } from 'preact/hooks';
import { debug } from '../../app/debug';
import { tenant } from '../../app/settings';
import { range, rangeKey, refresh, tick } from '../../app/time';
import { href, onLink, param, paths, setParams } from '../../app/url';
import { clock, dateTime, day, significant } from '../../data/format';
import { history } from '../../data/alerting';
import { historyQuery, lanesOf, type HistoryEvent, type Lane } from '../../data/alertmodel';
import { useLoad } from '../../data/load';
import type { Range } from '../../data/time';
import { t, type Key } from '../../i18n';
import { Icon } from '../../kit/icons';
import { Empty, ErrorBox, Notice, Skeleton } from '../../kit/ui';
import { Head } from './page';
import { FilterBox, LabelChips, SilenceLink } from './parts';

const kinds: Record<string, Key> = { state: 'event.state', notification: 'event.notification', silence_set: 'event.silence_set', silence_expired: 'event.silence_expired', config: 'event.config' };

const maxEvents = 1000;
const maxLanes = 12;

export function HistoryView() {
  const kind = param('event') ?? '';
  const text = param('q') ?? '';
  const query = historyQuery(kind in kinds ? kind : '', text);
  const answer = useLoad(`${tenant.value} ${rangeKey.value} ${query}`, tick.value, (s) => history(query, range.value, maxEvents, s));
  const events = answer.value;
  useEffect(() => debug('history', () => ({ events: events?.map((e) => ({ event: e.event, alertname: e.alertname, state: e.state })) ?? [], error: answer.error?.message })), [events, answer.error]);
  const days = events?.length ? day(events[0]!.at) !== day(events[events.length - 1]!.at) : false;
  return (
    <>
      <Head page="history" loading={answer.loading}><FilterBox label={t('history.filter')} hint={t('history.filter')} value={text} onChange={(q) => setParams({ q: q || null })} /></Head>
      <div class="chips">
        <label>
          {t('history.kind')}
          <select value={kind} onChange={(e) => setParams({ event: e.currentTarget.value || null })}>
            <option value="">{t('any')}</option>
            {Object.entries(kinds).map(([k, key]) => <option key={k} value={k}>{t(key)}</option>)}
          </select>
        </label>
        <a href={href(paths.logs, { l: query })} onClick={onLink}><Icon name="lines" /> {t('history.logs')}</a>
      </div>
      <div class="pane-body">
        {answer.error && <ErrorBox error={answer.error} onRetry={refresh} />}
        {(events?.length ?? 0) >= maxEvents && <Notice>{t('history.capped', { n: maxEvents })}</Notice>}
        {!events ? !answer.error && <Skeleton />
        : events.length === 0 ? <Empty title={t('history.none')} text={t('history.none.text')} />
        : (
          <>
            <Lanes events={events} range={range.value} />
            <div class="table-wrap" tabIndex={0} role="region" aria-label={t('history.list')}>
              <table class="data history">
                <thead><tr><th scope="col">{t('history.time')}</th><th scope="col">{t('history.kind')}</th><th scope="col">{t('history.about')}</th><th scope="col">{t('history.what')}</th></tr></thead>
                <tbody>
                  {events.map((e) => (
                    <tr key={e.id} class={e.error || e.result === 'failed' || e.result === 'gave_up' ? 'has-error' : ''}>
                      <td><time title={dateTime(e.at, true)}>{days ? `${day(e.at)} ` : ''}{clock(e.at, false)}</time></td>
                      <td>{kinds[e.event] ? t(kinds[e.event]!) : e.event}</td>
                      <td class="wrap"><About e={e} /></td>
                      <td class="wrap"><What e={e} /></td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          </>
        )}
      </div>
    </>
  );
}

function About({ e }: { e: HistoryEvent }) {
  if (e.silence) return <><SilenceLink id={e.silence} /> <code>{e.matchers}</code></>;
  return <>{e.alertname && <button type="button" class="link" onClick={() => setParams({ q: e.alertname! })}>{e.alertname}</button>} <LabelChips labels={e.labels ?? {}} without={['alertname']} /></>;
}

function What({ e }: { e: HistoryEvent }) {
  switch (e.event) {
    case 'state':
      return (
        <>
          {stateText(e.from)} → <span class={`alert-state state-${e.state === 'inactive' ? 'resolved' : e.state}`}><i />{stateText(e.state)}</span>
          {e.value !== undefined && e.state !== 'inactive' && <span class="dim"> {t('value')} {significant(Number(e.value), 6)}</span>}
        </>
      );
    case 'notification':
      return (
        <>
          <b class={e.result === 'sent' ? '' : 'err'}>{t(results[e.result ?? ''] ?? 'unknown')}</b> {e.receiver} ({e.integration})
          {e.firing !== undefined && <> · {t('history.firing', { n: e.firing })}</>}
          {e.resolved !== undefined && <> · {t('history.resolved', { n: e.resolved })}</>}
          {e.reason && <span class="dim"> · {e.reason}</span>}
          {e.error && <pre class="err">{e.error}</pre>}
        </>
      );
  }
  return <>{e.author && <b>{e.author}</b>} {e.comment} {e.ends_at && <span class="dim">{t('silence.ends', { time: dateTime(Date.parse(e.ends_at)) })}</span>} {e.result && t(results[e.result] ?? 'unknown')} {e.error && <pre class="err">{e.error}</pre>}</>;
}

const results: Record<string, Key> = { sent: 'result.sent', failed: 'result.failed', gave_up: 'result.gave_up', applied: 'result.applied' };

const stateText = (s: string | undefined): string => (s === 'firing' || s === 'pending' ? t(`alert.${s}`) : s === 'inactive' ? t('rule.inactive') : (s ?? ''));

/** A line of time for each alert: a bar where it waited, a thick one where it fired. */
function Lanes({ events, range: r }: { events: HistoryEvent[]; range: Range }) {
  const lanes = useMemo(() => lanesOf(events, r.from, Math.min(r.to, Date.now())), [events, r]);
  if (!lanes.length) return null;
  const x = (at: number) => `${(100 * (at - r.from)) / (r.to - r.from)}%`;
  return (
    <div class="lanes" role="list" aria-label={t('history.lanes')}>
      {lanes.slice(0, maxLanes).map((l) => (
        <div key={l.key} class="lane" role="listitem">
          <span class="lane-name" title={titleOf(l)}>{l.name} <span class="dim">{titleOf(l)}</span></span>
          <span class="lane-time" role="img" aria-label={summaryOf(l)}>
            {l.stretches.map((s) => <i key={`${s.state}${s.from}`} class={`stretch-${s.state}`} style={{ left: x(s.from), width: `max(2px, ${(100 * (s.to - s.from)) / (r.to - r.from)}%)` }} title={`${t(`alert.${s.state}`)}: ${dateTime(s.from)} – ${dateTime(s.to)}`} />)}
          </span>
        </div>
      ))}
      {lanes.length > maxLanes && <p class="dim">{t('chart.more', { n: lanes.length - maxLanes })}</p>}
    </div>
  );
}

const titleOf = (l: Lane): string => Object.entries(l.labels).filter(([k, v]) => k !== 'alertname' && v !== '').map(([k, v]) => `${k}=${v}`).join(' ');

const summaryOf = (l: Lane): string => l.stretches.map((s) => `${t(`alert.${s.state}`)} ${dateTime(s.from)} – ${dateTime(s.to)}`).join(', ') || t('rule.inactive');
