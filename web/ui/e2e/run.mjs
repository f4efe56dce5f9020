// Browser tests against a running Hune with telemetry of all three signals:
//
//   hune serve & hune demo --duration 2m &
//   HUNE_URL=http://127.0.0.1:4320 npm run e2e
//
// With SHOTS=folder, pictures of each page are left there; with ONLY=text, only tests whose name has it run.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { alertTests } from './alerts.mjs';
import { executable, open } from './browser.mjs';
import { externalTests } from './external.mjs';

const base = (process.env.HUNE_URL ?? 'http://127.0.0.1:4320').replace(/\/$/, '');
const shots = process.env.SHOTS;
if (!executable) {
  console.log('SKIPPED: no Chromium on this machine (CHROMIUM names one)');
  process.exit(0);
}
if (shots) mkdirSync(shots, { recursive: true });

let failed = 0;
async function test(name, run) {
  if (!name.includes(process.env.ONLY ?? '')) return;
  const start = Date.now();
  try {
    await run();
    console.log(`ok    ${name} (${Date.now() - start} ms)`);
  } catch (e) {
    failed++;
    console.log(`FAIL  ${name}\n    ${String(e.stack ?? e).replaceAll('\n', '\n    ')}`);
  }
}
const shot = (b, name) => shots && b.page.screenshot({ path: `${shots}/${name}.png` });

/** Runs in a fresh browser; nothing may be on the console at its end. options.at is another server than base. */
const withBrowser = (options, run) => async () => {
  const b = await open(options.at ?? base, options);
  try {
    await run(b);
    assert.deepEqual(b.faults, [], 'the console is clean and no request left the origin');
  } catch (e) {
    await shot(b, `failure-${Date.now()}`)?.catch(() => {});
    if (b.faults.length) e.message += `\nnoted: ${b.faults.join('\n')}`;
    throw e;
  } finally {
    await b.close();
  }
};

const filled = (d) => d.metrics?.series > 0 && d.chart?.drawn && d.chart.points > 0 && d.logs?.lines > 0 && d.traces?.traces > 0;

await test('first visit: / leads to a page with live metrics, logs and traces', withBrowser({}, async (b) => {
  await b.page.goto(base + '/');
  assert.equal(new URL(b.page.url()).pathname, '/ui/');
  await b.until('three panes show data', filled, 60_000);
  const paint = await b.page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime);
  console.log(`      first contentful paint ${Math.round(paint)} ms`);
  await shot(b, 'home');
}));

for (const [locale, word] of [['en-GB', 'Metrics'], ['fr-FR', 'Métriques']]) {
  for (const colorScheme of ['light', 'dark']) {
    await test(`each page in ${locale}, ${colorScheme}: content, language, contrast, axe`, withBrowser({ locale, colorScheme }, async (b) => {
      const pages = { home: '', metrics: 'explore/metrics', table: 'explore/metrics?view=table', logs: 'explore/logs', traces: 'explore/traces' };
      for (const [name, path] of Object.entries(pages)) {
        await b.page.goto(`${base}/ui/${path}`);
        const has = { home: filled, metrics: (d) => d.metrics?.series > 0 && d.chart?.drawn, table: (d) => d.metrics?.series > 0, logs: (d) => d.logs?.lines > 0, traces: (d) => d.traces?.traces > 0 }[name];
        await b.until(`${name} has data`, has);
        assert.equal(await b.page.getAttribute('html', 'lang'), locale.slice(0, 2));
        assert.ok(await b.page.getByRole('link', { name: word, exact: true }).count(), `${word} is on the page`);
        await b.page.locator('.query .cm-content').first().waitFor();
        if (name === 'logs') await b.page.locator('.log-caret').first().click();
        assert.deepEqual(await b.axe(), [], `axe on ${name}`);
        await shot(b, `${name}-${locale}-${colorScheme}`);
      }
      await b.page.locator('.traces tbody a').first().click();
      await b.until('the trace is drawn', (d) => d.trace?.spans > 0);
      await b.page.locator('.fall-row').first().click();
      await b.page.locator('.span-detail').waitFor();
      assert.deepEqual(await b.axe(), [], 'axe on trace');
      await shot(b, `trace-${locale}-${colorScheme}`);
      await b.page.locator('.timebar .pop > button').click();
      assert.deepEqual(await b.axe('.pop-panel:not([hidden])'), [], 'axe on the open time range');
      await b.page.keyboard.press('Escape');
      await b.page.locator('.top > .pop > button').click();
      assert.deepEqual(await b.axe('.pop-panel:not([hidden])'), [], 'axe on the open settings');
    }));
  }
}

await test('from a trace to its logs and back', withBrowser({}, async (b) => {
  await b.page.goto(`${base}/ui/explore/traces`);
  await b.until('traces are found', (d) => d.traces?.traces > 0);
  const links = await b.page.locator('.traces tbody a').evaluateAll((as) => as.map((a) => a.href));
  let lines = 0;
  for (const link of links.slice(0, 10)) {
    await b.page.goto(link);
    await b.until('the trace is drawn', (d) => d.trace?.spans > 0);
    await b.page.getByRole('link', { name: 'Logs of this trace' }).click();
    const d = await b.until('the logs answer', (x) => x.logs && (x.logs.lines > 0 || x.logs.error), 4000).catch(() => null);
    lines = d?.logs.lines ?? 0;
    assert.equal(d?.logs.error, undefined);
    if (lines) break;
  }
  assert.ok(lines > 0, 'one of ten traces has logs');
  await shot(b, 'logs-of-trace');
  const id = /trace_id="([0-9a-f]+)"/.exec(new URL(b.page.url()).searchParams.get('l'))[1];
  await b.page.locator('a.log-trace').first().click();
  await b.until('the same trace is drawn', (d) => d.trace?.spans > 0);
  assert.match(b.page.url(), new RegExp(`/trace/${id}`));
  await b.page.goBack();
  await b.until('back is the logs', (d) => d.logs?.lines > 0);
}));

await test('logs: details, a filter by click, the volume, older lines', withBrowser({}, async (b) => {
  await b.page.goto(`${base}/ui/explore/logs?from=now-1h`);
  await b.until('lines', (d) => d.logs?.lines > 0);
  await b.page.locator('.volume-bars svg path').first().waitFor();
  await b.page.locator('.log-caret').first().click();
  await b.page.locator('.log-detail').first().waitFor();
  const row = b.page.locator('.log-detail .facts tr', { hasText: 'service_name' }).first();
  const value = await row.locator('td').last().innerText();
  await row.getByRole('button').first().click();
  await b.until('the filter is in the query', (d) => d.logs?.query.includes(`service_name=${JSON.stringify(value)}`) && d.logs.lines > 0);
  assert.ok(new URL(b.page.url()).searchParams.get('l').includes(value), 'the query is in the address');
}));

await test('live tail: connects, shows new lines, pauses', withBrowser({}, async (b) => {
  await b.page.goto(`${base}/ui/explore/logs`);
  await b.until('lines', (d) => d.logs?.lines > 0);
  await b.page.getByRole('button', { name: 'Live' }).click();
  await b.page.locator('.tailbar.tail-open').waitFor({ timeout: 10_000 });
  const before = (await b.debug()).logs.lines;
  await b.until('new lines come in', (d) => d.logs.lines > before, 30_000);
  await b.page.getByRole('button', { name: 'Pause' }).click();
  const paused = (await b.debug()).logs.lines;
  await b.page.waitForFunction(() => /[1-9]\d* lines? waiting/.test(document.querySelector('.tailbar')?.textContent ?? ''), null, { timeout: 30_000 });
  assert.equal((await b.debug()).logs.lines, paused, 'nothing moves while paused');
  await shot(b, 'tail');
  await b.page.getByRole('button', { name: 'Resume' }).click();
  await b.until('held lines are shown', (d) => d.logs.lines > paused);
  await b.page.getByRole('button', { name: 'Stop' }).click();
  await b.page.locator('.tailbar').waitFor({ state: 'detached' });
}));

await test('metrics: typing completes, Enter runs, a drag zooms, back returns', withBrowser({}, async (b) => {
  await b.page.goto(`${base}/ui/explore/metrics`);
  await b.until('a chart', (d) => d.chart?.drawn);
  const name = await b.page.evaluate(async () => (await (await fetch('../../api/v1/label/__name__/values')).json()).data.find((n) => /^[a-z]\w{6,}$/.test(n)));
  await b.page.locator('.cm-content').click();
  await b.page.keyboard.press('Control+A');
  await b.page.keyboard.type(name.slice(0, -1), { delay: 20 });
  await b.page.locator('.cm-tooltip-autocomplete').getByText(name, { exact: true }).waitFor();
  await shot(b, 'completion');
  await b.page.keyboard.type(name.slice(-1));
  await b.page.keyboard.press('Control+Enter');
  await b.until('the query ran', (d) => d.metrics?.expr === name && d.metrics.series > 0);
  await b.until('it is drawn', (d) => d.chart?.drawn);
  // A chart that is drawn anew has no box for a moment.
  let box = null;
  for (let i = 0; i < 50 && !(box = await b.page.locator('.u-over').boundingBox().catch(() => null)); i++) await b.page.waitForTimeout(100);
  await b.page.mouse.move(box.x + box.width * 0.4, box.y + 40);
  await b.page.mouse.down();
  await b.page.mouse.move(box.x + box.width * 0.6, box.y + 60, { steps: 5 });
  await b.page.mouse.up();
  await b.page.waitForFunction(() => /^\d+$/.test(new URL(location.href).searchParams.get('from') ?? ''));
  await b.page.goBack();
  await b.page.waitForFunction(() => !new URL(location.href).searchParams.has('from'));
  assert.equal(new URL(b.page.url()).searchParams.get('m'), name);
}));

await test('errors stand in place, in the words of the server', withBrowser({}, async (b) => {
  const wrong = { metrics: ['m', 'sum((', 'api/v1/query_range?start=1&end=2&step=1&query='], logs: ['l', '{a="b"', 'loki/api/v1/query_range?query='], traces: ['t', '{ nonsense ==', 'api/search?q='] };
  for (const [page, [param, query, api]] of Object.entries(wrong)) {
    const answer = await fetch(`${base}/${api}${encodeURIComponent(query)}`);
    assert.equal(answer.status, 400, `${api} refuses ${query}`);
    await b.page.goto(`${base}/ui/explore/${page}?${param}=${encodeURIComponent(query)}`);
    const text = await b.page.locator('.box-error pre').first().innerText();
    assert.ok(text.length > 10, `a message: ${text}`);
    assert.ok((await answer.text()).replaceAll('\\"', '"').includes(text.slice(0, 20).trim()), `the server's own message: ${text}`);
    assert.deepEqual(await b.axe(), []);
    await shot(b, `error-${page}`);
  }
  const noted = b.takeFaults().filter((f) => !f.includes('status of 400'));
  assert.deepEqual(noted, []);
  await b.page.goto(`${base}/ui/trace/00000000000000000000000000000abc`);
  await b.page.getByText('This trace is not here').waitFor();
  assert.deepEqual(b.takeFaults().filter((f) => !f.includes('status of 404')), []);
  await b.page.goto(`${base}/ui/no/such/page`);
  await b.page.locator('.empty-title', { hasText: 'There is no such page.' }).waitFor();
}));

await test('keyboard: go to pages, query box, help, trace tree', withBrowser({}, async (b) => {
  await b.page.goto(`${base}/ui/`);
  await b.until('data', filled, 60_000);
  await b.page.keyboard.press('g');
  await b.page.keyboard.press('t');
  await b.page.waitForURL('**/explore/traces*');
  await b.page.locator('.query .cm-content').waitFor();
  await b.page.keyboard.press('/');
  assert.ok(await b.page.evaluate(() => !!document.activeElement.closest('.query')), 'the query box has the focus');
  await b.page.keyboard.press('Escape');
  await b.page.keyboard.press('?');
  await b.page.locator('dialog[open]').waitFor();
  assert.deepEqual(await b.axe(), []);
  await b.page.keyboard.press('Escape');
  await b.page.locator('dialog').waitFor({ state: 'detached' });
  // The link before a trace of several spans: j moves on to that.
  const before = await b.page.locator('.traces tbody tr').evaluateAll((rows) => rows.findIndex((r, i) => i > 0 && Number(r.cells[r.cells.length - 2].textContent) > 2) - 1);
  assert.ok(before >= 0, 'a trace of several spans is in the list');
  await b.page.locator('.traces tbody a').nth(before).focus();
  await b.page.keyboard.press('j');
  await b.page.keyboard.press('Enter');
  const d = await b.until('the trace is drawn', (x) => x.trace?.spans > 1);
  await b.page.locator('.fall-rows').focus();
  await b.page.keyboard.press('Home');
  await b.page.keyboard.press('ArrowLeft');
  await b.until('the root is folded', (x) => x.trace.visible < d.trace.visible);
  await b.page.keyboard.press('ArrowRight');
  await b.until('and unfolded', (x) => x.trace.visible === d.trace.visible);
  await b.page.keyboard.press('Enter');
  await b.page.locator('.span-detail').waitFor();
  assert.ok(new URL(b.page.url()).searchParams.get('span'), 'the span is in the address');
}));

await test('a narrow window: nothing is cut off sideways', withBrowser({ viewport: { width: 390, height: 844 } }, async (b) => {
  for (const path of ['', 'explore/metrics', 'explore/logs', 'explore/traces']) {
    await b.page.goto(`${base}/ui/${path}`);
    await b.page.locator('.pane').first().waitFor();
    await b.page.waitForTimeout(500);
    const over = await b.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(over <= 0, `${path || 'home'} is ${over} px too wide`);
  }
  await shot(b, 'narrow');
}));

await alertTests({ base, test, withBrowser, shot });
await externalTests({ base, binary: process.env.HUNE_BINARY, test, withBrowser, shot });

console.log(failed ? `${failed} failed` : 'all passed');
process.exit(failed ? 1 : 0);
