// Parts that several of the pages about alerts share.
import { useEffect, useState } from 'preact/hooks';
import { tenant } from '../../app/settings';
import { tick } from '../../app/time';
import { href, onLink, paths } from '../../app/url';
import { routes } from '../../data/alerting';
import { dateTime, seconds } from '../../data/format';
import { paramOf, type Signal } from '../../data/alertmodel';
import { useLoad } from '../../data/load';
import { equals, matcherText } from '../../data/matchers';
import type { Labels } from '../../data/promdata';
import { t } from '../../i18n';
import { Icon } from '../../kit/icons';
import { Notice } from '../../kit/ui';

/** How long ago, as text: 5 m 3 s ago. The date is shown on hover. */
export function Ago({ ms }: { ms: number }) {
  if (!Number.isFinite(ms) || ms <= 0) return <span class="dim">–</span>;
  return <time title={dateTime(ms)} dateTime={new Date(ms).toISOString()}>{t('ago', { time: seconds(Math.max(0, Math.round((Date.now() - ms) / 1000))) })}</time>;
}

/** Says that what is set here has no effect, where alerts are sent to Alertmanagers elsewhere. */
export function Elsewhere() {
  const answer = useLoad(`${tenant.value} routes`, tick.value, (s) => routes({}, s));
  return answer.value?.external ? <Notice>{t('alerts.elsewhere')}</Notice> : null;
}

/** Labels as small buttons; a click adds the label to the filter. */
export function LabelChips({ labels, without = [], onFilter }: { labels: Labels; without?: readonly string[]; onFilter?(text: string): void }) {
  const list = Object.entries(labels).filter(([k, v]) => v !== '' && !without.includes(k)).sort(([a], [b]) => (a < b ? -1 : 1));
  return (
    <span class="label-chips">
      {list.map(([k, v]) => {
        const text = `${k}=${v}`;
        return onFilter ? <button type="button" key={k} class="chip" title={t('filter.only', { name: k, value: v })} onClick={() => onFilter(matcherText(equals(k, v)))}>{text}</button> : <span key={k} class="chip">{text}</span>;
      })}
    </span>
  );
}

/** A link to a query in Explore. */
export function QueryLink({ signal, query, text }: { signal: Signal; query: string; text: string }) {
  return <a href={href(`explore/${signal}`, { [paramOf(signal)]: query })} onClick={onLink} title={query}><Icon name={signal === 'metrics' ? 'chart' : signal === 'logs' ? 'lines' : 'tree'} /> {text}</a>;
}

export function SilenceLink({ id }: { id: string }) {
  return <a href={href(paths.silences, { id })} onClick={onLink}>{id.slice(0, 8)}</a>;
}

/** A text box for the filter of a list; what is typed is used at Enter or when the box is left. */
export function FilterBox({ value, hint, label, error, onChange }: { value: string; hint: string; label: string; error?: string; onChange(text: string): void }) {
  const [draft, set] = useState(value);
  useEffect(() => set(value), [value]);
  const use = () => draft.trim() !== value && onChange(draft.trim());
  return (
    <form class="filterbox" onSubmit={(e) => (e.preventDefault(), use())}>
      <input type="search" aria-label={label} placeholder={hint} spellcheck={false} autocomplete="off" aria-invalid={!!error} value={draft} onInput={(e) => set(e.currentTarget.value)} onBlur={use} />
      {error && <span class="err" role="alert">{error}</span>}
    </form>
  );
}

/** j, k and arrows move between the parts of a list that selector names. */
export function moveFocus(selector: string) {
  return (e: KeyboardEvent) => {
    const by = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[e.key];
    if (!by || e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test((e.target as Element).tagName)) return;
    const all = [...(e.currentTarget as Element).querySelectorAll<HTMLElement>(selector)];
    const i = all.indexOf(document.activeElement as HTMLElement);
    if (i < 0 && e.key.startsWith('Arrow')) return;
    e.preventDefault();
    all[Math.max(0, Math.min(all.length - 1, i < 0 ? 0 : i + by))]?.focus();
  };
}
