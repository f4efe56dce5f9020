// The lines: a windowed list with rows that open in place.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { tenant } from '../app/settings';
import { href, onLink, setParams } from '../app/url';
import { clock, count, dateTime, day } from '../data/format';
import { addFilter, mark, needles, prettyJSON, traceOf, type Entry } from '../data/logline';
import { t } from '../i18n';
import { Icon } from '../kit/icons';
import { Button, CopyButton, useSize } from '../kit/ui';
import { offsetOf, windowOf } from '../kit/window';
import { levelKey } from '../viz/volume';

const rowHeight = 24;
/** Longer lines are cut in the list; the opened row shows them whole. */
const shownChars = 2000;

interface Props {
  entries: Entry[];
  query: string;
  complete: boolean;
  capped: boolean;
  loading: boolean;
  onOlder(): void;
}

export function LogList({ entries, query, complete, capped, loading, onOlder }: Props) {
  const [box, size] = useSize<HTMLDivElement>();
  const [scrollTop, setScroll] = useState(0);
  const [open, setOpen] = useState<ReadonlyMap<number, number>>(new Map()); // seq → height of the opened part
  const [unseen, setUnseen] = useState(0);
  const marks = useMemo(() => needles(query), [query]);

  const extras = useMemo(() => {
    if (!open.size) return [];
    const out: [number, number][] = [];
    entries.forEach((e, i) => open.has(e.seq) && out.push([i, open.get(e.seq)!]));
    return out;
  }, [open, entries]);

  // New lines on top must not move what is being read: the scroll position follows its first row.
  const top = useRef<{ seq: number } | null>(null);
  useLayoutEffect(() => {
    const el = box.current;
    const was = top.current;
    top.current = entries[0] ? { seq: entries[0].seq } : null;
    if (!el || !was || !entries.length || entries[0]!.seq === was.seq) return;
    const added = entries.findIndex((e) => e.seq === was.seq);
    if (added <= 0) return;
    if (el.scrollTop > rowHeight / 2) {
      el.scrollTop += offsetOf(added, rowHeight, extras);
      setUnseen((n) => n + added);
    }
  }, [entries]);

  const win = windowOf({ scrollTop, viewport: size.height, count: entries.length, rowHeight, extras });
  const nearEnd = win.last >= entries.length - 20;
  useEffect(() => {
    if (nearEnd && !complete && !loading && entries.length && scrollTop > 0) onOlder();
  }, [nearEnd, complete, loading, scrollTop > 0]);

  const onScroll = () => {
    const y = box.current!.scrollTop;
    setScroll(y);
    if (y < rowHeight) setUnseen(0);
  };
  const toggle = (e: Entry) =>
    setOpen((m) => {
      const next = new Map(m);
      if (!next.delete(e.seq)) next.set(e.seq, 200);
      return next;
    });
  const measured = (seq: number, height: number) => setOpen((m) => (m.has(seq) && m.get(seq) !== height ? new Map(m).set(seq, height) : m));

  const onKey = (ev: KeyboardEvent) => {
    const by = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[ev.key];
    if (!by || ev.ctrlKey || ev.metaKey || ev.altKey) return;
    const carets = [...box.current!.querySelectorAll<HTMLElement>('.log-caret')];
    const i = carets.indexOf(document.activeElement as HTMLElement);
    if (i < 0 && ev.key.startsWith('Arrow')) return; // the list itself scrolls
    ev.preventDefault();
    const next = carets[i < 0 ? 0 : i + by];
    next?.focus({ preventScroll: true });
    next?.closest('.log')?.scrollIntoView({ block: 'nearest' });
  };

  const days = entries.length > 1 && day(entries[0]!.ms) !== day(entries[entries.length - 1]!.ms);
  const services = useMemo(() => new Set(entries.slice(0, 500).map((e) => e.labels.service_name)).size > 1, [entries]);
  return (
    <div class="loglist-wrap">
      {unseen > 0 && (
        <button type="button" class="unseen" onClick={() => box.current!.scrollTo({ top: 0 })}>
          <Icon name="up" size={12} /> {t('logs.unseen', { n: unseen })}
        </button>
      )}
      <div class="loglist" ref={box} tabIndex={0} role="list" aria-label={t('logs.list')} aria-busy={loading} onScroll={onScroll} onKeyDown={onKey}>
        <div class="loglist-space" style={{ height: `${win.total}px` }}>
          <div class="loglist-rows" style={{ transform: `translateY(${win.offset}px)` }}>
            {entries.slice(win.first, win.last).map((e) => (
              <Row key={e.seq} e={e} open={open.has(e.seq)} marks={marks} days={days} services={services} query={query} onToggle={toggle} onHeight={measured} />
            ))}
          </div>
        </div>
      </div>
      <div class="loglist-foot dim">
        {t('logs.shown', { n: entries.length })}
        {capped ? ` · ${t('logs.capped')}` : complete ? ` · ${t('logs.complete')}` : ''}
        {!complete && <Button label={t('logs.older')} disabled={loading} onClick={onOlder} />}
      </div>
    </div>
  );
}

interface RowProps {
  e: Entry;
  open: boolean;
  marks: string[];
  days: boolean;
  services: boolean;
  query: string;
  onToggle(e: Entry): void;
  onHeight(seq: number, h: number): void;
}

function Row({ e, open, marks, days, services, query, onToggle, onHeight }: RowProps) {
  const shown = e.line.length > shownChars ? e.line.slice(0, shownChars) + '…' : e.line;
  const tr = useMemo(() => traceOf(e), [e]);
  const level = t(levelKey(e.level));
  const click = (ev: MouseEvent) => {
    if ((ev.target as Element).closest('a,button') || getSelection()?.toString()) return;
    onToggle(e);
  };
  return (
    <div class={`log level-${e.level} ${open ? 'open' : ''}`} role="listitem">
      <div class="log-line" onClick={click}>
        <button type="button" class="log-caret" aria-expanded={open} aria-label={t('logs.open', { time: clock(e.ms) })} onClick={() => onToggle(e)}>
          <Icon name={open ? 'down' : 'right'} size={10} />
        </button>
        <time dateTime={new Date(e.ms).toISOString()} title={dateTime(e.ms, true)}>{days ? `${day(e.ms)} ` : ''}{clock(e.ms)}</time>
        <span class="log-level">{level}</span>
        {services && <span class="log-service">{e.labels.service_name ?? ''}</span>}
        {tr ? (
          <a class="log-trace" href={traceHref(tr)} onClick={onLink} title={t('logs.trace', { id: tr.trace })}>
            <Icon name="tree" size={14} /><span class="sr">{t('logs.trace', { id: tr.trace })}</span>
          </a>
        ) : <span class="log-trace" />}
        <span class="log-text">{mark(shown.replace(/[\r\n]+/g, ' ⏎ '), marks).map((p, i) => (p.hit ? <mark key={i}>{p.text}</mark> : p.text))}</span>
      </div>
      {open && <Detail e={e} query={query} trace={tr} onHeight={onHeight} />}
    </div>
  );
}

const traceHref = (tr: { trace: string; span?: string }): string => href(`trace/${tr.trace}`, tr.span ? { span: tr.span } : {});

function Detail({ e, query, trace, onHeight }: { e: Entry; query: string; trace?: { trace: string; span?: string }; onHeight(seq: number, h: number): void }) {
  const ref = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const el = ref.current!;
    const report = () => onHeight(e.seq, el.offsetHeight);
    const watch = new ResizeObserver(report);
    watch.observe(el);
    report();
    return () => watch.disconnect();
  }, [e.seq]);
  const pretty = prettyJSON(e.line);
  const context = () => setParams({ l: `{${Object.entries(e.labels).map(([k, v]) => `${k}=${JSON.stringify(v)}`).join(', ')}}`, from: String(Math.floor(e.ms) - 30_000), to: String(Math.ceil(e.ms) + 30_000) });
  return (
    <div class="log-detail" ref={ref}>
      <div class="log-actions">
        {trace && <a class="btn" href={traceHref(trace)} onClick={onLink}><Icon name="tree" />{t('logs.opentrace')}</a>}
        <Button icon="lines" label={t('logs.context')} onClick={context} />
        <CopyButton text={e.line} label={t('copy.line')} />
        <span class="dim">{dateTime(e.ms, true)} · {e.ns} ns · {t('chars', { n: e.line.length })}{tenant.value ? ` · ${tenant.value}` : ''}</span>
      </div>
      <pre class="log-whole">{pretty ?? e.line}</pre>
      <div class="log-facts">
        <Facts title={t('logs.labels')} labels={e.labels} stream query={query} />
        <Facts title={t('logs.metadata')} labels={e.metadata} query={query} />
        <Facts title={t('logs.parsed')} labels={e.parsed} query={query} />
      </div>
    </div>
  );
}

function Facts({ title, labels, stream = false, query }: { title: string; labels: Record<string, string>; stream?: boolean; query: string }) {
  const rows = Object.entries(labels).sort(([a], [b]) => a.localeCompare(b));
  if (!rows.length) return null;
  const add = (k: string, op: '=' | '!=', v: string) => setParams({ l: addFilter(query, k, op, v, stream) });
  return (
    <table class="facts">
      <caption>{title} <span class="dim">{count(rows.length)}</span></caption>
      <tbody>
        {rows.map(([k, v]) => (
          <tr key={k}>
            <td class="facts-do">
              <Button icon="plus" compact label={t('filter.only', { name: k, value: v })} onClick={() => add(k, '=', v)} />
              <Button icon="minus" compact label={t('filter.not', { name: k, value: v })} onClick={() => add(k, '!=', v)} />
            </td>
            <th scope="row">{k}</th>
            <td>{v}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
