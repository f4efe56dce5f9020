// The routing tree, and where an alert of given labels would go.
import { useEffect, useMemo } from 'preact/hooks';
import { debug } from '../../app/debug';
import { tenant } from '../../app/settings';
import { refresh, tick } from '../../app/time';
import { param, setParams } from '../../app/url';
import { routes, type Route } from '../../data/alerting';
import { useLoad } from '../../data/load';
import { operatorOf, parseMatchers } from '../../data/matchers';
import type { Labels } from '../../data/promdata';
import { t } from '../../i18n';
import { ErrorBox, Notice, Skeleton } from '../../kit/ui';
import { Head } from './page';
import { FilterBox } from './parts';

export function RoutingView() {
  const text = param('labels') ?? '';
  const labels = useMemo(() => labelsOf(text), [text]);
  const answer = useLoad(labels ? `${tenant.value} routes ${text}` : null, tick.value, (s) => routes(labels!, s));
  const asked = labels !== null && Object.keys(labels).length > 0;
  const a = answer.value;
  useEffect(() => debug('routing', () => ({ receivers: asked ? a?.receivers : undefined, error: answer.error?.message })), [a, asked, answer.error]);
  return (
    <>
      <Head page="routing" loading={answer.loading}><FilterBox label={t('routing.labels')} hint={t('routing.hint')} value={text} error={labels ? undefined : t('routing.error')} onChange={(v) => setParams({ labels: v || null })} /></Head>
      <div class="pane-body alerts-body" tabIndex={0} role="region" aria-label={t('routing')}>
        {answer.error && <ErrorBox error={answer.error} onRetry={refresh} />}
        {a?.external && <Notice>{t('alerts.elsewhere')}</Notice>}
        {a && (asked ? <p class="routing-answer" role="status">{t('routing.goes')} {a.receivers.map((r) => <b key={r} class="tag">{r}</b>)}{told(a.route) || <span class="dim"> {t('routing.nobody')}</span>}</p> : <Notice>{t('routing.help')}</Notice>)}
        {a ? <ul class="routes"><Node route={a.route} root marked={asked} /></ul> : !answer.error && labels && <Skeleton />}
      </div>
    </>
  );
}

/** Labels of a text of the form name="value", …; null for anything else. */
function labelsOf(text: string): Labels | null {
  const ms = parseMatchers(text);
  if (!Array.isArray(ms) || ms.some((m) => operatorOf(m) !== '=') || new Set(ms.map((m) => m.name)).size < ms.length) return null;
  return Object.fromEntries(ms.map((m) => [m.name, m.value]));
}

/** Somebody is told where the alert ends. */
const told = (r: Route): boolean => (r.matched && r.integrations.length > 0) || r.routes.some(told);

const leads = (r: Route): boolean => r.matched || r.routes.some(leads);

function Node({ route: r, root, marked }: { route: Route; root?: boolean; marked: boolean }) {
  const on = marked && leads(r);
  return (
    <li>
      <div class={`route ${on ? 'on' : ''} ${marked && r.matched ? 'matched' : ''}`}>
        <span class="route-match">{root && !r.matchers.length ? t('routing.root') : r.matchers.length ? r.matchers.map((m) => <code key={m} class="chip">{m}</code>) : t('routing.all')}</span>
        <span>→ <b>{r.receiver}</b> <span class="dim">{r.integrations.length ? r.integrations.join(', ') : t('routing.silent')}</span></span>
        {marked && r.matched && <strong class="tag route-here">✓ {t('routing.here')}</strong>}
        {r.continue && <span class="tag">{t('routing.continue')}</span>}
        <span class="dim route-times">{t('routing.times', { by: r.group_by.join(', ') || '–', wait: r.group_wait, interval: r.group_interval, repeat: r.repeat_interval })}</span>
        {r.mute_time_intervals?.length ? <span class="tag">{t('routing.muted', { names: r.mute_time_intervals.join(', ') })}</span> : null}
        {r.active_time_intervals?.length ? <span class="tag">{t('routing.active', { names: r.active_time_intervals.join(', ') })}</span> : null}
      </div>
      {r.routes.length > 0 && <ul>{r.routes.map((c, i) => <Node key={i} route={c} marked={marked} />)}</ul>}
    </li>
  );
}
