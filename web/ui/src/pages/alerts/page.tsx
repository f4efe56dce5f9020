// The pages about alerts: what fires, the rules, silences, the history, and who is told.
import type { ComponentChildren } from 'preact';
import { href, onLink, paths, type Page } from '../../app/url';
import { t, type Key } from '../../i18n';
import { Icon } from '../../kit/icons';
import { Progress } from '../../kit/ui';
import { AlertList } from './list';
import { HistoryView } from './history';
import { RoutingView } from './routing';
import { RulesView } from './rules';
import { SilencesView } from './silences';
import './alerts.css';

const tabs: { page: Page; to: string; key: Key }[] = [
  { page: 'alerts', to: paths.alerts, key: 'alerts.now' },
  { page: 'rules', to: paths.rules, key: 'rules' },
  { page: 'silences', to: paths.silences, key: 'silences' },
  { page: 'history', to: paths.history, key: 'history' },
  { page: 'routing', to: paths.routing, key: 'routing' },
];

export function AlertsPage({ page }: { page: Page }) {
  return (
    <section class="pane pane-alerts" aria-labelledby="alerts-title">
      {page === 'alerts' && <AlertList />}
      {page === 'rules' && <RulesView />}
      {page === 'silences' && <SilencesView />}
      {page === 'history' && <HistoryView />}
      {page === 'routing' && <RoutingView />}
    </section>
  );
}

/** The head of each of them: where one is, and what the page itself adds. */
export function Head({ page, loading, children }: { page: Page; loading: boolean; children?: ComponentChildren }) {
  return (
    <header class="pane-head">
      <h2 id="alerts-title"><Icon name="bell" /> {t('alerts')}</h2>
      <nav class="tabs" aria-label={t('alerts.pages')}>
        {tabs.map((x) => <a key={x.page} href={href(x.to)} onClick={onLink} aria-current={x.page === page ? 'page' : undefined}>{t(x.key)}</a>)}
      </nav>
      {children}
      <Progress on={loading} />
    </header>
  );
}
