// Lines per level over time, as stacked bars. Drag selects a range.
import { useMemo, useRef, useState } from 'preact/hooks';
import { zoomTo } from '../app/time';
import { clock, count, day } from '../data/format';
import { levelLabels, levelOf, levels, type Level } from '../data/logline';
import type { Series } from '../data/promdata';
import { align, type Range } from '../data/time';
import { t, type Key } from '../i18n';
import { useSize } from '../kit/ui';

export interface Volume {
  /** Unix seconds of the start of each bucket. */
  starts: number[];
  counts: Record<Level, number[]>;
  totals: Record<Level, number>;
  max: number;
  step: number;
}

/** Buckets of a volume answer. A point of count_over_time stands for the step that ends at it. */
export function volumeOf(series: readonly Series[], r: Range, step: number): Volume {
  const a = align(r, step);
  const n = Math.max(1, Math.round((a.to - a.from) / 1000 / step));
  const starts = Array.from({ length: n }, (_, i) => a.from / 1000 + i * step);
  const counts = Object.fromEntries(levels.map((l) => [l, new Array<number>(n).fill(0)])) as Record<Level, number[]>;
  const totals = Object.fromEntries(levels.map((l) => [l, 0])) as Record<Level, number>;
  for (const s of series) {
    const level = levelOf(levelLabels.map((k) => s.labels[k]).find((v) => v && levelOf(v) !== 'unknown'));
    s.times.forEach((at, i) => {
      const b = Math.round((at - a.from / 1000) / step) - 1;
      const v = s.values[i]!;
      if (b < 0 || b >= n || !Number.isFinite(v)) return;
      counts[level][b]! += v;
      totals[level] += v;
    });
  }
  const max = starts.reduce((m, _, i) => Math.max(m, levels.reduce((x, l) => x + counts[l][i]!, 0)), 0);
  return { starts, counts, totals, max, step };
}

export const levelKey = (l: Level): Key => `level.${l}`;

const drawOrder = [...levels].reverse(); // the worst on top

export function VolumeChart({ volume, height, onLevel }: { volume: Volume; height: number; onLevel(l: Level): void }) {
  const [box, size] = useSize<HTMLDivElement>();
  const [at, setAt] = useState(-1);
  const drag = useRef<number | null>(null);
  const [sel, setSel] = useState<[number, number] | null>(null);
  const n = volume.starts.length;
  const w = size.width / n;
  const gap = w > 4 ? 1 : 0;

  const paths = useMemo(() => {
    const base = new Array<number>(n).fill(0);
    return drawOrder.filter((l) => volume.totals[l] > 0).map((level) => {
      let d = '';
      for (let i = 0; i < n; i++) {
        const v = volume.counts[level][i]!;
        if (!v) continue;
        const y0 = height - (base[i]! / volume.max) * (height - 2);
        base[i]! += v;
        // One line must be seen beside a million.
        const y1 = Math.min(height - (base[i]! / volume.max) * (height - 2), y0 - 1);
        d += `M${(i * w).toFixed(1)} ${y0.toFixed(1)}h${Math.max(w - gap, 0.5).toFixed(1)}V${y1.toFixed(1)}H${(i * w).toFixed(1)}z`;
      }
      return { level, d };
    });
  }, [volume, w, height]);

  const bucket = (e: PointerEvent) => Math.max(0, Math.min(n - 1, Math.floor((e.clientX - box.current!.getBoundingClientRect().left) / w)));
  const time = (i: number) => volume.starts[i]! * 1000;
  const finish = (e: PointerEvent) => {
    if (drag.current === null) return;
    const a = Math.min(drag.current, bucket(e)), b = Math.max(drag.current, bucket(e));
    drag.current = null;
    setSel(null);
    zoomTo({ from: time(a), to: time(b) + volume.step * 1000 });
  };
  const total = levels.reduce((s, l) => s + volume.totals[l], 0);
  const present = levels.filter((l) => volume.totals[l] > 0);
  const summary = t('volume.summary', { n: Math.round(total), levels: present.map((l) => `${t(levelKey(l))} ${count(volume.totals[l])}`).join(', ') });
  const right = at > n / 2;
  return (
    <div class="volume">
      <div
        class="volume-bars"
        ref={box}
        style={{ height: `${height}px` }}
        onPointerMove={(e) => {
          setAt(bucket(e));
          if (drag.current !== null) setSel([Math.min(drag.current, bucket(e)), Math.max(drag.current, bucket(e))]);
        }}
        onPointerLeave={() => setAt(-1)}
        onPointerDown={(e) => {
          if (e.button !== 0) return;
          box.current!.setPointerCapture(e.pointerId);
          drag.current = bucket(e);
        }}
        onPointerUp={finish}
        onPointerCancel={() => ((drag.current = null), setSel(null))}
      >
        <svg width={size.width} height={height} role="img" aria-label={summary}>
          {at >= 0 && <rect class="volume-at" x={at * w} y={0} width={w} height={height} />}
          {paths.map((p) => <path key={p.level} class={`fill-${p.level}`} d={p.d} />)}
          {sel && <rect class="volume-sel" x={sel[0] * w} y={0} width={(sel[1] - sel[0] + 1) * w} height={height} />}
        </svg>
        {at >= 0 && at < n && (
          <div class="tip" style={{ top: '100%', left: right ? 'auto' : `${at * w + 10}px`, right: right ? `${size.width - at * w + 4}px` : 'auto' }}>
            <div class="tip-time">{day(time(at))} {clock(time(at), false)} + {volume.step} s</div>
            {levels.filter((l) => volume.counts[l][at]).map((l) => (
              <div key={l} class="tip-row"><i class={`bg-${l}`} /><span>{t(levelKey(l))}</span><b>{count(volume.counts[l][at]!)}</b></div>
            ))}
          </div>
        )}
      </div>
      <div class="volume-legend">
        <span class="dim">{t('lines', { n: Math.round(total) })}</span>
        {present.map((l) => (
          <button type="button" key={l} class="chip" title={t('volume.filter')} onClick={() => onLevel(l)} disabled={l === 'unknown'}>
            <i class={`bg-${l}`} />
            {t(levelKey(l))} <b>{count(volume.totals[l])}</b>
          </button>
        ))}
      </div>
    </div>
  );
}
