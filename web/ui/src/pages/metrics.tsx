// Metrics: a PromQL box, a chart with its legend, a table.
import { useEffect } from 'preact/hooks';
import { range, rangeKey, refresh, tick } from '../app/time';
import { tenant } from '../app/settings';
import { href, onLink, param, paths, setParams } from '../app/url';
import { guessUnit, significant, value, dateTime } from '../data/format';
import { useLoad } from '../data/load';
import { labelValues, queryInstant, queryRange, type Answer } from '../data/prom';
import { quantiles, seriesName, type Series } from '../data/promdata';
import { t } from '../i18n';
import { Icon } from '../kit/icons';
import { QueryBox } from '../kit/query';
import { Empty, ErrorBox, Notice, Progress, Segmented, Skeleton } from '../kit/ui';
import { TimeChart } from '../viz/timechart';
import { debug } from '../app/debug';
import { defaultExpr, startersFor } from './starters';

export function MetricsPane({ compact }: { compact?: boolean }) {
  // Which names exist is asked until there are some, then now and then.
  const names = useLoad(`${tenant.value} names`, namesTick(), (s) => labelValues('__name__', { from: range.value.from - 36e5, to: range.value.to }, [], s));
  const known = names.value ?? [];
  knownNames = known.length;
  const asked = param('m');
  const expr = asked ?? defaultExpr(known);
  const view = !compact && param('view') === 'table' ? 'table' : 'graph';
  const points = compact ? 240 : 480;
  const answer = useLoad<Answer>(expr ? `${tenant.value} ${rangeKey.value} ${view} ${expr}` : null, tick.value, (s) =>
    view === 'table' ? queryInstant(expr, range.value.to, s) : queryRange(expr, range.value, points, s),
  );
  useEffect(() => debug('metrics', () => ({ expr, series: answer.value?.series.length ?? 0, error: answer.error?.message })), [expr, answer.value, answer.error]);
  const run = (text: string) => (text === expr && asked !== null ? refresh() : setParams({ m: text || null }));
  const offers = startersFor(known);
  const a = answer.value;
  const unit = guessUnit(expr, a?.nativeHistograms);

  return (
    <section class="pane pane-metrics" aria-labelledby="metrics-title">
      <header class="pane-head">
        <h2 id="metrics-title"><Icon name="chart" /> {compact ? <a href={href(paths.metrics)} onClick={onLink}>{t('metrics')}</a> : t('metrics')}</h2>
        <QueryBox lang="promql" label={t('metrics.query')} hint={t('metrics.hint')} value={expr} loading={answer.loading} onRun={run} />
        {!compact && (
          <Segmented label={t('view')} value={view} onChange={(v) => setParams({ view: v === 'graph' ? null : v })} options={[{ value: 'graph', label: t('graph') }, { value: 'table', label: t('table') }]} />
        )}
        <Progress on={answer.loading} />
      </header>
      {offers.length > 0 && (
        <div class="chips" role="group" aria-label={t('metrics.starters')}>
          {offers.map((o) => (
            <button type="button" key={o.key} class="chip" aria-pressed={o.expr === expr} onClick={() => setParams({ m: o.expr })}>{t(o.key)}</button>
          ))}
        </div>
      )}
      <div class="pane-body">
        {names.error && !known.length && !answer.error && <ErrorBox error={names.error} onRetry={refresh} />}
        {answer.error && <ErrorBox error={answer.error} onRetry={refresh} />}
        {a?.warnings.map((w) => <Notice key={w}>{w}</Notice>)}
        {a?.nativeHistograms && view === 'graph' && <Notice>{t('metrics.native', { list: quantiles.map((q) => `p${q * 100}`).join(', ') })}</Notice>}
        {a ? (
          a.scalar !== undefined ? <pre class="scalar">{a.scalar}</pre>
          : a.series.length === 0 ? !answer.error && <Empty title={t('metrics.empty')} text={known.length ? t('metrics.empty.range') : undefined} howTo={!known.length} />
          : view === 'table' && a.step === 0 ? <ValueTable series={a.series} unit={unit} />
          : <TimeChart series={a.series} step={a.step} range={range.value} unit={unit} expr={expr} />
        ) : expr || (names.loading && !names.value) ? !answer.error && !names.error && <Skeleton />
        : !names.error && <Empty title={t('metrics.none')} howTo />}
      </div>
    </section>
  );
}

let knownNames = 0;
const namesTick = (): number => (knownNames ? Math.floor(tick.value / 6) : tick.value);

const maxRows = 1000;

function ValueTable({ series, unit }: { series: Series[]; unit: ReturnType<typeof guessUnit> }) {
  const keys = [...new Set(series.flatMap((s) => Object.keys(s.labels)))].filter((k) => k !== '__name__').sort();
  const named = series.some((s) => s.labels.__name__);
  const at = series[0]!.times[0]!;
  return (
    <div class="table-wrap" tabIndex={0} role="region" aria-label={t('table')}>
      {series.length > maxRows && <Notice>{t('table.capped', { n: maxRows, all: series.length })}</Notice>}
      <table class="data values">
        <caption class="dim">{t('table.at', { time: dateTime(at * 1000) })}</caption>
        <thead>
          <tr>
            {named && <th scope="col">{t('metric')}</th>}
            {keys.map((k) => <th scope="col" key={k}>{k}</th>)}
            <th scope="col" class="num">{t('value')}</th>
          </tr>
        </thead>
        <tbody>
          {series.slice(0, maxRows).map((s) => (
            <tr key={seriesName(s)}>
              {named && <td>{s.labels.__name__}</td>}
              {keys.map((k) => <td key={k}>{s.labels[k]}</td>)}
              <td class="num" title={s.histogram ? undefined : String(s.values[0])}>
                {s.histogram ? t('histogram.value', { count: significant(Number(s.histogram.count)), sum: significant(Number(s.histogram.sum)), avg: value(Number(s.histogram.sum) / Number(s.histogram.count), unit) }) : value(s.values[0]!, unit)}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
