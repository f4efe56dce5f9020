// A silence: whom it holds back, for how long, by whom and why. What it would match is shown meanwhile.
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { say } from '../../app/keys';
import { zone } from '../../app/locale';
import { author, tenant } from '../../app/settings';
import { refresh, tick } from '../../app/time';
import { dateTime, isoLocal, span } from '../../data/format';
import { managedAlerts, setSilence } from '../../data/alerting';
import type { ManagedAlert } from '../../data/alertmodel';
import { useLoad } from '../../data/load';
import { matchersText, operatorOf, operators, withOperator, equals, type Matcher, type Operator } from '../../data/matchers';
import { parseDuration, parseTime } from '../../data/time';
import { t } from '../../i18n';
import { Button, Dialog, ErrorBox, Skeleton } from '../../kit/ui';
import { Elsewhere, LabelChips } from './parts';

/** What the form begins with. */
export interface Draft {
  matchers: Matcher[];
  /** The alert that it was begun from. */
  name?: string;
  /** The silence that is changed: its ID and times stay. */
  id?: string;
  startsAt?: string;
  endsAt?: string;
  comment?: string;
  createdBy?: string;
}

const spans = ['30m', '1h', '2h', '8h', '1d', '7d'];
const maxPreview = 8;

export function SilenceForm({ draft, onClose, onSaved }: { draft: Draft; onClose(): void; onSaved?(id: string): void }) {
  const [matchers, setMatchers] = useState<Matcher[]>(draft.matchers.length ? draft.matchers : [equals('', '')]);
  const [until, setUntil] = useState(draft.endsAt && Date.parse(draft.endsAt) > Date.now() ? isoLocal(Date.parse(draft.endsAt)) : '2h');
  const [who, setWho] = useState(draft.createdBy || author.value || 'web');
  const [why, setWhy] = useState(draft.comment ?? (draft.name ? t('silence.comment.default', { name: draft.name }) : ''));
  const [saving, setSaving] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const form = useRef<HTMLFormElement>(null);

  const used = matchers.filter((m) => m.name.trim() !== '');
  const ends = endOf(until);
  const complete = used.length > 0 && ends !== null && who.trim() !== '' && why.trim() !== '';
  const submit = async (e: Event) => {
    e.preventDefault();
    if (!complete || saving) return;
    setSaving(true);
    try {
      const begun = draft.id && draft.startsAt ? draft.startsAt : new Date().toISOString();
      const id = await setSilence({ id: draft.id, matchers: used, startsAt: begun, endsAt: new Date(ends).toISOString(), createdBy: who.trim(), comment: why.trim() });
      if (who.trim() !== draft.createdBy) author.value = who.trim(); // somebody else's name stays theirs
      onSaved?.(id);
      say('silence.saved');
      form.current?.closest('dialog')?.close(); // gives the focus back
      refresh();
    } catch (err) {
      setError(err instanceof Error ? err : new Error(String(err)));
      setSaving(false);
    }
  };
  return (
    <Dialog title={t(draft.id ? 'silence.edit' : 'silence.new')} onClose={onClose}>
      <form class="silence-form" ref={form} onSubmit={(e) => void submit(e)}>
        <Elsewhere />
        <MatcherRows matchers={matchers} onChange={setMatchers} />
        <Preview matchers={used} />
        <label>
          {t('silence.until')}
          <input value={until} aria-invalid={ends === null} spellcheck={false} onInput={(e) => setUntil(e.currentTarget.value)} />
          <span class={ends === null ? 'err' : 'dim'}>{ends === null ? t('silence.until.error') : t('silence.ends', { time: dateTime(ends) })}</span>
        </label>
        <div class="silence-spans" role="group" aria-label={t('silence.spans')}>
          {spans.map((s) => <button type="button" class="chip" key={s} aria-pressed={until === s} onClick={() => setUntil(s)}>{span(s)}</button>)}
        </div>
        <label>{t('silence.author')}<input value={who} required maxLength={200} autocomplete="name" onInput={(e) => setWho(e.currentTarget.value)} /></label>
        <label>{t('silence.comment')}<input value={why} required maxLength={2000} autocomplete="off" onInput={(e) => setWhy(e.currentTarget.value)} /></label>
        {error && <ErrorBox error={error} />}
        <p class="silence-do">
          <button type="submit" class="btn btn-primary" autofocus disabled={!complete || saving}>{t(draft.id ? 'silence.save' : 'silence.create')}</button>
          <Button label={t('cancel')} onClick={() => form.current?.closest('dialog')?.close()} />
        </p>
      </form>
    </Dialog>
  );
}

/** When a silence ends that lasts for a duration or until a time; null for what is neither, or past. */
function endOf(text: string): number | null {
  const now = Date.now();
  const lasts = parseDuration(text);
  const at = lasts !== null ? now + lasts : parseTime(text, now, { utc: zone.value === 'utc' });
  return at !== null && at > now ? at : null;
}

function MatcherRows({ matchers, onChange }: { matchers: Matcher[]; onChange(ms: Matcher[]): void }) {
  const set = (i: number, m: Matcher) => onChange(matchers.map((x, k) => (k === i ? m : x)));
  return (
    <fieldset class="matcher-rows">
      <legend>{t('silence.matchers')}</legend>
      {matchers.map((m, i) => (
        <div key={i}>
          <input aria-label={t('matcher.name')} placeholder={t('matcher.name')} spellcheck={false} value={m.name} onInput={(e) => set(i, { ...m, name: e.currentTarget.value })} />
          <select aria-label={t('matcher.operator')} value={operatorOf(m)} onChange={(e) => set(i, withOperator(m, e.currentTarget.value as Operator))}>
            {operators.map((o) => <option key={o} value={o}>{o}</option>)}
          </select>
          <input aria-label={t('matcher.value', { name: m.name })} placeholder={t('value')} spellcheck={false} value={m.value} onInput={(e) => set(i, { ...m, value: e.currentTarget.value })} />
          <Button icon="minus" compact label={t('matcher.remove', { name: m.name })} disabled={matchers.length === 1} onClick={() => onChange(matchers.filter((_, k) => k !== i))} />
        </div>
      ))}
      <Button icon="plus" label={t('matcher.add')} onClick={() => onChange([...matchers, equals('', '')])} />
    </fieldset>
  );
}

/** The alerts that the Alertmanager itself finds for these matchers. */
function Preview({ matchers }: { matchers: Matcher[] }) {
  const id = useId();
  const [asked, ask] = useState(matchers);
  useEffect(() => {
    const timer = setTimeout(() => ask(matchers), 150); // not at every key
    return () => clearTimeout(timer);
  }, [matchersText(matchers)]);
  const found = useLoad<ManagedAlert[]>(asked.length ? `${tenant.value} ${matchersText(asked)}` : null, tick.value, (s) => managedAlerts(asked, s));
  const list = found.stale ? undefined : found.value;
  return (
    <section class="silence-preview" aria-labelledby={id}>
      <p id={id} role="status"><b>{!asked.length ? t('silence.preview.none') : list ? t('silence.preview', { n: list.length }) : t('silence.preview.wait')}</b></p>
      {found.error ? <p class="err">{found.error.message}</p> : !list ? asked.length > 0 && <Skeleton rows={1} /> : (
        <ul>
          {list.slice(0, maxPreview).map((a) => <li key={a.fingerprint}><b>{a.labels.alertname}</b> <LabelChips labels={a.labels} without={['alertname']} /></li>)}
          {list.length > maxPreview && <li class="dim">{t('chart.more', { n: list.length - maxPreview })}</li>}
        </ul>
      )}
    </section>
  );
}
