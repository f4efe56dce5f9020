// The pages about alerts, on a running Hune: rules are set over the API, an Alertmanager tells a
// webhook of this process, and what the reader does is checked by the APIs.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';

const namespace = 'e2e-alerts';

const config = (hook) => `
route:
  receiver: nobody
  group_by: [alertname]
  group_wait: 1s
  group_interval: 1s
  routes:
    - matchers: [severity="page"]
      receiver: pager
    - matchers: [team=~"db|store"]
      receiver: archive
      continue: true
receivers:
  - name: nobody
  - name: pager
    webhook_configs: [{url: "${hook}"}]
  - name: archive
`;

const metricRules = (expr) => `
name: e2e metrics
interval: 1s
rules:
  - alert: E2eFires
    expr: ${expr}
    labels: {severity: page, team: web}
    annotations: {summary: 'something is {{ $value }}', runbook_url: 'https://example.org/runbook', link: 'javascript:alert(1)'}
  - alert: E2eWaits
    expr: vector(2)
    for: 1h
    labels: {severity: warning}
  - alert: E2eBroken
    expr: label_replace(vector(1), "x", "$1", "y", "(")
`;
const logRules = `
name: e2e logs
signal: logs
interval: 1s
rules:
  - alert: E2eLogs
    expr: sum(count_over_time({service_name=~".+"}[5m])) > 1e12
`;
const traceRules = `
name: e2e traces
signal: traces
interval: 5s
rules:
  - alert: E2eTraces
    expr: '{ } | rate() > 1e9'
`;

export async function alertTests({ base, test, withBrowser, shot }) {
  const told = [];
  const hook = createServer((req, res) => {
    let body = '';
    req.on('data', (c) => (body += c));
    req.on('end', () => {
      for (const a of JSON.parse(body).alerts) told.push(`${a.status} ${a.labels.alertname}`);
      res.end();
    });
  });
  await new Promise((done) => hook.listen(0, '127.0.0.1', done));

  const call = async (method, path, body, type = 'application/yaml') => {
    const r = await fetch(`${base}/${path}`, { method, body, headers: body ? { 'Content-Type': type } : {} });
    const text = await r.text();
    assert.ok(r.ok, `${method} ${path}: ${r.status} ${text}`);
    return text;
  };
  const ask = async (path) => JSON.parse(await call('GET', path));
  const rules = (text) => call('POST', `config/v1/rules/${namespace}`, text);
  const mine = async () => (await ask('api/v2/silences')).filter((s) => s.matchers.some((m) => m.value === 'E2eFires'));

  const clean = async () => {
    await fetch(`${base}/config/v1/rules/${namespace}`, { method: 'DELETE' });
    await fetch(`${base}/mimir/api/v1/alerts`, { method: 'DELETE' });
    for (const s of await mine()) if (s.status.state !== 'expired') await call('DELETE', `api/v2/silence/${s.id}`);
  };
  await clean();
  await call('POST', 'mimir/api/v1/alerts', JSON.stringify({ alertmanager_config: config(`http://127.0.0.1:${hook.address().port}/`) }));
  await rules(metricRules('vector(42)'));
  await rules(logRules);
  await rules(traceRules);

  const state = (d, name) => d.alerts?.items.find((a) => a.name === name)?.state;
  const row = (b, name) => b.page.locator('.alert-group', { has: b.page.locator('h3', { hasText: name }) }).locator('.alert').first();

  await test('alerts: one fires, is seen, is silenced in two clicks, and the silence is edited and expired', withBrowser({}, async (b) => {
    await b.page.goto(`${base}/ui/alerts?refresh=1s`);
    await b.until('one fires and one waits', (d) => state(d, 'E2eFires') === 'firing' && state(d, 'E2eWaits') === 'pending');
    const alert = row(b, 'E2eFires');
    await alert.locator('.alert-text', { hasText: 'something is 42' }).waitFor();
    await alert.locator('.alert-toggle').click();
    await alert.locator('dd', { hasText: 'pager' }).waitFor();
    assert.equal(await alert.getByRole('link', { name: 'Runbook' }).getAttribute('href'), 'https://example.org/runbook');
    assert.equal(await alert.locator('a[href^="javascript"]').count(), 0, 'an annotation is no script');
    await shot(b, 'alerts-open');
    await alert.getByRole('link', { name: 'Query in Explore' }).click();
    await b.until('its query is drawn', (d) => d.metrics?.expr === 'vector(42)' && d.metrics.series === 1);
    await b.page.goBack();
    await b.until('back is the alerts', (d) => state(d, 'E2eFires') === 'firing');

    await row(b, 'E2eFires').getByRole('button', { name: 'Silence E2eFires' }).click();
    await b.page.getByText('Matches 1 alert now').waitFor();
    await shot(b, 'silence-form');
    assert.deepEqual(await b.axe('dialog'), [], 'axe on the silence form');
    await b.page.locator('dialog button[type=submit]').click();
    await b.until('it is silenced', (d) => state(d, 'E2eFires') === 'suppressed');
    const [made] = await mine();
    assert.equal(made.comment, 'E2eFires is known');
    assert.deepEqual(made.matchers.map((m) => m.name).sort(), ['alertname', 'severity', 'team']);

    await row(b, 'E2eFires').locator('.alert-toggle').click();
    await row(b, 'E2eFires').locator('dd a', { hasText: made.id.slice(0, 8) }).click();
    await b.until('the silence is shown', (d) => d.silences?.shown === 1);
    await b.page.getByRole('button', { name: 'Edit' }).click();
    await b.page.getByLabel('Author').fill('Ada');
    await b.page.getByLabel('Comment').fill('being mended');
    await b.page.getByRole('button', { name: '1 hour' }).click();
    await b.page.getByRole('button', { name: 'Save' }).click();
    await b.page.locator('dialog').waitFor({ state: 'detached' });
    await b.page.getByRole('cell', { name: 'being mended' }).waitFor();
    await b.page.getByRole('cell', { name: /59 m|1 h/ }).waitFor();
    await shot(b, 'silences');
    const [edited] = (await mine()).filter((s) => s.status.state === 'active');
    assert.deepEqual([edited.createdBy, edited.comment], ['Ada', 'being mended']);

    // Other matchers make another silence: the page goes on to it.
    await b.page.getByRole('button', { name: 'Edit' }).click();
    await b.page.getByRole('button', { name: 'Remove the matcher team' }).click();
    await b.page.getByText('Matches 1 alert now').waitFor();
    await b.page.getByRole('button', { name: 'Save' }).click();
    await b.page.locator('dialog').waitFor({ state: 'detached' });
    const [wider] = (await mine()).filter((s) => s.status.state === 'active');
    assert.deepEqual([wider.createdBy, wider.matchers.length, wider.id === edited.id], ['Ada', 2, false]);
    await b.page.waitForURL((u) => u.searchParams.get('id') === wider.id);

    await b.page.getByRole('button', { name: 'Expire', exact: true }).click();
    await b.page.getByRole('button', { name: 'Expire now?' }).click();
    await b.until('it is over', (d) => d.silences?.all.every((s) => s.id !== wider.id || s.state === 'expired'));
    await b.page.goto(`${base}/ui/alerts?refresh=1s`);
    await b.until('the alert fires again', (d) => state(d, 'E2eFires') === 'firing');
    // The name that was given last is offered for the next silence.
    await row(b, 'E2eFires').getByRole('button', { name: 'Silence E2eFires' }).click();
    assert.equal(await b.page.getByLabel('Author').inputValue(), 'Ada');
  }));

  await test('alerts: states, labels and groups are in the address', withBrowser({}, async (b) => {
    await b.page.goto(`${base}/ui/alerts`);
    await b.until('alerts', (d) => state(d, 'E2eFires') && state(d, 'E2eWaits'));
    await b.page.getByRole('button', { name: /^Pending \d/ }).click();
    await b.until('those that wait', (d) => d.alerts.shown === d.alerts.items.filter((a) => a.state === 'pending').length);
    assert.equal(new URL(b.page.url()).searchParams.get('state'), 'pending');
    await b.page.getByLabel('Filter by labels').fill('alertname=~"E2e.*", severity!="page"');
    await b.page.keyboard.press('Enter');
    await b.until('those that match', (d) => d.alerts.shown === 1);
    await b.page.getByLabel('Grouped by').selectOption('label:severity');
    await b.page.locator('.alert-group h3', { hasText: 'warning' }).waitFor();
    await b.page.reload();
    await b.until('the same again', (d) => d.alerts?.shown === 1);
    await b.page.getByLabel('Filter by labels').fill('alertname=~"E2e');
    await b.page.keyboard.press('Enter');
    await b.page.locator('.filterbox .err').waitFor();
  }));

  await test('alerts, rules: groups of all signals, their health, the error of one that fails', withBrowser({}, async (b) => {
    await b.page.goto(`${base}/ui/alerts/rules?refresh=1s&q=${namespace}`);
    await b.until('the groups', (d) => d.rules?.groups === 3 && d.rules.rules === 5 && d.rules.unhealthy >= 1);
    await b.page.locator('.rule-error pre', { hasText: 'error parsing regexp' }).or(b.page.locator('.rule-error pre', { hasText: 'invalid regular expression' })).first().waitFor();
    await shot(b, 'rules');
    for (const [name, groups] of [['Logs', 1], ['Traces', 1], ['Metrics', 1]]) {
      await b.page.getByRole('group', { name: 'Signal' }).getByRole('button', { name }).click();
      await b.until(`those of ${name}`, (d) => d.rules.groups === groups && d.rules.rules === { Logs: 1, Traces: 1, Metrics: 3 }[name]);
    }
    await b.page.getByRole('button', { name: /With errors/ }).click();
    await b.until('those with errors', (d) => d.rules.rules === 1);
  }));

  await test('alerts, routing: where a label set goes', withBrowser({}, async (b) => {
    await b.page.goto(`${base}/ui/alerts`);
    await b.until('alerts', (d) => state(d, 'E2eFires'));
    await row(b, 'E2eFires').locator('.alert-toggle').click();
    await row(b, 'E2eFires').getByRole('link', { name: 'Where it goes' }).click();
    await b.until('the receiver', (d) => d.routing?.receivers?.join() === 'pager');
    assert.equal(await b.page.locator('.route.matched').count(), 1);
    await b.page.locator('.route.matched', { hasText: 'pager' }).waitFor();
    await shot(b, 'routing');
    for (const [labels, receivers] of [['team="store"', 'archive'], ['team="other"', 'nobody']]) {
      await b.page.getByLabel('Labels of an alert').fill(labels);
      await b.page.keyboard.press('Enter');
      await b.until(labels, (d) => d.routing.receivers?.join() === receivers);
    }
    await b.page.locator('.routing-answer', { hasText: 'nobody is told' }).waitFor();
    await b.page.getByLabel('Labels of an alert').fill('team=~"x"');
    await b.page.keyboard.press('Enter');
    await b.page.locator('.filterbox .err').waitFor();
  }));

  await test('alerts, history: states, notifications and silences, then the alert ends', withBrowser({}, async (b) => {
    await rules(metricRules('vector(1) > 2'));
    await b.page.goto(`${base}/ui/alerts/history?refresh=1s&q=E2eFires`);
    const has = (d, event, more = () => true) => d.history?.events.some((e) => e.event === event && more(e));
    await b.until('all kinds of events', (d) => has(d, 'state', (e) => e.state === 'firing') && has(d, 'state', (e) => e.state === 'inactive') && has(d, 'notification') && has(d, 'silence_set') && has(d, 'silence_expired'));
    await b.page.locator('.stretch-firing').first().waitFor();
    await b.page.locator('tr', { hasText: 'Notification' }).locator('b', { hasText: 'Sent' }).first().waitFor();
    assert.ok(told.includes('firing E2eFires'), `the webhook was told: ${told}`);
    await shot(b, 'history');
    await b.page.locator('.chips select').selectOption('silence_set');
    await b.until('one kind', (d) => d.history.events.length > 0 && d.history.events.every((e) => e.event === 'silence_set'));
    await b.page.goto(`${base}/ui/alerts?refresh=1s&state=resolved`);
    await b.until('the alert is resolved', (d) => state(d, 'E2eFires') === 'resolved');
    await row(b, 'E2eFires').locator('.alert-state', { hasText: 'Resolved' }).waitFor();
    await rules(metricRules('vector(42)'));
  }));

  await test('alerts: what does not answer is said, what does is shown', withBrowser({}, async (b) => {
    const broken = (path) => b.page.route((u) => u.pathname === path, (r) => r.fulfill({ status: 503, contentType: 'application/json', body: '"still starting"' }));
    await broken('/api/v2/alerts');
    await b.page.goto(`${base}/ui/alerts`);
    await b.page.locator('.box-notice', { hasText: 'The Alertmanager does not answer' }).waitFor();
    await b.until('alerts of rules are there', (d) => state(d, 'E2eWaits') === 'pending' && d.alerts.errors.includes('still starting'));
    await broken('/api/hune/v1/rules');
    await b.page.reload();
    await b.page.locator('.box-error pre', { hasText: 'still starting' }).waitFor();
    for (const path of ['alerts/rules', 'silences']) {
      await broken('/api/v2/silences');
      await b.page.goto(`${base}/ui/${path}`);
      await b.page.locator('.box-error pre', { hasText: 'still starting' }).waitFor();
    }
    await b.page.unrouteAll();
    await b.page.route((u) => u.pathname === '/api/v2/alerts', (r) => r.fulfill({ json: [] }));
    await b.page.route((u) => u.pathname === '/api/hune/v1/rules', (r) => r.fulfill({ json: { status: 'success', data: { groups: [] } } }));
    await b.page.goto(`${base}/ui/alerts?from=now-1s`);
    await b.page.locator('.empty-title', { hasText: 'No alert' }).waitFor();
    assert.deepEqual(b.takeFaults().filter((f) => !f.includes('status of 503')), []);
  }));

  await test('alerts by keyboard: g a, j, Enter, and a silence', withBrowser({}, async (b) => {
    await b.page.goto(`${base}/ui/explore/metrics`);
    await b.page.locator('.pane-metrics').waitFor();
    await b.page.locator('main').focus();
    await b.page.keyboard.press('g');
    await b.page.keyboard.press('a');
    await b.page.waitForURL('**/ui/alerts*');
    await b.until('alerts', (d) => state(d, 'E2eFires') === 'firing');
    await b.page.locator('.alerts-body').focus();
    await b.page.keyboard.press('j');
    assert.ok(await b.page.evaluate(() => document.activeElement.classList.contains('alert-toggle')), 'an alert has the focus');
    await b.page.keyboard.press('Enter');
    await b.page.locator('.alert-facts').first().waitFor();
    await row(b, 'E2eFires').getByRole('button', { name: 'Silence E2eFires' }).focus();
    await b.page.keyboard.press('Enter');
    await b.page.locator('dialog[open]').waitFor();
    await b.page.keyboard.press('Enter'); // the focus is on the button that creates
    await b.until('it is silenced', (d) => state(d, 'E2eFires') === 'suppressed');
    assert.ok(await b.page.evaluate(() => document.activeElement.closest('.alert')), 'the focus is back on the alert');
    for (const s of await mine()) if (s.status.state !== 'expired') await call('DELETE', `api/v2/silence/${s.id}`);
  }));

  for (const [locale, word] of [['en-GB', 'Silences'], ['fr-FR', 'Règles']]) {
    for (const colorScheme of ['light', 'dark']) {
      await test(`pages about alerts in ${locale}, ${colorScheme}: content, language, axe, width`, withBrowser({ locale, colorScheme }, async (b) => {
        const pages = {
          alerts: ['alerts?refresh=off', (d) => state(d, 'E2eFires') && state(d, 'E2eWaits')],
          rules: ['alerts/rules', (d) => d.rules?.unhealthy > 0],
          silences: ['silences?state=expired', (d) => d.silences?.shown > 0],
          history: ['alerts/history', (d) => d.history?.events.length > 0],
          routing: ['alerts/routing?labels=severity%3D%22page%22', (d) => d.routing?.receivers?.length > 0],
        };
        for (const [name, [path, has]] of Object.entries(pages)) {
          await b.page.goto(`${base}/ui/${path}`);
          await b.until(`${name} has content`, has);
          assert.equal(await b.page.getAttribute('html', 'lang'), locale.slice(0, 2));
          assert.ok(await b.page.getByRole('link', { name: word, exact: true }).count(), `${word} is on the page`);
          if (name === 'alerts') {
            await b.page.locator('.alert-toggle').first().click();
            await b.page.locator('.alert-facts').first().waitFor();
          }
          assert.deepEqual(await b.axe(), [], `axe on ${name}`);
          await shot(b, `${name}-${locale}-${colorScheme}`);
          await b.page.setViewportSize({ width: 390, height: 844 });
          const over = await b.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          assert.ok(over <= 0, `${name} is ${over} px too wide for a narrow window`);
          await b.page.setViewportSize({ width: 1440, height: 900 });
        }
      }));
    }
  }

  await clean();
  await new Promise((done) => hook.close(done));
}
