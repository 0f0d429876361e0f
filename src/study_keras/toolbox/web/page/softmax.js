// 现学的分类头：几张照片的特征上的 softmax 回归（多类的逻辑回归）。不用任何库，几十毫秒就学好。
//
// 特征先减去平均，缩放到平均长度是 1，再添一个常数 1（偏置）。要找的权重使下式最小：
//   各张照片交叉熵的平均 + STRENGTH / 2 × 权重的平方和
// 最好的权重总是各张照片的特征的线性组合（表示定理，representer theorem；Schölkopf 等，2001），所以只要照片两两的内积，
// 就能用梯度下降求出组合的系数：照片几十张，特征一千多个，快得多，结果一样。

const STRENGTH = 0.01; // 越大越不肯相信个别照片
const STEPS = 1000;
const FOLDS = 5;

/** 学好的分类头。 */
export class Head {
  constructor(scaling, weights) {
    this.scaling = scaling;
    this.weights = weights; // 每一类一组
  }

  /** @param {Float32Array} features 一张照片的特征；返回各类的概率。 */
  probabilities(features) {
    const input = this.scaling.apply(features);
    return softmax(this.weights.map((weights) => dot(weights, input)));
  }
}

/**
 * @param {Float32Array[]} features 每张照片的特征
 * @param {number[]} labels 每张是第几类
 * @param {number} classes 有几类
 * @returns {Head}
 */
export function learn(features, labels, classes) {
  const scaling = new Scaling(features);
  const inputs = features.map((each) => scaling.apply(each));
  const coefficients = solve(products(inputs), labels, classes, labels.map((_, i) => i));
  const weights = coefficients.map((column) => combination(column, inputs));
  return new Head(scaling, weights);
}

/**
 * 每张照片由没有见过它的分类头来认：每类各分成五份，轮流留出一份（交叉验证）。
 * @returns {number[]} 每张被认成第几类
 */
export function crossValidated(features, labels, classes) {
  const scaling = new Scaling(features);
  const inner = products(features.map((each) => scaling.apply(each)));
  const seen = new Array(classes).fill(0);
  const fold = labels.map((label) => seen[label]++ % FOLDS);
  const answers = new Array(labels.length);
  for (let held = 0; held < FOLDS; held++) {
    const rows = labels.map((_, i) => i).filter((i) => fold[i] !== held);
    const coefficients = solve(inner, labels, classes, rows);
    labels.forEach((_, i) => {
      if (fold[i] === held) answers[i] = largest(coefficients.map((column) => dot(column, inner[i])));
    });
  }
  return answers;
}

/** 减去平均，缩放到平均长度是 1，末尾添一个 1。 */
class Scaling {
  constructor(features) {
    this.mean = new Float64Array(features[0].length);
    for (const each of features) each.forEach((value, c) => (this.mean[c] += value / features.length));
    const lengths = features.map((each) => Math.hypot(...each.map((value, c) => value - this.mean[c])));
    this.scale = features.length / Math.max(lengths.reduce((sum, length) => sum + length, 0), 1e-12);
  }

  apply(features) {
    const input = new Float64Array(features.length + 1);
    features.forEach((value, c) => (input[c] = (value - this.mean[c]) * this.scale));
    input[features.length] = 1;
    return input;
  }
}

/** 两两的内积，对称的 n×n。 */
function products(inputs) {
  const result = inputs.map(() => new Float64Array(inputs.length));
  inputs.forEach((a, i) => {
    for (let j = 0; j <= i; j++) result[i][j] = result[j][i] = dot(a, inputs[j]);
  });
  return result;
}

/** 梯度下降：只用 rows 这几张，返回每一类的系数（每张照片一个数，没有用的是 0）。 */
function solve(inner, labels, classes, rows) {
  const count = rows.length;
  const trace = rows.reduce((sum, i) => sum + inner[i][i], 0);
  const rate = 1 / (trace / count / 2 + STRENGTH); // 梯度的变化率不超过它的倒数，步子这么大不会越走越远
  const columns = Array.from({ length: classes }, () => new Float64Array(inner.length));
  for (let step = 0; step < STEPS; step++) {
    const answers = rows.map((i) => softmax(columns.map((column) => dot(column, inner[i]))));
    rows.forEach((i, k) => {
      columns.forEach((column, c) => {
        const error = answers[k][c] - (labels[i] === c ? 1 : 0);
        column[i] -= rate * (error / count + STRENGTH * column[i]);
      });
    });
  }
  return columns;
}

function combination(coefficients, inputs) {
  const result = new Float64Array(inputs[0].length);
  inputs.forEach((input, i) => input.forEach((value, c) => (result[c] += coefficients[i] * value)));
  return result;
}

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** 加起来等于 1 的几个数；先减去最大的，指数才不会溢出。 */
export function softmax(scores) {
  const highest = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - highest));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}

function largest(values) {
  return values.indexOf(Math.max(...values));
}
