// URL = state: the page, the time range and the three queries live in the address and follow the
// reader from page to page, so every view is a link and back always works.
import { batch, computed, signal } from '@preact/signals';
import { uiBase } from './boot';

export type Page = 'home' | 'metrics' | 'logs' | 'traces' | 'trace' | 'alerts' | 'rules' | 'silences' | 'history' | 'routing' | 'unknown';

/** Parameters that travel along to every page. */
const shared = ['from', 'to', 'refresh', 'm', 'l', 't'] as const;

const location_ = signal(new URL(window.location.href));
window.addEventListener('popstate', () => (location_.value = new URL(window.location.href)));

const path = computed(() => decodeURI(location_.value.pathname).slice(uiBase.pathname.length));

export const page = computed<Page>(() => {
  switch (path.value.replace(/\/$/, '')) {
    case '':
      return 'home';
    case 'explore/metrics':
      return 'metrics';
    case 'explore/logs':
      return 'logs';
    case 'explore/traces':
      return 'traces';
    case 'alerts':
      return 'alerts';
    case 'alerts/rules':
      return 'rules';
    case 'alerts/history':
      return 'history';
    case 'alerts/routing':
      return 'routing';
    case 'silences':
      return 'silences';
  }
  return path.value.startsWith('trace/') ? 'trace' : 'unknown';
});

/** The trace of /trace/ID, or ''. */
export const traceID = computed(() => (page.value === 'trace' ? path.value.slice('trace/'.length) : ''));

export function param(name: string): string | null {
  return location_.value.searchParams.get(name);
}

export type Patch = Record<string, string | null>;

export const paths = { home: '', metrics: 'explore/metrics', logs: 'explore/logs', traces: 'explore/traces', alerts: 'alerts', rules: 'alerts/rules', silences: 'silences', history: 'alerts/history', routing: 'alerts/routing' } as const;

/** Address of a page with the shared parameters of the present one, changed by patch (null removes). */
export function href(to: string, patch: Patch = {}): string {
  const u = new URL(to, uiBase);
  for (const name of shared) {
    const v = param(name);
    if (v !== null) u.searchParams.set(name, v);
  }
  apply(u, patch);
  return u.pathname + u.search;
}

/** Go to a page. replace keeps the history as it is: for what a reader would not call a step. */
export function go(to: string, patch: Patch = {}, replace = false): void {
  move(new URL(href(to, patch), uiBase), replace);
}

/** Change parameters of the present page. */
export function setParams(patch: Patch, replace = false): void {
  const u = new URL(location_.value);
  apply(u, patch);
  move(u, replace);
}

function apply(u: URL, patch: Patch): void {
  for (const [k, v] of Object.entries(patch)) {
    if (v === null || v === '') u.searchParams.delete(k);
    else u.searchParams.set(k, v);
  }
}

function move(u: URL, replace: boolean): void {
  if (u.href === location_.value.href) return;
  if (replace) history.replaceState(null, '', u);
  else history.pushState(null, '', u);
  batch(() => (location_.value = u));
}

/** Click handler of links inside the page: plain clicks stay here, modified ones open a tab. */
export function onLink(e: MouseEvent): void {
  if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
  const a = (e.target as Element).closest('a');
  if (!a || a.target || a.hasAttribute('download')) return;
  const u = new URL(a.href);
  if (u.origin !== uiBase.origin || !u.pathname.startsWith(uiBase.pathname)) return;
  e.preventDefault();
  if (u.href === location_.value.href) return;
  history.pushState(null, '', u);
  location_.value = u;
  window.scrollTo(0, 0);
}
