import { describe, expect, it } from 'vitest';
import { alignSeries, commonLabels, quantileOf, seriesName, seriesOf, summarise } from './promdata';

describe('seriesOf', () => {
  it('reads a matrix, with special values', () => {
    const { series } = seriesOf({ resultType: 'matrix', result: [{ metric: { a: 'b' }, values: [[1, '2'], [2, '+Inf'], [3, 'NaN']] }] });
    expect(series).toEqual([{ labels: { a: 'b' }, times: [1, 2, 3], values: [2, Infinity, NaN] }]);
  });
  it('turns a native histogram into quantiles', () => {
    const h = { count: '10', sum: '30', buckets: [[0, '1', '2', '5'], [0, '2', '4', '5']] as [number, string, string, string][] };
    const r = seriesOf({ resultType: 'matrix', result: [{ metric: { a: 'b' }, histograms: [[1, h]] }] });
    expect(r.nativeHistograms).toBe(true);
    expect(r.series.map((s) => [s.quantile, s.values[0]])).toEqual([[0.5, 2], [0.95, 3.8], [0.99, 3.96]]);
  });
  it('reads vectors, scalars and empty answers', () => {
    expect(seriesOf({ resultType: 'vector', result: [{ metric: {}, value: [5, '1'] }] }).series[0]!.values).toEqual([1]);
    expect(seriesOf({ resultType: 'scalar', result: [5, '2'] }).series[0]!.values).toEqual([2]);
    expect(seriesOf({ resultType: 'string', result: [5, 'hi'] }).scalar).toBe('hi');
    expect(seriesOf({ resultType: 'matrix', result: [] }).series).toEqual([]);
    expect(seriesOf({ resultType: 'streams', result: [] }).series).toEqual([]);
  });
});

describe('quantileOf', () => {
  it('stays finite at open ends and knows nothing of nothing', () => {
    expect(quantileOf({ count: '0', sum: '0' }, 0.5)).toBeNaN();
    expect(quantileOf({ count: '2', sum: '2', buckets: [[0, '-Inf', '-1', '2']] }, 0.5)).toBe(-1);
    expect(quantileOf({ count: '2', sum: '2', buckets: [[0, '8', '+Inf', '2']] }, 0.99)).toBe(8);
  });
});

describe('names', () => {
  const a = { labels: { __name__: 'up', job: 'x', instance: '1' } };
  const b = { labels: { __name__: 'up', job: 'x', instance: '2' } };
  it('finds what series share', () => {
    expect(commonLabels([a, b])).toEqual({ __name__: 'up', job: 'x' });
    expect(commonLabels([a])).toEqual({});
    expect(seriesName(a, commonLabels([a, b]))).toBe('{instance="1"}');
  });
  it('writes PromQL', () => {
    expect(seriesName(a)).toBe('up{job="x", instance="1"}');
    expect(seriesName({ labels: { __name__: 'http.server', 'a.b': 'c' } })).toBe('{"http.server", "a.b"="c"}');
    expect(seriesName({ labels: { __name__: 'h' }, quantile: 0.95 })).toBe('p95 h');
    expect(seriesName({ labels: {} })).toBe('');
  });
});

describe('alignSeries', () => {
  it('joins axes and keeps gaps', () => {
    const s = (times: number[], values: number[]) => ({ labels: {}, times, values });
    expect(alignSeries([s([0, 10, 40], [1, 2, 3]), s([10, 20], [5, NaN])], 10)).toEqual({
      times: [0, 10, 20, 30, 40],
      columns: [[1, 2, null, null, 3], [null, 5, null, null, null]],
    });
  });
  it('summarises what is finite', () => {
    expect(summarise([1, NaN, 3])).toEqual({ last: 3, min: 1, max: 3, mean: 2 });
    expect(summarise([]).last).toBeNaN();
  });
});
