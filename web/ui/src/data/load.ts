// One question whose answer a view shows: loading, value, error, and the value of the time before
// while a new one is on its way.
import { useEffect, useRef, useState } from 'preact/hooks';

export interface Load<T> {
  loading: boolean;
  value?: T;
  error?: Error;
  /** Unix milliseconds of the last answer. */
  at?: number;
  /** The value belongs to another question than the present one. */
  stale: boolean;
}

interface State<T> {
  key: string;
  loading: boolean;
  value?: T;
  error?: Error;
  at?: number;
}

/**
 * Runs ask when key changes, and again when tick changes. A change of key aborts what is under way;
 * a tick does not: a query slower than the refresh interval would never finish. key null: nothing
 * to ask.
 */
export function useLoad<T>(key: string | null, tick: number, ask: (signal: AbortSignal) => Promise<T>): Load<T> {
  const [state, set] = useState<State<T>>({ key: '', loading: key !== null });
  const running = useRef<{ key: string; stop: AbortController } | null>(null);
  const latest = useRef(ask);
  latest.current = ask;

  useEffect(() => {
    if (key === null) {
      running.current?.stop.abort();
      running.current = null;
      set({ key: '', loading: false });
      return;
    }
    if (running.current?.key === key) return;
    running.current?.stop.abort();
    const mine = { key, stop: new AbortController() };
    running.current = mine;
    set((s) => ({ ...s, loading: true }));
    latest.current(mine.stop.signal).then(
      (value) => {
        if (running.current !== mine) return;
        running.current = null;
        set({ key, loading: false, value, at: Date.now() });
      },
      (e: unknown) => {
        if (running.current !== mine) return;
        running.current = null;
        const error = e instanceof Error ? e : new Error(String(e));
        set((s) => ({ key, loading: false, value: s.key === key ? s.value : undefined, error, at: Date.now() }));
      },
    );
  }, [key, tick]);

  useEffect(() => () => running.current?.stop.abort(), []);

  const stale = state.key !== key;
  return { loading: state.loading || (key !== null && stale), value: state.value, error: stale ? undefined : state.error, at: state.at, stale };
}
