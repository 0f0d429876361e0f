// 类激活图（class activation map）：照片的哪些地方让模型说出这个答案。
//
// 模型的最后是：特征图 → 全局平均池化 → 几个全连接层 → softmax。答案的得分（softmax 之前）对池化后各个特征的导数，
// 就是各个特征有多要紧；拿它给特征图的各个通道加权相加，只留正的，就是类激活图（Grad-CAM，arXiv:1610.02391）。

/**
 * 得分对各个特征的导数，按链式法则从后往前算；与 Keras 的 GradientTape 给出的相同。
 * @param {Array<{kernel: Float32Array, bias: Float32Array, inputs: number, outputs: number, relu: boolean}>} layers
 * @param {Float32Array} features 池化之后的特征
 * @param {number} answer 第几个类别
 * @returns {Float64Array} 与 features 一样长
 */
export function scoreGradient(layers, features, answer) {
  const open = []; // 各层的每个输出，ReLU 有没有让它通过
  let values = features;
  for (const layer of layers) {
    const sums = forward(layer, values);
    open.push(sums.map((sum) => (!layer.relu || sum > 0 ? 1 : 0)));
    values = layer.relu ? sums.map((sum) => Math.max(0, sum)) : sums;
  }
  let gradient = new Float64Array(values.length);
  gradient[answer] = 1;
  for (let i = layers.length - 1; i >= 0; i--) {
    gradient = backward(layers[i], gradient.map((value, j) => value * open[i][j]));
  }
  return gradient;
}

function forward({ kernel, bias, inputs, outputs }, values) {
  const sums = Float64Array.from(bias);
  for (let i = 0; i < inputs; i++) {
    if (values[i] === 0) continue;
    for (let j = 0, at = i * outputs; j < outputs; j++, at++) sums[j] += values[i] * kernel[at];
  }
  return sums;
}

function backward({ kernel, inputs, outputs }, gradient) {
  const result = new Float64Array(inputs);
  for (let i = 0; i < inputs; i++) {
    for (let j = 0, at = i * outputs; j < outputs; j++, at++) result[i] += gradient[j] * kernel[at];
  }
  return result;
}

/**
 * @param {Float32Array} featureMap 高×宽×通道
 * @param {Float64Array} gradient 每个通道一个数
 * @returns {Float64Array} 高×宽 个 0 至 1 的数；处处不起作用时全是 0
 */
export function activationMap(featureMap, gradient) {
  const channels = gradient.length;
  const map = new Float64Array(featureMap.length / channels);
  for (let cell = 0; cell < map.length; cell++) {
    for (let c = 0; c < channels; c++) map[cell] += gradient[c] * featureMap[cell * channels + c];
  }
  const highest = Math.max(...map);
  return map.map((value) => (highest > 0 ? Math.max(0, value) / highest : 0));
}
