// Groups of rules of all signals: when they were evaluated, how long it took, and what went wrong.
import { useEffect, useMemo, useState } from 'preact/hooks';
import { debug } from '../../app/debug';
import { tenant } from '../../app/settings';
import { refresh, tick } from '../../app/time';
import { href, onLink, param, paths, setParams } from '../../app/url';
import { count, seconds } from '../../data/format';
import { ruleGroups } from '../../data/alerting';
import { signals, type Rule, type RuleGroup, type Signal } from '../../data/alertmodel';
import { useLoad } from '../../data/load';
import { equals, matcherText } from '../../data/matchers';
import { t } from '../../i18n';
import { Icon } from '../../kit/icons';
import { Empty, ErrorBox, Notice, Segmented, Skeleton } from '../../kit/ui';
import { Head } from './page';
import { Ago, FilterBox, LabelChips, moveFocus, QueryLink } from './parts';

/** Up to so many rules all groups are open. */
const openRules = 150;
const maxGroups = 500;

export function RulesView() {
  const answer = useLoad(`${tenant.value} rules`, tick.value, ruleGroups);
  const signal = signals.find((s) => s === param('signal'));
  const bad = param('health') === 'err';
  const filter = (param('q') ?? '').toLowerCase();
  const [turned, setTurned] = useState<ReadonlyMap<string, boolean>>(new Map());
  const all = answer.value ?? [];
  const groups = useMemo(() => all.flatMap((g) => {
    if (signal && g.signal !== signal) return [];
    const whole = !bad && textOfGroup(g).includes(filter);
    const rules = whole ? g.rules : g.rules.filter((r) => (!bad || r.health === 'err') && (!filter || textOfGroup(g).includes(filter) || textOf(r).includes(filter)));
    return rules.length ? [{ ...g, rules }] : [];
  }), [answer.value, signal, bad, filter]);
  const total = groups.reduce((n, g) => n + g.rules.length, 0);
  const unhealthy = all.reduce((n, g) => n + g.rules.filter((r) => r.health === 'err').length, 0);
  useEffect(() => debug('rules', () => ({ groups: groups.length, rules: total, unhealthy, error: answer.error?.message })), [groups, answer.error]);
  const isOpen = (g: RuleGroup) => turned.get(keyOf(g)) ?? (total <= openRules || g.rules.some((r) => r.health === 'err'));
  return (
    <>
      <Head page="rules" loading={answer.loading}>
        <FilterBox label={t('rules.filter')} hint={t('rules.filter')} value={param('q') ?? ''} onChange={(q) => setParams({ q: q || null })} />
        <Segmented<Signal | ''> label={t('rules.signal')} value={signal ?? ''} onChange={(v) => setParams({ signal: v || null })} options={[{ value: '', label: t('rules.signal.all') }, ...signals.map((s) => ({ value: s, label: t(s) }))]} />
      </Head>
      <div class="chips">
        <button type="button" class="chip" aria-pressed={bad} onClick={() => setParams({ health: bad ? null : 'err' })}><Icon name="error" size={12} /> {t('rules.unhealthy')} <b>{count(unhealthy)}</b></button>
        <span class="dim">{t('rules.count', { n: total, groups: groups.length })}</span>
      </div>
      <div class="pane-body alerts-body" tabIndex={0} role="region" aria-label={t('rules.list')} onKeyDown={moveFocus('.group-toggle')}>
        {answer.error && <ErrorBox error={answer.error} onRetry={refresh} />}
        {groups.length > maxGroups && <Notice>{t('rules.capped', { n: maxGroups, all: groups.length })}</Notice>}
        {!answer.value ? !answer.error && <Skeleton />
        : groups.length === 0 ? <Empty title={t(all.length ? 'rules.empty' : 'rules.none')} text={all.length ? undefined : t('rules.none.text')} />
        : groups.slice(0, maxGroups).map((g) => <Group key={keyOf(g)} group={g} open={isOpen(g)} onToggle={() => setTurned(new Map(turned).set(keyOf(g), !isOpen(g)))} />)}
      </div>
    </>
  );
}

function Group({ group: g, open, onToggle }: { group: RuleGroup; open: boolean; onToggle(): void }) {
  const bad = g.rules.filter((r) => r.health === 'err').length;
  return (
    <section class="rule-group">
      <h3>
        <button type="button" class="group-toggle" aria-expanded={open} onClick={onToggle}>
          <Icon name={open ? 'down' : 'right'} size={10} /> <b>{g.name}</b>
          <span class="tag">{t(g.signal)}</span>
          <span class="dim file">{g.file}</span>
          {bad > 0 && <span class="err"><Icon name="error" size={12} /> {t('errors', { n: bad })}</span>}
        </button>
        <span class="dim">{t('rules.every', { time: seconds(g.interval) })} · {t('rules.took', { time: seconds(g.evaluationTime) })} · {t('rules.evaluated')} <Ago ms={Date.parse(g.lastEvaluation)} /></span>
      </h3>
      {open && (
        <div class="table-scroll">
          <table class="data rules">
            <thead>
              <tr>
                <th scope="col">{t('rules.state')}</th>
                <th scope="col">{t('name')}</th>
                <th scope="col">{t('alert.expression')}</th>
                <th scope="col">{t('rules.labels')}</th>
                <th scope="col" class="num">{t('duration')}</th>
                <th scope="col" class="num">{t('rules.last')}</th>
              </tr>
            </thead>
            <tbody>{g.rules.map((r, i) => <Row key={i} signal={g.signal} rule={r} />)}</tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Row({ signal, rule: r }: { signal: Signal; rule: Rule }) {
  const active = r.state === 'firing' || r.state === 'pending';
  const state = r.health === 'err' ? 'error' : r.type === 'recording' ? 'recording' : (r.state ?? 'unknown');
  return (
    <>
      <tr class={r.health === 'err' ? 'has-error' : ''}>
        <td><span class={`alert-state state-${state}`}><i />{t(`rule.${state}`)}</span></td>
        <td>{active ? <a href={href(paths.alerts, { q: matcherText(equals('alertname', r.name)) })} onClick={onLink}>{r.name}</a> : r.name}</td>
        <td class="wrap"><QueryLink signal={signal} query={r.query} text={r.query} />{r.duration ? <span class="dim"> {t('rules.for', { time: seconds(r.duration) })}</span> : null}{r.keepFiringFor ? <span class="dim"> {t('rules.keep', { time: seconds(r.keepFiringFor) })}</span> : null}</td>
        <td><LabelChips labels={r.labels} /></td>
        <td class="num">{seconds(r.evaluationTime)}</td>
        <td class="num"><Ago ms={Date.parse(r.lastEvaluation)} /></td>
      </tr>
      {r.lastError && <tr class="rule-error"><td colSpan={6}><pre class="err">{r.lastError}</pre></td></tr>}
    </>
  );
}

const keyOf = (g: RuleGroup): string => `${g.signal} ${g.file} ${g.name}`;
const textOfGroup = (g: RuleGroup): string => `${g.name} ${g.file}`.toLowerCase();
const textOf = (r: Rule): string => `${r.name} ${r.query} ${Object.entries(r.labels).map(([k, v]) => `${k}=${v}`).join(' ')}`.toLowerCase();
