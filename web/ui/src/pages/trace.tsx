// One trace: head, minimap, waterfall (a windowed tree grid), span detail.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { debug } from '../app/debug';
import { tenant } from '../app/settings';
import { tick } from '../app/time';
import { href, onLink, param, paths, setParams, traceID } from '../app/url';
import { count, dateTime, seconds } from '../data/format';
import { ApiError } from '../data/errors';
import { useLoad } from '../data/load';
import { attrText, visibleRows, type Attr, type Span, type Trace } from '../data/otlp';
import { getTrace } from '../data/tempo';
import { logsOf } from '../data/traceql';
import { t } from '../i18n';
import { Icon } from '../kit/icons';
import { Button, CopyButton, Empty, ErrorBox, Progress, Skeleton, useSize } from '../kit/ui';
import { windowOf } from '../kit/window';
import { serviceColour } from '../viz/palette';

const rowHeight = 24;

export function TracePage() {
  const id = traceID.value;
  // A trace may still grow: refreshed by hand, not by the clock, so that nothing moves under the eye.
  const [again, setAgain] = useState(0);
  const load = useLoad(`${tenant.value} ${id}`, again, (s) => getTrace(id, s));
  const missing = load.error instanceof ApiError && load.error.status === 404;
  const first = useRef(tick.value);
  useEffect(() => {
    // Until it is found, each refresh asks again: a link may be younger than the trace.
    if (tick.value !== first.current && (missing || load.value === null)) setAgain(tick.value);
  }, [tick.value]);
  return (
    <section class="pane trace" aria-label={t('trace')}>
      <Progress on={load.loading} />
      {load.error && !missing && <ErrorBox error={load.error} onRetry={() => setAgain((n) => n + 1)} />}
      {missing || load.value === null ? (
        <Empty title={t('trace.missing')} text={t('trace.missing.text', { id })} />
      ) : load.value ? (
        <TraceView key={load.value.id} trace={load.value} id={id} onReload={() => setAgain((n) => n + 1)} />
      ) : (
        !load.error && <Skeleton rows={14} />
      )}
    </section>
  );
}

/** The time around a trace in which its logs are looked for. */
const around = (tr: Trace, before = 60_000, after = 60_000) => ({ from: String(Math.floor(tr.startMs - before)), to: String(Math.ceil(tr.startMs + tr.duration / 1e6 + after)), refresh: null });

function TraceView({ trace, id, onReload }: { trace: Trace; id: string; onReload(): void }) {
  const [collapsed, setCollapsed] = useState<ReadonlySet<Span>>(new Set());
  const [find, setFind] = useState('');
  const rows = useMemo(() => visibleRows(trace.rows, collapsed), [trace, collapsed]);
  const wanted = param('span');
  const selected = useMemo(() => trace.rows.findIndex((r) => r.span.id === wanted), [trace, wanted]);
  const hits = useMemo(() => (find.trim() ? findSpans(trace, find.trim().toLowerCase()) : null), [trace, find]);
  useEffect(() => debug('trace', () => ({ spans: trace.rows.length, visible: rows.length, services: trace.services.length, errors: trace.errors })), [trace, rows]);

  const toggle = (s: Span, fold?: boolean) =>
    setCollapsed((c) => {
      const next = new Set(c);
      if (fold ?? !c.has(s)) next.add(s);
      else next.delete(s);
      return next;
    });
  const select = (i: number) => setParams({ span: i < 0 ? null : trace.rows[i]!.span.id }, true);

  return (
    <>
      <header class="trace-head">
        <div>
          <h2>
            <i class="dot-mark" style={{ background: serviceColour(trace.root?.service ?? '') }} />
            {trace.root?.service} <span class="trace-name">{trace.root?.name}</span>
          </h2>
          <dl class="trace-facts">
            <div><dt>{t('duration')}</dt><dd>{seconds(trace.duration / 1e9)}</dd></div>
            <div><dt>{t('start')}</dt><dd>{dateTime(trace.startMs, true)}</dd></div>
            <div><dt>{t('spans')}</dt><dd>{count(trace.rows.length)}</dd></div>
            <div><dt>{t('errors.head')}</dt><dd class={trace.errors ? 'err' : ''}>{count(trace.errors)}</dd></div>
            <div><dt>{t('trace.id')}</dt><dd><code>{id}</code> <CopyButton text={id} label={t('copy.id')} /></dd></div>
          </dl>
        </div>
        <div class="trace-do">
          <input type="search" class="find" placeholder={t('trace.find')} aria-label={t('trace.find')} value={find} onInput={(e) => setFind(e.currentTarget.value)} />
          {hits && <span class="dim" role="status">{t('trace.hits', { n: hits.size })}</span>}
          <a class="btn btn-primary" href={href(paths.logs, { l: logsOf(id), ...around(trace) })} onClick={onLink}><Icon name="lines" />{t('trace.logs')}</a>
          <Button icon="refresh" compact label={t('refresh')} onClick={onReload} />
        </div>
      </header>
      <ul class="trace-services" aria-label={t('services')}>
        {trace.services.map((s) => (
          <li key={s.name}><i class="dot-mark" style={{ background: serviceColour(s.name) }} />{s.name} <span class="dim">{count(s.spans)}</span>{s.errors > 0 && <span class="err"> <Icon name="error" size={11} />{count(s.errors)}</span>}</li>
        ))}
      </ul>
      <Minimap trace={trace} />
      <div class={`trace-body ${selected >= 0 ? 'with-detail' : ''}`}>
        <Waterfall trace={trace} rows={rows} collapsed={collapsed} selected={selected} hits={hits} onToggle={toggle} onSelect={select} onFold={(all) => setCollapsed(all ? new Set(trace.rows.filter((r) => r.descendants && r.depth > 0).map((r) => r.span)) : new Set())} />
        {selected >= 0 && <SpanDetail trace={trace} id={id} index={selected} onClose={() => select(-1)} />}
      </div>
    </>
  );
}

function findSpans(trace: Trace, text: string): Set<Span> {
  const out = new Set<Span>();
  const has = (a: Attr) => a.key.toLowerCase().includes(text) || attrText(a.value).toLowerCase().includes(text);
  for (const { span: s } of trace.rows) {
    if (s.service.toLowerCase().includes(text) || s.name.toLowerCase().includes(text) || s.id === text || s.statusMessage.toLowerCase().includes(text) || s.attrs.some(has) || s.events.some((e) => e.name.toLowerCase().includes(text))) out.add(s);
  }
  return out;
}

/** The whole trace in 48 pixels: one line per span, drawn on a canvas. */
function Minimap({ trace }: { trace: Trace }) {
  const [box, size] = useSize<HTMLDivElement>();
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const c = canvas.current;
    if (!c || !size.width) return;
    const scale = devicePixelRatio || 1;
    const w = size.width, h = 40;
    c.width = w * scale;
    c.height = h * scale;
    const g = c.getContext('2d')!;
    g.scale(scale, scale);
    const line = Math.max(h / trace.rows.length, 0.5);
    const err = getComputedStyle(document.documentElement).getPropertyValue('--error').trim();
    trace.rows.forEach(({ span }, i) => {
      g.fillStyle = span.error ? err : serviceColour(span.service);
      g.fillRect((span.start / trace.duration) * w || 0, (i / trace.rows.length) * h, Math.max((span.duration / trace.duration) * w || 0, 1), Math.max(Math.min(line - 0.5, 4), 1));
    });
  });
  return <div class="minimap" ref={box}><canvas ref={canvas} role="img" aria-label={t('trace.minimap', { n: trace.rows.length })} style={{ width: '100%', height: '40px' }} /></div>;
}

interface FallProps {
  trace: Trace;
  rows: number[];
  collapsed: ReadonlySet<Span>;
  selected: number;
  hits: Set<Span> | null;
  onToggle(s: Span, fold?: boolean): void;
  onSelect(i: number): void;
  onFold(all: boolean): void;
}

function Waterfall({ trace, rows, collapsed, selected, hits, onToggle, onSelect, onFold }: FallProps) {
  const [box, size] = useSize<HTMLDivElement>();
  const [scrollTop, setScroll] = useState(0);
  const [active, setActive] = useState(0); // position in rows
  const win = windowOf({ scrollTop, viewport: size.height, count: rows.length, rowHeight });
  const total = Math.max(trace.duration, 1);
  const at = Math.min(active, rows.length - 1);

  const show = (i: number) => {
    const el = box.current!;
    const y = i * rowHeight;
    if (y < el.scrollTop) el.scrollTop = y;
    else if (y + rowHeight > el.scrollTop + el.clientHeight) el.scrollTop = y + rowHeight - el.clientHeight;
  };
  // A link to a span, or the first hit of a search, comes into view.
  useEffect(() => {
    const i = selected >= 0 ? rows.indexOf(selected) : -1;
    if (i >= 0 && size.height) {
      setActive(i);
      show(i);
    }
  }, [selected, size.height > 0]);
  useEffect(() => {
    if (!hits?.size) return;
    const i = rows.findIndex((r) => hits.has(trace.rows[r]!.span));
    if (i >= 0) show(i);
  }, [hits]);

  const move = (i: number) => {
    const to = Math.max(0, Math.min(rows.length - 1, i));
    setActive(to);
    show(to);
    if (selected >= 0) onSelect(rows[to]!);
  };
  const onKey = (e: KeyboardEvent) => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const node = trace.rows[rows[at]!]!;
    const page = Math.max(1, Math.floor(size.height / rowHeight) - 1);
    switch (e.key) {
      case 'ArrowDown': case 'j': move(at + 1); break;
      case 'ArrowUp': case 'k': move(at - 1); break;
      case 'PageDown': move(at + page); break;
      case 'PageUp': move(at - page); break;
      case 'Home': move(0); break;
      case 'End': move(rows.length - 1); break;
      case 'ArrowRight': case 'l':
        if (node.descendants && collapsed.has(node.span)) onToggle(node.span, false);
        else if (node.descendants) move(at + 1);
        break;
      case 'ArrowLeft': case 'h':
        if (node.descendants && !collapsed.has(node.span)) onToggle(node.span, true);
        else if (node.parent >= 0) move(rows.indexOf(node.parent));
        break;
      case 'Enter': case ' ': onSelect(selected === rows[at] ? -1 : rows[at]!); break;
      case 'Escape': if (selected >= 0) onSelect(-1); else return; break;
      default: return;
    }
    e.preventDefault();
    e.stopPropagation();
  };
  const ticks = [0, 0.25, 0.5, 0.75, 1];
  return (
    <div class="waterfall">
      <div class="fall-head">
        <div class="fall-name">
          {t('trace.tree')}
          <Button icon="plus" compact label={t('trace.unfold')} onClick={() => onFold(false)} />
          <Button icon="minus" compact label={t('trace.fold')} onClick={() => onFold(true)} />
        </div>
        <div class="fall-ruler" aria-hidden="true">{ticks.map((f) => <span key={f} style={{ left: `${f * 100}%` }} class={f === 1 ? 'end' : f === 0 ? '' : 'mid'}>{seconds((f * trace.duration) / 1e9)}</span>)}</div>
      </div>
      <div class="fall-rows" ref={box} tabIndex={0} role="treegrid" aria-label={t('trace.waterfall')} aria-rowcount={rows.length} aria-activedescendant={rows.length ? `span-${rows[at]}` : undefined} onScroll={() => setScroll(box.current!.scrollTop)} onKeyDown={onKey}>
        <div role="presentation" style={{ height: `${win.total}px` }}>
          <div role="rowgroup" style={{ transform: `translateY(${win.offset}px)` }}>
            {rows.slice(win.first, win.last).map((index, k) => {
              const node = trace.rows[index]!;
              const s = node.span;
              const pos = win.first + k;
              const left = (s.start / total) * 100;
              const width = (s.duration / total) * 100;
              const after = left + width < 70;
              return (
                <div
                  key={index}
                  id={`span-${index}`}
                  class={`fall-row ${pos === at ? 'active' : ''} ${index === selected ? 'selected' : ''} ${hits ? (hits.has(s) ? 'hit' : 'miss') : ''}`}
                  role="row"
                  aria-level={node.depth + 1}
                  aria-rowindex={pos + 1}
                  aria-expanded={node.descendants ? !collapsed.has(s) : undefined}
                  aria-selected={index === selected}
                  onClick={() => (setActive(pos), onSelect(selected === index ? -1 : index))}
                >
                  <div class="fall-name" role="gridcell" style={{ paddingLeft: `${Math.min(node.depth, 24) * 14 + 4}px` }}>
                    {node.descendants ? (
                      <span class="fall-caret" onClick={(e) => (e.stopPropagation(), onToggle(s))}>
                        <Icon name={collapsed.has(s) ? 'right' : 'down'} size={10} />
                      </span>
                    ) : <span class="fall-caret" />}
                    <i class="dot-mark" style={{ background: serviceColour(s.service) }} />
                    {s.error && <span class="err"><Icon name="error" size={12} /><span class="sr">{t('error')}</span></span>}
                    <b>{s.service}</b>
                    <span class="fall-op">{s.name}</span>
                    {collapsed.has(s) && <span class="dim">+{count(node.descendants)}</span>}
                    {node.orphan && <span class="tag" title={t('trace.orphan.text')}>{t('trace.orphan')}</span>}
                  </div>
                  <div class="fall-time" role="gridcell" aria-label={t('trace.span', { start: seconds(s.start / 1e9), duration: seconds(s.duration / 1e9) })}>
                    <i class={`fall-bar ${s.error ? 'bar-error' : ''}`} style={{ left: `${left}%`, width: `${width}%`, background: serviceColour(s.service) }} />
                    <span class="fall-dur" data-at={after ? 'after' : left > 12 ? 'before' : 'inside'} style={after ? { left: `calc(${left + width}% + 5px)` } : left > 12 ? { right: `calc(${100 - left}% + 5px)` } : { right: `calc(${100 - left - width}% + 4px)` }}>{seconds(s.duration / 1e9)}</span>
                  </div>
                </div>
              );
            })}
          </div>
        </div>
      </div>
    </div>
  );
}

function SpanDetail({ trace, id, index, onClose }: { trace: Trace; id: string; index: number; onClose(): void }) {
  const s = trace.rows[index]!.span;
  return (
    <aside class="span-detail" aria-label={t('span.detail')} tabIndex={0}>
      <header>
        <h3><i class="dot-mark" style={{ background: serviceColour(s.service) }} />{s.service} <span>{s.name}</span></h3>
        <Button icon="close" compact label={t('close')} onClick={onClose} />
      </header>
      {s.error && <div class="box box-error"><Icon name="error" /><div><strong>{t('error')}</strong>{s.statusMessage && <pre>{s.statusMessage}</pre>}</div></div>}
      <dl class="trace-facts">
        <div><dt>{t('duration')}</dt><dd>{seconds(s.duration / 1e9)}</dd></div>
        <div><dt>{t('span.offset')}</dt><dd>+{seconds(s.start / 1e9)}</dd></div>
        {s.kind && <div><dt>{t('span.kind')}</dt><dd>{s.kind}</dd></div>}
        <div><dt>{t('span.id')}</dt><dd><code>{s.id}</code></dd></div>
        {s.scope && <div><dt>{t('span.scope')}</dt><dd>{s.scope}</dd></div>}
      </dl>
      <p><a class="btn" href={href(paths.logs, { l: logsOf(id, s.id), ...around(trace) })} onClick={onLink}><Icon name="lines" />{t('span.logs')}</a></p>
      <Attrs title={t('span.attributes')} attrs={s.attrs} />
      {s.events.length > 0 && (
        <section>
          <h4>{t('span.events')} <span class="dim">{count(s.events.length)}</span></h4>
          {s.events.map((e, i) => (
            <div key={i} class="event">
              <p><code>+{seconds(e.offset / 1e9)}</code> {e.name}</p>
              <Attrs attrs={e.attrs} />
            </div>
          ))}
        </section>
      )}
      {s.links.length > 0 && (
        <section>
          <h4>{t('span.links')} <span class="dim">{count(s.links.length)}</span></h4>
          {s.links.map((l, i) => (
            <div key={i} class="event">
              <p><a href={href(`trace/${l.trace}`, { span: l.span })} onClick={onLink}><code>{l.trace}</code></a></p>
              <Attrs attrs={l.attrs} />
            </div>
          ))}
        </section>
      )}
      <Attrs title={t('span.resource')} attrs={s.resource} />
    </aside>
  );
}

function Attrs({ title, attrs }: { title?: string; attrs: Attr[] }) {
  if (!attrs.length) return null;
  const sorted = [...attrs].sort((a, b) => a.key.localeCompare(b.key));
  return (
    <table class="facts">
      {title && <caption>{title} <span class="dim">{count(attrs.length)}</span></caption>}
      <tbody>{sorted.map((a, i) => <tr key={i}><th scope="row">{a.key}</th><td>{attrText(a.value)}</td></tr>)}</tbody>
    </table>
  );
}
