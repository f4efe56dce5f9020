// One alert: a line, and below it all that is known of it.
import type { ComponentChildren } from 'preact';
import { useId } from 'preact/hooks';
import { href, onLink, paths } from '../../app/url';
import { dateTime, significant } from '../../data/format';
import { exploreOf, severityOf, webAddress, type AlertItem, type Silence } from '../../data/alertmodel';
import { equals, matcherText } from '../../data/matchers';
import { t } from '../../i18n';
import { Icon } from '../../kit/icons';
import { Button } from '../../kit/ui';
import { Ago, LabelChips, QueryLink, SilenceLink } from './parts';

interface Props {
  alert: AlertItem;
  /** Show the name: the group's title is another. */
  named: boolean;
  silences: ReadonlyMap<string, Silence>;
  open: boolean;
  onToggle(): void;
  onFilter(text: string): void;
  onSilence(): void;
}

export function AlertRow({ alert: a, named, silences, open, onToggle, onFilter, onSilence }: Props) {
  const id = useId();
  const summary = a.annotations.summary ?? a.annotations.message ?? a.annotations.description ?? '';
  return (
    <li class={`alert level-${severityOf(a.labels)}`}>
      <div class="alert-line">
        <button type="button" class="alert-toggle" aria-expanded={open} aria-controls={id} onClick={onToggle}>
          <Icon name={open ? 'down' : 'right'} size={10} />
          <span class={`alert-state state-${a.state}`}><i />{t(a.state !== 'suppressed' ? `alert.${a.state}` : a.silencedBy.length ? 'alert.silenced' : 'alert.inhibited')}</span>
          {named && <b>{a.name}</b>}
          <span class="alert-text">{summary || Object.entries(a.labels).filter(([k]) => k !== 'alertname').map(([k, v]) => `${k}=${v}`).join(' ')}</span>
        </button>
        {a.labels.severity && <span class={`tag severity level-${severityOf(a.labels)}`}>{a.labels.severity}</span>}
        <span class="alert-since"><Ago ms={a.since} /></span>
        {a.state !== 'resolved' ? <Button icon="mute" compact label={t('silence.this', { name: a.name })} onClick={onSilence} /> : <span class="alert-nobutton" />}
      </div>
      <div id={id} class="alert-detail" hidden={!open}>{open && <Detail a={a} silences={silences} onFilter={onFilter} />}</div>
    </li>
  );
}

function Detail({ a, silences, onFilter }: { a: AlertItem; silences: ReadonlyMap<string, Silence>; onFilter(text: string): void }) {
  const query = exploreOf(a);
  const runbook = webAddress(a.annotations.runbook_url ?? a.annotations.runbook);
  const source = query ? null : webAddress(a.source);
  const labels = Object.entries(a.labels).filter(([, v]) => v !== '').map(([k, v]) => matcherText(equals(k, v))).join(', ');
  const value = a.value === undefined ? undefined : Number(a.value);
  return (
    <>
      <p class="alert-do">
        {query && <QueryLink signal={query.signal} query={query.query} text={t('alert.query')} />}
        {source && <a href={source} target="_blank" rel="noopener noreferrer"><Icon name="link" /> {t('alert.source')}</a>}
        {runbook && <a href={runbook} target="_blank" rel="noopener noreferrer"><Icon name="help" /> {t('alert.runbook')}</a>}
        <a href={href(paths.routing, { labels })} onClick={onLink}><Icon name="tree" /> {t('alert.route')}</a>
        <a href={href(paths.history, { q: a.name })} onClick={onLink}><Icon name="clock" /> {t('history')}</a>
      </p>
      <LabelChips labels={a.labels} onFilter={onFilter} />
      <dl class="alert-facts">
        <Fact name={t(a.state === 'resolved' ? 'alert.ended' : 'alert.since')}>{dateTime(a.since)}</Fact>
        {value !== undefined && <Fact name={t('value')}><span title={a.value}>{significant(value, 6)}</span></Fact>}
        {a.group && <Fact name={t('alert.rule')}><a href={href(paths.rules, { q: a.name })} onClick={onLink}>{a.group}</a> <span class="dim">{a.file}</span></Fact>}
        {a.query && <Fact name={t('alert.expression')}><code>{a.query}</code></Fact>}
        {a.receivers.length > 0 && <Fact name={t('alert.receivers')}>{a.receivers.join(', ')}</Fact>}
        {a.silencedBy.map((id) => <Fact key={id} name={t('alert.silencedby')}><SilenceFact id={id} silence={silences.get(id)} /></Fact>)}
        {a.inhibitedBy.length > 0 && <Fact name={t('alert.inhibitedby')}>{a.inhibitedBy.join(', ')}</Fact>}
        {Object.entries(a.annotations).filter(([, v]) => v !== '' && !(runbook && webAddress(v) === runbook)).sort().map(([name, v]) => <Fact key={name} name={name}>{webAddress(v) ? <a href={webAddress(v)!} target="_blank" rel="noopener noreferrer">{v}</a> : v}</Fact>)}
      </dl>
    </>
  );
}

const Fact = ({ name, children }: { name: string; children: ComponentChildren }) => <div><dt>{name}</dt><dd>{children}</dd></div>;

function SilenceFact({ id, silence }: { id: string; silence?: Silence }) {
  return (
    <>
      <SilenceLink id={id} />
      {silence && <> {t('silence.by', { author: silence.createdBy, until: dateTime(Date.parse(silence.endsAt)) })} {silence.comment}</>}
    </>
  );
}
