// Traces: a TraceQL box with filters, dots of time and duration, the list of results.
import { useEffect } from 'preact/hooks';
import { debug } from '../app/debug';
import { tenant } from '../app/settings';
import { range, rangeKey, refresh, tick } from '../app/time';
import { go, href, onLink, param, paths, setParams } from '../app/url';
import { clock, count, dateTime, day, seconds } from '../data/format';
import { useLoad } from '../data/load';
import { search, tagValues, type Found } from '../data/tempo';
import { fromTraceQL, isTraceID, toTraceQL, type Filters } from '../data/traceql';
import { t } from '../i18n';
import { Icon } from '../kit/icons';
import { QueryBox } from '../kit/query';
import { Empty, ErrorBox, Notice, Progress, Skeleton } from '../kit/ui';
import { serviceColour } from '../viz/palette';
import { Scatter } from '../viz/scatter';

const durations = ['', '10ms', '50ms', '100ms', '250ms', '500ms', '1s', '2s', '5s', '10s', '30s'];

export function TracesPane({ compact }: { compact?: boolean }) {
  const query = param('t') ?? '{}';
  const limit = compact ? 100 : 300;
  const answer = useLoad<Found[]>(`${tenant.value} ${rangeKey.value} ${limit} ${query}`, tick.value, (s) => search(query, range.value, limit, s));
  const services = useLoad(`${tenant.value} services`, Math.floor(tick.value / 6), (s) =>
    tagValues('resource.service.name', { from: range.value.from - 36e5, to: range.value.to }, s).then((v) => v.map((x) => x.value).sort()),
  );
  useEffect(() => debug('traces', () => ({ query, traces: answer.value?.length ?? 0, error: answer.error?.message })), [query, answer.value, answer.error]);
  const run = (text: string) => {
    if (isTraceID(text)) go(`trace/${text.trim().toLowerCase()}`);
    else if (text === query) refresh();
    else setParams({ t: text === '{}' ? null : text || null });
  };
  const filters = fromTraceQL(query);
  const setFilter = (f: Partial<Filters>) => run(toTraceQL({ ...filters!, ...f }));
  const found = answer.value;
  return (
    <section class="pane pane-traces" aria-labelledby="traces-title">
      <header class="pane-head">
        <h2 id="traces-title"><Icon name="tree" /> {compact ? <a href={href(paths.traces)} onClick={onLink}>{t('traces')}</a> : t('traces')}</h2>
        <QueryBox lang="traceql" label={t('traces.query')} hint={t('traces.hint')} value={query} loading={answer.loading} onRun={run} />
        <Progress on={answer.loading} />
      </header>
      <div class="chips" role="group" aria-label={t('traces.filters')}>
        <label>
          {t('service')}
          <select value={filters?.service ?? ''} disabled={!filters} onChange={(e) => setFilter({ service: e.currentTarget.value })}>
            <option value="">{t('any')}</option>
            {[...new Set([...(filters?.service ? [filters.service] : []), ...(services.value ?? [])])].map((s) => <option key={s} value={s}>{s}</option>)}
          </select>
        </label>
        <label>
          {t('longer')}
          <select value={filters?.longer ?? ''} disabled={!filters} onChange={(e) => setFilter({ longer: e.currentTarget.value })}>
            {[...new Set([...durations, filters?.longer ?? ''])].map((d) => <option key={d} value={d}>{d || t('any')}</option>)}
          </select>
        </label>
        <label>
          <input type="checkbox" checked={filters?.errors ?? false} disabled={!filters} onChange={(e) => setFilter({ errors: e.currentTarget.checked })} />
          {t('traces.errors')}
        </label>
        {compact && found && found.length >= limit && <span class="dim">{t('traces.newest', { n: limit })}</span>}
        {!filters && <span class="dim">{t('traces.text')}</span>}
      </div>
      <div class="pane-body">
        {answer.error && <ErrorBox error={answer.error} onRetry={refresh} />}
        {!compact && found && found.length >= limit && <Notice>{t('traces.capped', { n: limit })}</Notice>}
        {found ? (
          found.length ? (
            <>
              <Scatter traces={found} range={range.value} height={compact ? 84 : 130} />
              <List found={found} compact={compact} />
            </>
          ) : (
            !answer.error && <Empty title={services.value?.length === 0 ? t('traces.none') : t('traces.empty')} text={services.value?.length ? t('traces.empty.range') : undefined} howTo={services.value?.length === 0} />
          )
        ) : (
          !answer.error && <Skeleton />
        )}
      </div>
    </section>
  );
}

/** Tempo's search answers in whole milliseconds. */
const took = (f: Found): string => (f.durationMs ? seconds(f.durationMs / 1000) : `< ${seconds(0.001)}`);

function List({ found, compact }: { found: Found[]; compact?: boolean }) {
  const longest = Math.max(...found.map((f) => f.durationMs), 1);
  const days = day(found[0]!.startMs) !== day(found[found.length - 1]!.startMs);
  const open = (e: KeyboardEvent) => {
    const by = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[e.key];
    if (!by || e.ctrlKey || e.metaKey || e.altKey) return;
    const links = [...(e.currentTarget as Element).querySelectorAll<HTMLElement>('a')];
    const i = links.indexOf(document.activeElement as HTMLElement);
    if (i < 0 && e.key.startsWith('Arrow')) return;
    e.preventDefault();
    links[Math.max(0, Math.min(links.length - 1, i < 0 ? 0 : i + by))]?.focus();
  };
  return (
    <div class="table-wrap" tabIndex={0} role="region" aria-label={t('traces.list')} onKeyDown={open}>
      <table class="data traces">
        <thead>
          <tr>
            <th scope="col">{t('start')}</th>
            <th scope="col">{t('service')}</th>
            <th scope="col">{t('name')}</th>
            <th scope="col" class="num">{t('duration')}</th>
            {!compact && <th scope="col"><span class="sr">{t('duration.bar')}</span></th>}
            <th scope="col" class="num">{t('spans')}</th>
            <th scope="col" class="num">{t('errors.head')}</th>
          </tr>
        </thead>
        <tbody>
          {found.map((f) => (
            <tr key={f.traceID} class={f.errors ? 'has-error' : ''} onClick={(e) => (e.target as Element).closest('a') || getSelection()?.toString() || go(`trace/${f.traceID}`)}>
              <td><time title={dateTime(f.startMs, true)}>{days ? `${day(f.startMs)} ` : ''}{clock(f.startMs)}</time></td>
              <td><i class="dot-mark" style={{ background: serviceColour(f.service) }} />{f.service || t('unknown')}</td>
              <td><a href={href(`trace/${f.traceID}`)} onClick={onLink}>{f.name || t('trace.rootless')}</a></td>
              <td class="num">{took(f)}</td>
              {!compact && <td class="bar-cell"><i class={f.errors ? 'bar bar-error' : 'bar'} style={{ width: `${Math.max(1, (100 * f.durationMs) / longest)}%` }} /></td>}
              <td class="num">{f.spans ? count(f.spans) : '–'}</td>
              <td class="num">{f.errors ? <span class="err"><Icon name="error" size={12} /> {count(f.errors)}</span> : f.spans ? '0' : '–'}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
