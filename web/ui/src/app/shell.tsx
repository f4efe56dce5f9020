// The frame of every page: top bar, page, help.
import { lazy, Suspense } from 'preact/compat';
import { useEffect } from 'preact/hooks';
import { t, type Key } from '../i18n';
import { Icon, type IconName } from '../kit/icons';
import { Dialog, Empty, Popover, Segmented, Skeleton } from '../kit/ui';
import { MetricsPane } from '../pages/metrics';
import { LogsPane } from '../pages/logs';
import { TracesPane } from '../pages/traces';
import { boot, multitenancy } from './boot';
import { helpOpen, toast } from './keys';
import { locale, zone } from './locale';
import { shortcuts, tenant, theme } from './settings';
import { TimePicker } from './timepicker';
import { rangeError } from './time';
import { href, onLink, page, paths, type Page } from './url';

const AlertsPage = lazy(() => import('../pages/alerts/page').then((m) => m.AlertsPage));
const TracePage = lazy(() => import('../pages/trace').then((m) => m.TracePage));

export function App() {
  const p = page.value;
  useEffect(() => {
    document.title = p === 'home' ? 'Hune' : `${t(titles[p])} · Hune`;
  });
  const titles: Record<Page, Key> = { home: 'home', metrics: 'metrics', logs: 'logs', traces: 'traces', trace: 'trace', alerts: 'alerts', rules: 'rules', silences: 'silences', history: 'history', routing: 'routing', unknown: 'notfound' };
  return (
    <>
      <a class="skip" href="#main" onClick={(e) => (e.preventDefault(), document.getElementById('main')?.focus())}>{t('skip')}</a>
      <TopBar />
      <main id="main" tabIndex={-1} class={`page page-${p}`}>
        <h1 class="sr">{p === 'home' ? t('app.tagline') : t(titles[p])}</h1>
        {rangeError.value && <div class="box box-error" role="alert">{t(`time.error.${rangeError.value}`)}</div>}
        {p === 'home' && <><MetricsPane compact /><TracesPane compact /><LogsPane compact /></>}
        {p === 'metrics' && <MetricsPane />}
        {p === 'logs' && <LogsPane />}
        {p === 'traces' && <TracesPane />}
        {p === 'trace' && <Suspense fallback={<Skeleton rows={14} />}><TracePage /></Suspense>}
        {alerting.has(p) && <Suspense fallback={<Skeleton rows={10} />}><AlertsPage page={p} /></Suspense>}
        {p === 'unknown' && <Empty title={t('notfound')} text={t('notfound.text')} />}
      </main>
      {helpOpen.value && <Help />}
      <div class="toast" role="status">{toast.value && t(toast.value)}</div>
    </>
  );
}

/** The pages that one part of the program serves. */
const alerting: ReadonlySet<Page> = new Set<Page>(['alerts', 'rules', 'silences', 'history', 'routing']);

const nav: { page: Page; to: string; key: Key; icon: IconName }[] = [
  { page: 'home', to: paths.home, key: 'home', icon: 'home' },
  { page: 'metrics', to: paths.metrics, key: 'metrics', icon: 'chart' },
  { page: 'logs', to: paths.logs, key: 'logs', icon: 'lines' },
  { page: 'traces', to: paths.traces, key: 'traces', icon: 'tree' },
  { page: 'alerts', to: paths.alerts, key: 'alerts', icon: 'bell' },
];

function TopBar() {
  const now = page.value === 'trace' ? 'traces' : alerting.has(page.value) ? 'alerts' : page.value;
  return (
    <header class="top">
      <a class="brand" href={href(paths.home)} onClick={onLink}>
        <svg width="22" height="22" viewBox="0 0 24 24" aria-hidden="true"><rect width="24" height="24" rx="5" /><path d="M5 18V6m0 6h4l2-4 3 8 2-4h3m0-6v12" /></svg>
        Hune
      </a>
      <nav aria-label={t('nav')}>
        {nav.map((n) => (
          <a key={n.page} href={href(n.to)} onClick={onLink} aria-current={n.page === now ? 'page' : undefined}>
            <Icon name={n.icon} /><span>{t(n.key)}</span>
          </a>
        ))}
      </nav>
      {multitenancy && <Tenant />}
      <TimePicker />
      <Popover label={t('settings')} icon="gear">{() => <Settings />}</Popover>
      <button type="button" class="btn btn-icon" aria-label={t('help')} title={t('help')} onClick={() => (helpOpen.value = true)}><Icon name="help" /></button>
    </header>
  );
}

function Tenant() {
  return (
    <form class="tenant" onSubmit={(e) => (e.preventDefault(), (tenant.value = (e.currentTarget.elements.namedItem('tenant') as HTMLInputElement).value.trim()))}>
      <label>
        {t('tenant')}
        <input name="tenant" key={tenant.value} defaultValue={tenant.value} autocomplete="off" spellcheck={false} maxLength={150} onBlur={(e) => (tenant.value = e.currentTarget.value.trim())} />
      </label>
    </form>
  );
}

function Settings() {
  return (
    <div class="settings">
      <div><span>{t('settings.theme')}</span><Segmented label={t('settings.theme')} value={theme.value} onChange={(v) => (theme.value = v)} options={[{ value: 'auto', label: t('settings.theme.auto') }, { value: 'light', label: t('settings.theme.light') }, { value: 'dark', label: t('settings.theme.dark') }]} /></div>
      <div><span>{t('settings.language')}</span><Segmented label={t('settings.language')} value={locale.value} onChange={(v) => (locale.value = v)} options={[{ value: 'en', label: 'English' }, { value: 'fr', label: 'Français' }]} /></div>
      <div><span>{t('settings.zone')}</span><Segmented label={t('settings.zone')} value={zone.value} onChange={(v) => (zone.value = v)} options={[{ value: 'local', label: t('time.local') }, { value: 'utc', label: t('time.utc') }]} /></div>
      <label><input type="checkbox" checked={shortcuts.value} onChange={(e) => (shortcuts.value = e.currentTarget.checked)} /> {t('settings.shortcuts')}</label>
      <p class="dim">{t('settings.version', { version: boot.version })}</p>
    </div>
  );
}

const help: [keys: string[], key: Key][] = [
  [['/'], 'help.query'],
  [['Enter', 'Ctrl+Enter'], 'help.run'],
  [['Shift+Enter'], 'help.newline'],
  [['Ctrl+Space'], 'help.complete'],
  [['g'], 'help.go'],
  [['[', ']'], 'help.shift'],
  [['-', '='], 'help.zoom'],
  [['z'], 'help.undo'],
  [['j', 'k', '↓', '↑'], 'help.move'],
  [['h', 'l', '←', '→'], 'help.fold'],
  [['Enter'], 'help.open'],
  [['←', '→'], 'help.chart'],
  [['.'], 'help.live'],
  [['p'], 'help.pause'],
  [['y'], 'help.copy'],
  [['Esc'], 'help.escape'],
  [['?'], 'help.help'],
];

function Help() {
  return (
    <Dialog title={t('help')} onClose={() => (helpOpen.value = false)}>
      <dl class="keys">
        {help.map(([keys, key]) => (
          <div key={key}>
            <dt>{keys.map((k) => <kbd key={k}>{k}</kbd>)}</dt>
            <dd>{t(key)}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
