// Silences: who silenced what, why, and for how long still.
import { useEffect, useState } from 'preact/hooks';
import { debug } from '../../app/debug';
import { say } from '../../app/keys';
import { tenant } from '../../app/settings';
import { refresh, tick } from '../../app/time';
import { param, setParams } from '../../app/url';
import { count, dateTime, seconds } from '../../data/format';
import { expireSilence, managedAlerts, silences } from '../../data/alerting';
import type { Silence } from '../../data/alertmodel';
import { useLoad } from '../../data/load';
import { matcherText, matchersText } from '../../data/matchers';
import { t } from '../../i18n';
import { Button, Empty, ErrorBox, Notice, Segmented, Skeleton } from '../../kit/ui';
import { Head } from './page';
import { Elsewhere, FilterBox, moveFocus } from './parts';
import { SilenceForm, type Draft } from './silenceform';

const states = ['active', 'pending', 'expired'] as const;
type State = (typeof states)[number];

const maxRows = 500;

export function SilencesView() {
  const answer = useLoad(`${tenant.value} silences`, tick.value, silences);
  const managed = useLoad(`${tenant.value} alerts`, tick.value, (s) => managedAlerts([], s));
  const [draft, setDraft] = useState<Draft | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const only = param('id');
  const state: State = states.find((s) => s === param('state')) ?? 'active';
  const filter = param('q') ?? '';
  const all = answer.value ?? [];
  const shown = (only ? all.filter((s) => s.id === only) : all.filter((s) => s.status.state === state && textOf(s).includes(filter.toLowerCase()))).sort(byEnd(state));
  useEffect(() => debug('silences', () => ({ all: all.map((s) => ({ id: s.id, state: s.status.state })), shown: shown.length, error: answer.error?.message })), [answer.value, answer.error, shown.length]);
  const matched = (id: string) => managed.value?.filter((a) => a.status.silencedBy.includes(id)).length;

  const expire = async (id: string) => {
    try {
      await expireSilence(id);
      setError(null);
      say('silence.expired');
    } catch (e) {
      setError(e instanceof Error ? e : new Error(String(e)));
    }
    refresh();
  };
  return (
    <>
      <Head page="silences" loading={answer.loading}>
        <FilterBox label={t('silences.filter')} hint={t('silences.filter')} value={filter} onChange={(q) => setParams({ q: q || null, id: null })} />
        <Segmented label={t('silences.state')} value={only ? ('' as State) : state} onChange={(v) => setParams({ state: v === 'active' ? null : v, id: null })} options={states.map((s) => ({ value: s, label: `${t(`silences.${s}`)} ${count(all.filter((x) => x.status.state === s).length)}` }))} />
        <Button primary icon="plus" label={t('silence.new')} onClick={() => setDraft({ matchers: [] })} />
      </Head>
      <div class="pane-body" onKeyDown={moveFocus('.silence-edit')}>
        <Elsewhere />
        {answer.error && <ErrorBox error={answer.error} onRetry={refresh} />}
        {error && <ErrorBox error={error} />}
        {managed.error && !answer.error && <Notice>{t('alerts.nomanager')} {managed.error.message}</Notice>}
        {shown.length > maxRows && <Notice>{t('table.capped', { n: maxRows, all: shown.length })}</Notice>}
        {only && <Notice>{t('silences.only')} <button type="button" class="link" onClick={() => setParams({ id: null })}>{t('silences.all')}</button></Notice>}
        {!answer.value ? !answer.error && <Skeleton />
        : shown.length === 0 ? <Empty title={all.length && (filter || only) ? t('silences.empty') : t('silences.none')} text={t('silences.none.text')} />
        : (
          <div class="table-wrap" tabIndex={0} role="region" aria-label={t('silences')}>
            <table class="data silences">
              <thead>
                <tr>
                  <th scope="col">{t('silence.matchers')}</th>
                  <th scope="col">{t('silence.author')}</th>
                  <th scope="col">{t('silence.comment')}</th>
                  <th scope="col">{t('silence.time')}</th>
                  <th scope="col" class="num">{t('silence.alerts')}</th>
                  <th scope="col"><span class="sr">{t('actions')}</span></th>
                </tr>
              </thead>
              <tbody>
                {shown.slice(0, maxRows).map((s) => <Row key={s.id} silence={s} alerts={matched(s.id)} onEdit={() => setDraft(draftOf(s))} onExpire={() => void expire(s.id)} />)}
              </tbody>
            </table>
          </div>
        )}
      </div>
      {draft && <SilenceForm draft={draft} onClose={() => setDraft(null)} onSaved={(id) => only && setParams({ id }, true)} />}
    </>
  );
}

function Row({ silence: s, alerts, onEdit, onExpire }: { silence: Silence; alerts?: number; onEdit(): void; onExpire(): void }) {
  const [sure, setSure] = useState(false);
  const starts = Date.parse(s.startsAt), ends = Date.parse(s.endsAt);
  const left = seconds(Math.max(0, Math.round((ends - Date.now()) / 1000)));
  const over = s.status.state === 'expired';
  return (
    <tr>
      <td class="wrap"><span class="label-chips">{s.matchers.map((m) => <span key={matcherText(m)} class="chip">{matcherText(m)}</span>)}</span></td>
      <td>{s.createdBy}</td>
      <td class="wrap">{s.comment}</td>
      <td title={`${dateTime(starts)} – ${dateTime(ends)}`}>
        {s.status.state === 'active' ? t('silence.left', { time: left }) : s.status.state === 'pending' ? t('silence.begins', { time: dateTime(starts) }) : t('silence.over', { time: dateTime(ends) })}
      </td>
      <td class="num">{alerts === undefined || over ? '–' : count(alerts)}</td>
      <td class="row-do">
        <Button label={t(over ? 'silence.again' : 'edit')} class="silence-edit" onClick={onEdit} />
        {!over && (sure ? <Button label={t('silence.sure')} class="danger" onClick={onExpire} /> : <Button label={t('silence.expire')} onClick={() => setSure(true)} />)}
      </td>
    </tr>
  );
}

/** The form's beginning for a silence; one that is over is made anew. */
function draftOf(s: Silence): Draft {
  const same = { matchers: s.matchers, comment: s.comment };
  return s.status.state === 'expired' ? same : { ...same, id: s.id, startsAt: s.startsAt, endsAt: s.endsAt, createdBy: s.createdBy };
}

const textOf = (s: Silence): string => `${matchersText(s.matchers)} ${s.createdBy} ${s.comment} ${s.id}`.toLowerCase();

/** Those that end next come first; of those that are over, the last one. */
const byEnd = (state: State) => (a: Silence, b: Silence) => (Date.parse(a.endsAt) - Date.parse(b.endsAt)) * (state === 'expired' ? -1 : 1);
