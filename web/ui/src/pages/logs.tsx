// Logs: a LogQL box, the volume by level, the lines (newest first), the live tail.
import { useEffect, useRef, useState } from 'preact/hooks';
import { debug } from '../app/debug';
import { tenant } from '../app/settings';
import { range, rangeKey, refresh, tick } from '../app/time';
import { href, onLink, param, paths, setParams } from '../app/url';
import { guessUnit } from '../data/format';
import { append, prepend } from '../data/loglist';
import { addFilter, isLogQuery, levelLabels, levelOf, volumeQuery, type Entry, type Level } from '../data/logline';
import { labelNames, msToNano, queryLines, queryMetric, tail } from '../data/loki';
import { useLoad } from '../data/load';
import type { Answer } from '../data/prom';
import { stepFor } from '../data/time';
import { t } from '../i18n';
import { Icon } from '../kit/icons';
import { QueryBox } from '../kit/query';
import { Button, Empty, ErrorBox, Notice, Progress, Skeleton } from '../kit/ui';
import { TimeChart } from '../viz/timechart';
import { VolumeChart, volumeOf } from '../viz/volume';
import { LogList } from './loglist';

export const defaultLogs = '{service_name=~".+"}';

const pageSize = 500;
const maxLines = 20_000;
const maxHeld = 5_000; // lines kept while the tail is paused

export function LogsPane({ compact }: { compact?: boolean }) {
  const query = param('l') ?? defaultLogs;
  const lines = isLogQuery(query);
  const key = `${tenant.value} ${rangeKey.value} ${query}`;
  return (
    <section class="pane pane-logs" aria-labelledby="logs-title">
      {lines ? <Lines key={key} query={query} compact={compact} /> : <Numbers query={query} loadKey={key} compact={compact} />}
    </section>
  );
}

function Head({ query, compact, loading, children }: { query: string; compact?: boolean; loading: boolean; children?: preact.ComponentChildren }) {
  const run = (text: string) => (text === query ? refresh() : setParams({ l: text === defaultLogs ? null : text || null }));
  return (
    <header class="pane-head">
      <h2 id="logs-title"><Icon name="lines" /> {compact ? <a href={href(paths.logs)} onClick={onLink}>{t('logs')}</a> : t('logs')}</h2>
      <QueryBox lang="logql" label={t('logs.query')} hint={t('logs.hint')} value={query} loading={loading} onRun={run} />
      {children}
      <Progress on={loading} />
    </header>
  );
}

/** A metric query: drawn as Metrics draws it. */
function Numbers({ query, loadKey, compact }: { query: string; loadKey: string; compact?: boolean }) {
  const answer = useLoad<Answer>(loadKey, tick.value, (s) => queryMetric(query, range.value, 300, s));
  const a = answer.value;
  return (
    <>
      <Head query={query} compact={compact} loading={answer.loading} />
      <div class="pane-body">
        {answer.error && <ErrorBox error={answer.error} onRetry={refresh} />}
        {a?.warnings.map((w) => <Notice key={w}>{w}</Notice>)}
        {a ? a.series.length ? <TimeChart series={a.series} step={a.step} range={range.value} unit={guessUnit(query)} expr={query} /> : <Empty title={t('logs.empty')} /> : !answer.error && <Skeleton />}
      </div>
    </>
  );
}

interface ListState {
  entries: Entry[];
  /** The server has nothing older in the range. */
  complete: boolean;
  loaded: boolean;
  loading: boolean;
  error?: Error;
  warnings: string[];
}

function Lines({ query, compact }: { query: string; compact?: boolean }) {
  const [s, set] = useState<ListState>({ entries: [], complete: false, loaded: false, loading: true, warnings: [] });
  const state = useRef(s);
  const update = (patch: Partial<ListState>) => {
    state.current = { ...state.current, ...patch };
    set(state.current);
  };
  const busy = useRef<AbortController | null>(null);
  const live = useLive(query, state, update);

  /** Newest first: the first page, or what came since. Older: the page before the last line. */
  const load = async (what: 'newer' | 'older') => {
    if (busy.current) return;
    const stop = (busy.current = new AbortController());
    update({ loading: true });
    try {
      const have = state.current.entries;
      const r = range.value;
      if (what === 'newer') {
        const since = have[0]?.ns;
        const end = BigInt(msToNano(r.to)) + 1n;
        // The tail, or a clock ahead of this one, was already further than the range.
        if (since !== undefined && BigInt(since) >= end) return;
        const got = await queryLines(query, since ?? msToNano(r.from), String(end), pageSize, stop.signal);
        if (stop.signal.aborted) return;
        // A full page that does not reach what is here would leave a hole: begin anew.
        const fresh = since === undefined || got.entries.length >= pageSize;
        update({ entries: fresh ? got.entries : prepend(have, got.entries, maxLines).list, complete: fresh ? got.entries.length < pageSize : state.current.complete, error: undefined, warnings: got.warnings });
      } else {
        const last = have[have.length - 1];
        if (!last) return;
        const got = await queryLines(query, msToNano(r.from), String(BigInt(last.ns) + 1n), pageSize, stop.signal);
        if (stop.signal.aborted) return;
        const next = append(state.current.entries, got.entries, maxLines);
        update({ entries: next.list, complete: next.added === 0 || got.entries.length < pageSize, error: undefined });
      }
    } catch (e) {
      if (!stop.signal.aborted) update({ error: e instanceof Error ? e : new Error(String(e)) });
    } finally {
      busy.current = null;
      if (!stop.signal.aborted) update({ loading: false, loaded: true });
    }
  };
  useEffect(() => void (live.on || load('newer')), [tick.value, live.on]);
  useEffect(() => () => busy.current?.abort(), []);
  useEffect(() => debug('logs', () => ({ query, lines: state.current.entries.length, live: live.on, error: state.current.error?.message })), [query, live.on]);

  const step = stepFor(range.value, compact ? 60 : 120);
  const volume = useLoad(`${query} ${step}`, tick.value, (signal) => queryMetric(volumeQuery(query, step), range.value, 120, signal, step).then((a) => volumeOf(a.series, range.value, step)));

  // No line may mean no logs at all: then say how to send some.
  const nothing = s.loaded && !s.error && s.entries.length === 0;
  const labels = useLoad(nothing ? `${tenant.value} labels` : null, tick.value, (signal) => labelNames({ from: range.value.from - 864e5, to: range.value.to }, signal));

  const filterLevel = (l: Level) => {
    const name = levelLabels.find((k) => s.entries.some((e) => e.metadata[k] ?? e.labels[k])) ?? levelLabels[0];
    const known = s.entries.map((e) => e.metadata[name] ?? e.labels[name]).find((v) => v && levelOf(v) === l) ?? l;
    setParams({ l: addFilter(query, name, '=', known, s.entries.some((e) => name in e.labels && !(name in e.metadata))) });
  };

  return (
    <>
      <Head query={query} compact={compact} loading={s.loading || volume.loading}>
        <Button icon={live.on ? 'stop' : 'live'} label={live.on ? t('tail.stop') : t('tail.start')} pressed={live.on} class={live.on ? 'live' : ''} onClick={live.toggle} />
        {live.on && <Button icon={live.paused ? 'play' : 'pause'} label={live.paused ? t('tail.resume') : t('tail.pause')} pressed={live.paused} onClick={live.pause} />}
      </Head>
      <div class="pane-body">
        {live.on && (
          <div class={`tailbar tail-${live.state}`} role="status">
            <i />
            {t(`tail.${live.state}`)}
            {live.why && <span>{live.why}</span>}
            {live.paused && <span>{t('tail.held', { n: live.held })}</span>}
            {live.dropped > 0 && <strong>{t('tail.dropped', { n: live.dropped })}</strong>}
          </div>
        )}
        {s.error && <ErrorBox error={s.error} onRetry={() => void load('newer')} />}
        {s.warnings.map((w) => <Notice key={w}>{w}</Notice>)}
        {volume.error && !s.error && <Notice>{t('volume.error')} {volume.error.message}</Notice>}
        {volume.value && volume.value.max > 0 && <VolumeChart volume={volume.value} height={compact ? 36 : 64} onLevel={filterLevel} />}
        {nothing && !live.on ? (
          labels.loading && !labels.value ? <Skeleton /> : labels.value?.length ? <Empty title={t('logs.empty')} text={t('logs.empty.range')} /> : <Empty title={t('logs.none')} howTo />
        ) : s.entries.length || s.loaded ? (
          <LogList entries={s.entries} query={query} complete={s.complete || s.entries.length >= maxLines} capped={s.entries.length >= maxLines} loading={s.loading} onOlder={() => void load('older')} />
        ) : (
          !s.error && <Skeleton rows={10} />
        )}
      </div>
    </>
  );
}

interface Live {
  on: boolean;
  paused: boolean;
  state: 'connecting' | 'open' | 'lost';
  why?: string;
  held: number;
  dropped: number;
  toggle(): void;
  pause(): void;
}

/** The tail of a query. Frames are put into the list once per animation frame, however many come. */
function useLive(query: string, list: { current: ListState }, update: (p: Partial<ListState>) => void): Live {
  const [on, setOn] = useState(false);
  const [paused, setPaused] = useState(false);
  const [info, setInfo] = useState<{ state: Live['state']; why?: string; held: number; dropped: number }>({ state: 'connecting', held: 0, dropped: 0 });
  const held = useRef<Entry[]>([]);
  const hold = useRef(false);
  hold.current = paused;

  useEffect(() => {
    if (!on) return;
    let frame = 0;
    let dropped = 0;
    held.current = [];
    setInfo({ state: 'connecting', held: 0, dropped: 0 });
    const flush = () => {
      frame = 0;
      if (hold.current) {
        const over = held.current.length - maxHeld;
        if (over > 0) {
          dropped += over;
          held.current.length = maxHeld;
        }
      } else if (held.current.length) {
        update({ entries: prepend(list.current.entries, held.current, maxHeld).list });
        held.current = [];
      }
      setInfo((i) => ({ ...i, held: held.current.length, dropped }));
    };
    const newest = list.current.entries[0]?.ns;
    const t_ = tail(query, newest ? String(BigInt(newest) + 1n) : msToNano(Date.now() - 60_000), {
      entries(newestFirst, lost) {
        dropped += lost;
        held.current = [...newestFirst, ...held.current];
        if (!frame) frame = requestAnimationFrame(flush);
      },
      state: (state, why) => setInfo((i) => ({ ...i, state, why })),
    });
    return () => {
      t_.stop();
      cancelAnimationFrame(frame);
      setPaused(false);
    };
  }, [on, query]);

  useEffect(() => {
    if (paused || !held.current.length) return;
    update({ entries: prepend(list.current.entries, held.current, maxHeld).list });
    held.current = [];
    setInfo((i) => ({ ...i, held: 0 }));
  }, [paused]);

  const toggle = () => setOn((v) => !v);
  const pause = () => setPaused((v) => !v);
  useEffect(() => {
    liveKeys.current = { toggle, pause: () => on && pause() };
    return () => void (liveKeys.current = null);
  }, [on]);
  return { on, paused, ...info, toggle, pause };
}

/** What the keys "." and "p" do on a page with logs. */
export const liveKeys: { current: { toggle(): void; pause(): void } | null } = { current: null };
