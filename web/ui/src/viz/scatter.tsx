// Traces as dots: when and how long. A click opens the trace.
import { useMemo } from 'preact/hooks';
import { go } from '../app/url';
import { clock, seconds } from '../data/format';
import type { Found } from '../data/tempo';
import type { Range } from '../data/time';
import { t } from '../i18n';
import { useSize } from '../kit/ui';
import { serviceColour } from './palette';

const left = 56, bottom = 18, top = 6;

export function Scatter({ traces, range, height }: { traces: Found[]; range: Range; height: number }) {
  const [box, size] = useSize<HTMLDivElement>();
  const w = Math.max(size.width - left - 8, 10), h = height - bottom - top;
  const { lo, hi } = useMemo(() => {
    const d = traces.map((x) => Math.max(x.durationMs, 1));
    const min = Math.min(...d), max = Math.max(...d);
    return { lo: Math.log10(min) - 0.1, hi: Math.log10(max) + 0.1 };
  }, [traces]);
  const x = (ms: number) => left + (Math.max(0, Math.min(1, (ms - range.from) / (range.to - range.from)))) * w;
  const y = (ms: number) => top + h - ((Math.log10(Math.max(ms, 1)) - lo) / (hi - lo)) * h;
  const ticks = [0, 0.5, 1].map((f) => 10 ** (lo + 0.1 + f * (hi - lo - 0.2)));
  const errors = traces.filter((x_) => x_.errors).length;
  return (
    <div class="scatter" ref={box}>
      <svg width={size.width} height={height} role="img" aria-label={t('scatter.summary', { n: traces.length, errors })}>
        {ticks.map((v) => (
          <g key={v}>
            <line class="grid" x1={left} x2={left + w} y1={y(v)} y2={y(v)} />
            <text x={left - 6} y={y(v) + 4} text-anchor="end">{seconds(Number(v.toPrecision(2)) / 1000)}</text>
          </g>
        ))}
        {[0, 0.25, 0.5, 0.75, 1].map((f) => (
          <text key={f} x={left + f * w} y={height - 4} text-anchor={f === 0 ? 'start' : f === 1 ? 'end' : 'middle'}>{clock(range.from + f * (range.to - range.from), false)}</text>
        ))}
        {traces.map((tr) => (
          <g key={tr.traceID} class="dot" onClick={() => go(`trace/${tr.traceID}`)}>
            <title>{`${tr.service} ${tr.name}\n${seconds(tr.durationMs / 1000)} · ${clock(tr.startMs)}${tr.errors ? ` · ${t('errors', { n: tr.errors })}` : ''}`}</title>
            <circle cx={x(tr.startMs)} cy={y(tr.durationMs)} r={9} fill="transparent" />
            {tr.errors
              ? <path class="dot-error" d={`M${x(tr.startMs) - 4} ${y(tr.durationMs) - 4}l8 8m0 -8l-8 8`} />
              : <circle cx={x(tr.startMs)} cy={y(tr.durationMs)} r={3.5} fill={serviceColour(tr.service)} />}
          </g>
        ))}
      </svg>
    </div>
  );
}
