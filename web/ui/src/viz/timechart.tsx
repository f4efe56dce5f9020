// A time chart with its legend table. The chart is an image with a summary for screen readers;
// arrow keys step through the points and a polite live region reads them.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { isDark } from '../app/settings';
import { locale, zone } from '../app/locale';
import { zoomTo } from '../app/time';
import { clock, day, value, type Unit } from '../data/format';
import { alignSeries, commonLabels, seriesName, summarise, type Series, type Summary } from '../data/promdata';
import type { Range } from '../data/time';
import { t } from '../i18n';
import { Notice, useSize } from '../kit/ui';
import { debug } from '../app/debug';
import type { Chart, ChartInput, Hover } from './chart';
import { colour } from './palette';

/** More lines than this are not told apart; the largest are drawn. */
const maxDrawn = 60;

interface Props {
  series: Series[];
  step: number;
  range: Range;
  unit: Unit;
  expr: string;
}

interface Line {
  name: string;
  index: number;
  summary: Summary;
}

export function TimeChart({ series: all, step, range, unit, expr }: Props) {
  const [box, size] = useSize<HTMLDivElement>();
  const host = useRef<HTMLDivElement>(null);
  const chart = useRef<Chart | null>(null);
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const [hover, setHover] = useState<Hover | null>(null);
  const [said, say] = useState('');
  const dark = isDark();

  const drawn = useMemo(() => {
    const withSums = all.map((s) => ({ s, summary: summarise(s.values) }));
    const top = withSums.length > maxDrawn ? [...withSums].sort((a, b) => (b.summary.max || 0) - (a.summary.max || 0)).slice(0, maxDrawn) : withSums;
    const common = commonLabels(top.map((x) => x.s));
    const lines: Line[] = top.map((x, index) => ({ name: seriesName(x.s, common) || expr, index, summary: x.summary }));
    return { lines, common, ...alignSeries(top.map((x) => x.s), step) };
  }, [all, step, expr]);

  const style = getComputedStyle(document.documentElement);
  const input: ChartInput = {
    width: size.width,
    height: size.height,
    times: drawn.times,
    columns: drawn.columns,
    series: drawn.lines.map((l) => ({ name: l.name, colour: colour(l.index), index: l.index, shown: !hidden.has(l.name) })),
    unit,
    from: range.from / 1000,
    to: range.to / 1000,
    text: style.getPropertyValue('--dim').trim(),
    grid: style.getPropertyValue('--grid').trim(),
  };
  const latest = useRef(input);
  latest.current = input;

  useEffect(() => {
    if (size.width < 50 || size.height < 50) return;
    if (chart.current) {
      chart.current.set(input);
      return;
    }
    let gone = false;
    void import('./chart').then(({ makeChart }) => {
      if (gone || chart.current || !host.current) return;
      chart.current = makeChart(host.current, latest.current, { zoom: (a, b) => zoomTo({ from: a * 1000, to: b * 1000 }), hover: setHover });
    });
    return () => void (gone = true);
  }, [drawn, hidden, size.width, size.height, range.from, range.to, unit, dark, locale.value, zone.value]);
  useEffect(() => () => (chart.current?.destroy(), void (chart.current = null)), []);
  useEffect(() => debug('chart', () => ({ series: latest.current.series.map((s) => s.name), points: latest.current.times.length, drawn: !!chart.current })), []);

  const toggle = (name: string, only: boolean) =>
    setHidden((h) => {
      if (only) {
        const others = drawn.lines.filter((l) => l.name !== name).map((l) => l.name);
        return others.every((n) => h.has(n)) && !h.has(name) ? new Set() : new Set(others);
      }
      const next = new Set(h);
      if (!next.delete(name)) next.add(name);
      return next;
    });

  const onKey = (e: KeyboardEvent) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[e.key];
    if (e.key === 'Escape') chart.current?.clear();
    if (!by || !chart.current) return;
    e.preventDefault();
    chart.current.move(by);
    const i = chart.current.u.cursor.idx;
    if (i === null || i === undefined) return;
    const parts = drawn.lines.filter((l) => !hidden.has(l.name)).slice(0, 5).map((l) => `${l.name} ${fmt(drawn.columns[l.index]![i], unit)}`);
    say(`${clock(drawn.times[i]! * 1000, false)}: ${parts.join('; ')}`);
  };

  const commonText = Object.keys(drawn.common).length ? seriesName({ labels: drawn.common }) : '';
  const highest = drawn.lines.reduce<Line | undefined>((a, l) => (!a || l.summary.max > a.summary.max ? l : a), undefined);
  return (
    <div class="timechart">
      {all.length > maxDrawn && <Notice>{t('metrics.capped', { n: maxDrawn, all: all.length })}</Notice>}
      <div class="chart" ref={box}>
        <div
          class="chart-host"
          ref={host}
          tabIndex={0}
          role="img"
          aria-label={t('chart.summary', { n: drawn.lines.length, from: clock(range.from, false), to: clock(range.to, false), max: highest ? `${highest.name} ${fmt(highest.summary.max, unit)}` : '–' })}
          onKeyDown={onKey}
          onBlur={() => chart.current?.clear()}
        />
        {hover && <Tip hover={hover} lines={drawn.lines} columns={drawn.columns} times={drawn.times} unit={unit} width={size.width} hidden={hidden} />}
      </div>
      <div class="sr" aria-live="polite">{said}</div>
      <Legend lines={drawn.lines} common={commonText} unit={unit} hidden={hidden} near={hover?.series ?? -1} onToggle={toggle} />
    </div>
  );
}

const fmt = (v: number | null | undefined, unit: Unit): string => (v === null || v === undefined || Number.isNaN(v) ? '–' : value(v, unit));

function Tip({ hover, lines, columns, times, unit, width, hidden }: { hover: Hover; lines: Line[]; columns: (number | null)[][]; times: number[]; unit: Unit; width: number; hidden: ReadonlySet<string> }) {
  const at = times[hover.index];
  if (at === undefined) return null;
  const rows = lines
    .filter((l) => !hidden.has(l.name) && columns[l.index]![hover.index] !== null && columns[l.index]![hover.index] !== undefined)
    .map((l) => ({ l, v: columns[l.index]![hover.index]! }))
    .sort((a, b) => b.v - a.v);
  const near = rows.findIndex((r) => r.l.index === hover.series);
  const first = Math.max(0, Math.min(near - 4, rows.length - 9));
  const right = hover.left > width / 2;
  return (
    <div class="tip" style={{ top: '8px', left: right ? 'auto' : `${hover.left + 14}px`, right: right ? `${width - hover.left + 14}px` : 'auto' }}>
      <div class="tip-time">{day(at * 1000)} {clock(at * 1000, false)}</div>
      {rows.slice(first, first + 9).map(({ l, v }) => (
        <div key={l.index} class={`tip-row ${l.index === hover.series ? 'near' : ''}`}>
          <i style={{ background: colour(l.index) }} />
          <span>{l.name}</span>
          <b>{fmt(v, unit)}</b>
        </div>
      ))}
      {rows.length > 9 && <div class="tip-more">{t('chart.more', { n: rows.length - 9 })}</div>}
    </div>
  );
}

type SortKey = 'name' | keyof Summary;

function Legend({ lines, common, unit, hidden, near, onToggle }: { lines: Line[]; common: string; unit: Unit; hidden: ReadonlySet<string>; near: number; onToggle(name: string, only: boolean): void }) {
  const [sort, setSort] = useState<{ by: SortKey; down: boolean } | null>(null);
  const rows = useMemo(() => {
    if (!sort) return lines;
    const sign = sort.down ? -1 : 1;
    const val = (l: Line) => (sort.by === 'name' ? 0 : Number.isNaN(l.summary[sort.by]) ? -Infinity : l.summary[sort.by]);
    return [...lines].sort((a, b) => sign * (sort.by === 'name' ? a.name.localeCompare(b.name) : val(a) - val(b)));
  }, [lines, sort]);
  const head = (by: SortKey, text: string) => (
    <th scope="col" aria-sort={sort?.by === by ? (sort.down ? 'descending' : 'ascending') : undefined}>
      <button type="button" onClick={() => setSort((s) => (s?.by === by ? (s.down === (by !== 'name') ? { by, down: !s.down } : null) : { by, down: by !== 'name' }))}>{text}</button>
    </th>
  );
  return (
    <div class="legend" tabIndex={0} role="region" aria-label={t('legend')}>
      <table>
        <thead>
          <tr>
            {head('name', t('series'))}
            {head('last', t('last'))}
            {head('min', t('min'))}
            {head('mean', t('mean'))}
            {head('max', t('max'))}
          </tr>
        </thead>
        <tbody>
          {rows.map((l) => (
            <tr key={l.index} class={`${hidden.has(l.name) ? 'off' : ''} ${l.index === near ? 'near' : ''}`}>
              <td>
                <button type="button" class="series" aria-pressed={!hidden.has(l.name)} title={t('legend.hint')} onClick={(e) => onToggle(l.name, !(e.ctrlKey || e.metaKey || e.shiftKey))}>
                  <i style={{ background: colour(l.index) }} />
                  <span>{l.name}</span>
                </button>
              </td>
              <td>{fmt(l.summary.last, unit)}</td>
              <td>{fmt(l.summary.min, unit)}</td>
              <td>{fmt(l.summary.mean, unit)}</td>
              <td>{fmt(l.summary.max, unit)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {common && <p class="common">{t('legend.common')} <code>{common}</code></p>}
    </div>
  );
}
