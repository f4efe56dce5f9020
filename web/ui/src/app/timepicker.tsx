// The range and the refresh in the top bar.
import { useState } from 'preact/hooks';
import { dateTime, isoLocal, span } from '../data/format';
import { isRelative, parseRange, quickRanges, refreshChoices } from '../data/time';
import { t } from '../i18n';
import { Button, Popover } from '../kit/ui';
import { zone } from './locale';
import { fromText, range, rangeError, refresh, refreshText, setRange, shiftRange, toText, zoomRange } from './time';
import { setParams } from './url';

function text(): string {
  const from = fromText.value, to = toText.value;
  const quick = /^now-(\d+[smhdw])$/.exec(from)?.[1];
  if (quick && to === 'now') return t('time.last', { range: span(quick) });
  const show = (s: string, ms: number) => (isRelative(s) ? s : dateTime(ms));
  return `${show(from, range.value.from)} – ${show(to, range.value.to)}`;
}

export function TimePicker() {
  return (
    <div class="timebar" role="group" aria-label={t('time.range')}>
      <Button icon="left" compact label={t('time.back')} onClick={() => shiftRange(-0.5)} />
      <Popover label={t('time.range')} icon="clock" text={text()} class={rangeError.value ? 'bad' : ''}>
        {(close) => <Form close={close} />}
      </Popover>
      <Button icon="right" compact label={t('time.forward')} onClick={() => shiftRange(0.5)} />
      <Button icon="zoomOut" compact label={t('time.out')} onClick={() => zoomRange(2)} />
      <span class="join">
        <Button icon="refresh" compact label={t('refresh')} onClick={refresh} />
        <select aria-label={t('time.every')} title={t('time.every')} value={refreshText.value} onChange={(e) => setParams({ refresh: e.currentTarget.value })}>
          {[...new Set([...refreshChoices, refreshText.value])].map((r) => <option key={r} value={r}>{r === 'off' ? t('time.off') : r}</option>)}
        </select>
      </span>
    </div>
  );
}

function Form({ close }: { close(): void }) {
  const edit = (s: string, ms: number) => (isRelative(s) ? s : isoLocal(ms));
  const [from, setFrom] = useState(edit(fromText.value, range.value.from));
  const [to, setTo] = useState(edit(toText.value, range.value.to));
  const utc = zone.value === 'utc';
  const now = Date.now();
  const r = parseRange(from, to, now, utc);
  const wrong = 'error' in r ? r.error : null;
  const apply = (e: Event) => {
    e.preventDefault();
    if (wrong) return;
    const ok = r as { from: number; to: number };
    // Dates go into the address as instants, so a link means the same in every time zone.
    setRange(isRelative(from) ? from.trim() : String(ok.from), isRelative(to) ? to.trim() : String(ok.to));
    close();
  };
  return (
    <div class="timeform">
      <form onSubmit={apply}>
        <label>{t('time.from')}<input value={from} aria-invalid={wrong === 'from'} onInput={(e) => setFrom(e.currentTarget.value)} /></label>
        <label>{t('time.to')}<input value={to} aria-invalid={wrong === 'to'} onInput={(e) => setTo(e.currentTarget.value)} /></label>
        <p class={wrong ? 'err' : 'dim'} role="status">{wrong ? t(`time.error.${wrong}`) : t('time.help')}</p>
        <button type="submit" class="btn btn-primary" disabled={!!wrong}>{t('time.apply')}</button>
        <span class="dim"> {utc ? t('time.utc') : t('time.local')}</span>
      </form>
      <div class="quick" role="group" aria-label={t('time.quick')}>
        {quickRanges.map((q) => (
          <button type="button" key={q} aria-pressed={fromText.value === `now-${q}` && toText.value === 'now'} onClick={() => (setRange(`now-${q}`, 'now'), close())}>{t('time.last', { range: span(q) })}</button>
        ))}
      </div>
    </div>
  );
}
