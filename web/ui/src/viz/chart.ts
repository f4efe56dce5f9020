// uPlot, dressed. A lazy chunk with its style sheet.
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { clock, day, value, type Unit } from '../data/format';
import { dash } from './palette';

export interface ChartSeries {
  name: string;
  colour: string;
  index: number;
  shown: boolean;
}

export interface ChartInput {
  width: number;
  height: number;
  times: number[]; // Unix seconds
  columns: (number | null)[][];
  series: ChartSeries[];
  unit: Unit;
  from: number;
  to: number;
  text: string;
  grid: string;
}

export interface Hover {
  index: number;
  series: number; // -1: none near
  left: number;
  top: number;
}

export interface Chart {
  set(input: ChartInput): void;
  move(by: number): void;
  clear(): void;
  destroy(): void;
  u: uPlot;
}

/** Steps of an axis in bytes: 1 GiB, not 1 GB. */
const powers = Array.from({ length: 60 }, (_, k) => 2 ** (k - 4));

const axisFont = '11px system-ui, sans-serif';

export function makeChart(parent: HTMLElement, input: ChartInput, on: { zoom(from: number, to: number): void; hover(h: Hover | null): void }): Chart {
  let now = input;
  let u = build(now);

  function build(i: ChartInput): uPlot {
    const span = i.to - i.from;
    const opts: uPlot.Options = {
      width: i.width,
      height: i.height,
      legend: { show: false },
      cursor: { drag: { x: true, y: false, setScale: false }, focus: { prox: 24 }, points: { size: 6 }, y: false },
      focus: { alpha: 0.35 },
      padding: [8, 16, 0, 0],
      scales: {
        x: { time: true, range: () => [now.from, now.to] },
        y: { range: (_u, min, max) => span_(min, max) },
      },
      axes: [
        { stroke: i.text, font: axisFont, size: 26, grid: { stroke: i.grid, width: 1 }, ticks: { show: false }, space: 84, values: (_u, ts) => ts.map((s, k) => label(s, ts[k - 1], span)) },
        { stroke: i.text, font: axisFont, size: (_u, vs) => Math.max(44, Math.min(110, 14 + 6.3 * Math.max(0, ...(vs ?? []).map((v) => v.length)))), grid: { stroke: i.grid, width: 1 }, ticks: { show: false }, space: 40, incrs: i.unit.startsWith('bytes') ? powers : undefined, values: (_u, vs) => vs.map((v) => value(v, i.unit)) },
      ],
      series: [
        {},
        ...i.series.map((s): uPlot.Series => ({
          label: s.name,
          stroke: s.colour,
          width: 1.5,
          dash: dash(s.index),
          show: s.shown,
          // A series of one point, or of points with holes on both sides, has no line to see.
          points: { size: 4, show: (_u, si) => sparse(i.columns[si - 1]!) },
        })),
      ],
      hooks: {
        setSelect: [
          (self) => {
            if (self.select.width > 4) on.zoom(self.posToVal(self.select.left, 'x'), self.posToVal(self.select.left + self.select.width, 'x'));
            self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          },
        ],
        setCursor: [
          (self) => {
            const { idx, left, top } = self.cursor;
            if (idx === null || idx === undefined || left === undefined || left < 0) on.hover(null);
            else on.hover({ index: idx, series: nearest(self, idx, top ?? -1), left: left + self.over.offsetLeft, top: (top ?? 0) + self.over.offsetTop });
          },
        ],
      },
    };
    return new uPlot(opts, [i.times, ...i.columns] as uPlot.AlignedData, parent);
  }

  return {
    get u() {
      return u;
    },
    set(i) {
      const same = i.series.length === now.series.length && i.text === now.text && i.unit === now.unit && i.series.every((s, k) => s.name === now.series[k]!.name && s.colour === now.series[k]!.colour);
      const resized = i.width !== now.width || i.height !== now.height;
      const shown = now.series.map((s) => s.shown);
      now = i;
      if (!same) {
        u.destroy();
        u = build(i);
        return;
      }
      if (resized) u.setSize({ width: i.width, height: i.height });
      u.batch(() => {
        u.setData([i.times, ...i.columns] as uPlot.AlignedData, true);
        i.series.forEach((s, k) => s.shown !== shown[k] && u.setSeries(k + 1, { show: s.shown }));
      });
    },
    move(by) {
      const n = now.times.length;
      if (!n) return;
      const at = u.cursor.idx ?? (by > 0 ? -1 : n);
      const idx = Math.max(0, Math.min(n - 1, at + by));
      u.setCursor({ left: u.valToPos(now.times[idx]!, 'x'), top: u.over.clientHeight / 2 });
    },
    clear: () => u.setCursor({ left: -10, top: -10 }),
    destroy: () => u.destroy(),
  };
}

function span_(min: number | null, max: number | null): [number, number] {
  if (min === null || max === null || !Number.isFinite(min) || !Number.isFinite(max)) return [0, 1];
  if (min === max) return min === 0 ? [0, 1] : min > 0 ? [0, max * 1.2] : [min * 1.2, 0];
  const d = max - min;
  // Zero belongs in the picture unless the variation is small beside the value.
  if (min >= 0 && min < d * 2) return [0, max + d * 0.08];
  if (max <= 0 && -max < d * 2) return [min - d * 0.08, 0];
  return [min - d * 0.08, max + d * 0.08];
}

const sparse = (col: (number | null)[]): boolean => {
  let n = 0, joined = 0;
  for (let i = 0; i < col.length; i++) {
    if (col[i] === null) continue;
    n++;
    if (i > 0 && col[i - 1] !== null) joined++;
  }
  return n > 0 && (n < 3 || joined < n / 2);
};

function nearest(u: uPlot, idx: number, top: number): number {
  let best = -1, gap = Infinity;
  for (let s = 1; s < u.series.length; s++) {
    const v = u.data[s]![idx];
    if (!u.series[s]!.show || v === null || v === undefined) continue;
    const d = Math.abs(u.valToPos(v, 'y') - top);
    if (d < gap) {
      gap = d;
      best = s - 1;
    }
  }
  return best;
}

function label(s: number, before: number | undefined, span: number): string {
  const ms = s * 1000;
  const date = day(ms);
  if (span > 4 * 86400) return date;
  const time = span < 600 ? clock(ms, false) : clock(ms, false).slice(0, 5);
  return span > 43200 && (before === undefined || day(before * 1000) !== date) ? `${date} ${time}` : time;
}
