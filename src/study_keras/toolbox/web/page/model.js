// 模型：LiteRT.js 在网页里运行 model.tflite，一个线程，不用显卡；照片不离开这台设备。

import { loadAndCompile, loadLiteRt, Tensor } from "./litert/core.js";
import { activationMap, scoreGradient } from "./head.js";
import { SIDE } from "./pixels.js";
import { softmax } from "./softmax.js";

/** app.json：类别、样张、门槛、分类头有哪几层。 */
export const loadAbout = async () => (await fetchOk("app.json")).json();

/** 载入 model.tflite，返回可以回答的模型。 */
export async function loadModel(about) {
  const compiled = await compile();
  return new Model(await about, compiled);
}

async function compile() {
  await loadLiteRt("./litert/wasm/");
  return loadAndCompile("./model.tflite", { accelerator: "wasm" });
}

class Model {
  constructor(about, compiled) {
    this.labels = about.labels;
    this.about = about;
    this.compiled = compiled;
    this.names = compiled.getOutputDetails().map((output) => output.name);
    this.extras = null; // 近邻与分类头的权重，第一次用到时才去取
    this.last = Promise.resolve(); // 一次只算一张
  }

  /**
   * @param {Float32Array} pixels modelInput 的结果
   * @returns {Promise<{probabilities: number[], features: Float32Array, featureMap: Float32Array, known: boolean}>}
   */
  answer(pixels) {
    const next = this.last.then(() => this.run(pixels));
    this.last = next.catch(() => {});
    return next;
  }

  async run(pixels) {
    const photo = new Tensor(pixels, [1, SIDE, SIDE, 3]);
    const tensors = await this.compiled.run([photo]);
    photo.delete();
    const outputs = {};
    for (const [i, tensor] of tensors.entries()) {
      outputs[this.names[i]] = tensor.toTypedArray().slice(); // 张量的内存归 WebAssembly，删掉之前抄一份
      tensor.delete();
    }
    const { features, feature_map: featureMap } = outputs;
    const { known: thresholds, outputs: listed } = this.about;
    const known = !thresholds || (await this.isKnown(features, outputs.probabilities));
    const all = thresholds ? calibrated(outputs.probabilities, thresholds.temperature) : outputs.probabilities;
    const probabilities = listed.map((i) => all[i]);
    return { probabilities, features, featureMap, known };
  }

  /** 类激活图，高×宽 个 0 至 1 的数；这个模型的分类头不是全连接层时是 null。 */
  async activation({ probabilities, features, featureMap }) {
    if (!this.about.head) return null;
    const { layers } = await this.loadExtras();
    return activationMap(featureMap, scoreGradient(layers, features, this.about.outputs[order(probabilities)[0]]));
  }

  /** 面熟不面熟：与第 neighbours 近的训练照片的相似度，加上 weight × 最大的概率，够不够 familiarity。 */
  async isKnown(features, probabilities) {
    const { neighbours, weight, familiarity, power } = this.about.known;
    const { training } = await this.loadExtras();
    const powers = features.map((feature) => Math.sign(feature) * Math.abs(feature) ** power);
    const length = Math.hypot(...powers);
    const similarities = new Float64Array(training.length / powers.length);
    for (let row = 0; row < similarities.length; row++) {
      for (let c = 0; c < powers.length; c++) similarities[row] += training[row * powers.length + c] * powers[c];
    }
    const nearest = similarities.sort()[Math.max(0, similarities.length - neighbours)] / length;
    return nearest + weight * Math.max(...probabilities) >= familiarity;
  }

  loadExtras() {
    this.extras ??= this.fetchExtras().catch((error) => {
      this.extras = null; // 下一张照片再取
      throw error;
    });
    return this.extras;
  }

  async fetchExtras() {
    const response = await fetchOk("weights.bin");
    return unpack(await response.arrayBuffer(), this.about);
  }
}

/** 概率从大到小，各是第几个类别。 */
export function order(probabilities) {
  return [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]);
}

/** 温度校准：softmax(log p / T)；概率是 0 的当作 float32 里最小的数，同 toolbox/none_of_these.py。 */
function calibrated(probabilities, temperature) {
  const logits = Float64Array.from(probabilities, (p) => Math.log(Math.max(p, 2 ** -126)) / temperature);
  return Array.from(softmax(logits));
}

/** weights.bin：先是各个全连接层的 kernel 与 bias（float32），后是训练照片的特征（float16）；都是小端。 */
function unpack(bytes, about) {
  let at = 0;
  const floats = (count) => new Float32Array(bytes.slice(at, (at += 4 * count)));
  const layers = (about.head ?? []).map(({ inputs, outputs, relu }) => {
    return { inputs, outputs, relu, kernel: floats(inputs * outputs), bias: floats(outputs) };
  });
  return { layers, training: Float32Array.from(new Uint16Array(bytes.slice(at)), fromHalf) };
}

/** 16 位浮点数（IEEE 754 half）；许多浏览器还没有 Float16Array。 */
function fromHalf(half) {
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  const size = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
  return half & 0x8000 ? -size : size;
}

export async function fetchOk(name) {
  const response = await fetch(name).catch(() => null);
  if (!response?.ok) throw new Error(`取不到 ${name}（${response?.status ?? "没有连上"}）`);
  return response;
}
